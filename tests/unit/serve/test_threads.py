"""Calls to a server at the same time: a queue that refills itself, and how it ends."""

import _thread
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_serve.endpoint import Unavailable
from s1_serve.evaluate.run import threads
from s1_serve.evaluate.run.chats import Words
from unit.serve.fake_model import TEXT, Text

SECONDS = 10
"""longer than anything here may take"""


class Done:
    """Keeps what came back; `more` gives the jobs that follow a key."""

    def __init__(self, more=lambda key: ()):
        self.results, self.more, self.thread = {}, more, threading.get_ident()

    def __call__(self, key, result, seconds):
        assert threading.get_ident() == self.thread and seconds >= 0
        assert key not in self.results
        self.results[key] = result
        return self.more(key)


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that were made; none is waited for."""
    made = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(0, 3), max_size=6),
    st.dictionaries(st.integers(0, 30), st.integers(0, 3), max_size=12),
    st.integers(1, 5),
)
def test_every_job_and_all_that_follow_are_done_once(begun, children, concurrency):
    """A key is the path to a job; `children` says how many follow one, by the path's sum."""

    def more(key):
        count = children.get(sum(key), 0) if len(key) < 5 else 0
        return [((*key, n), (*key, n)) for n in range(count)]

    def whole(key):
        return {key} | {one for child, _ in more(key) for one in whole(child)}

    keys = [(index, start) for index, start in enumerate(begun)]
    done = Done(more)
    threads.work(lambda job: job, [(key, key) for key in keys], done, concurrency)
    expected = {one for key in keys for one in whole(key)}
    assert done.results == {key: key for key in expected}


def test_the_queue_stays_full_of_what_follows():
    """Three meet at a barrier again and again: fewer at a time would never pass it."""
    barrier = threading.Barrier(3, timeout=SECONDS)
    done = Done(lambda key: [(key + 3, key + 3)] if key < 9 else ())
    threads.work(lambda _: barrier.wait(), enumerate(range(3)), done, 3)
    assert done.results.keys() == {*range(12)}


def test_no_more_run_at_the_same_time_than_may():
    running, most = set(), 0

    def call(job):
        nonlocal most
        running.add(job)
        most = max(most, len(running))
        time.sleep(0.001)
        running.discard(job)

    threads.work(call, enumerate(range(20)), Done(), 2)
    assert most <= 2


def test_an_error_ends_it_once_what_is_in_flight_is_done():
    failed, begun = threading.Event(), []

    def call(job):
        begun.append(job)
        if job == 0:
            failed.set()
            raise UserError("refused")
        assert failed.wait(SECONDS)
        time.sleep(0.05)  # until the failure was seen
        return job

    done = Done(lambda key: [(key + 100, key + 100)])
    with pytest.raises(UserError, match="refused"):
        threads.work(call, [(1, 1), (0, 0), *((n, n) for n in range(2, 50))], done, 2)
    assert 1 in done.results, "it was in flight"
    assert set(done.results) == {*begun} - {0} and len(begun) <= 4
    assert not [key for key in begun if key >= 100], "nothing follows a failure"


def test_the_first_of_several_errors_is_told():
    both = threading.Barrier(2, timeout=SECONDS)

    def call(job):
        both.wait()
        time.sleep(0.05 * job)
        raise UserError(f"refused {job}")

    with pytest.raises(UserError, match="refused 0"):
        threads.work(call, enumerate(range(2)), Done(), 2)


@pytest.mark.parametrize("failures", range(5))
def test_a_server_that_is_busy_is_asked_again_after_pauses(pauses, failures):
    asked = []

    def call(job):
        asked.append(job)
        if len(asked) <= failures:
            raise Unavailable("busy")
        return "answer"

    done = Done()
    threads.work(call, [("key", "job")], done, 1)
    assert done.results == {"key": "answer"} and asked == ["job"] * (failures + 1)
    assert pauses == [1.0, 2.0, 4.0, 8.0][:failures]


def test_a_server_that_is_gone_is_given_up(pauses):
    asked = []

    def call(job):
        asked.append(job)
        raise Unavailable("gone")

    with pytest.raises(Unavailable, match="gone"):
        threads.work(call, [("key", "job")], Done(), 1)
    assert len(asked) == 5 and len(pauses) == 4
    with pytest.raises(Unavailable, match="gone"):
        threads.patient(call, "job")


class Busy(Text):
    """A server's tokenizer that has no time for every other call."""

    def __init__(self):
        self.calls = []

    def encode(self, text):
        self.calls.append(text)
        if len(self.calls) % 2:
            raise Unavailable("busy")
        return super().encode(text)

    def decode(self, ids):
        self.encode("")
        return super().decode(ids)


def test_a_tokenizer_that_is_busy_is_asked_again_and_once_for_each_text(pauses):
    words = Words(busy := Busy())
    assert [words.encode("one") for _ in range(3)] == [TEXT.encode("one")] * 3
    assert words.decode(TEXT.encode("two")) == "two"
    assert busy.calls == ["one", "one", "", ""] and pauses == [1.0, 1.0]


def test_what_a_server_refuses_is_not_asked_again(pauses):
    asked = []

    def call(job):
        asked.append(job)
        raise UserError("no such model")

    with pytest.raises(UserError, match="no such model"):
        threads.work(call, [("key", "job")], Done(), 1)
    assert (len(asked), pauses) == (1, [])


def test_an_interrupt_starts_nothing_more():
    begun = []

    def call(job):
        begun.append(job)
        if job == 0:
            _thread.interrupt_main()
        time.sleep(0.05)

    with pytest.raises(KeyboardInterrupt):
        threads.work(call, enumerate(range(200)), Done(), 2)
    assert len(begun) < 20


def test_an_error_of_what_is_done_with_an_answer_ends_it_too():
    begun = []

    def done(_key, _result, _seconds):
        raise OSError("disk full")

    def call(job):
        begun.append(job)
        time.sleep(0.01)

    with pytest.raises(OSError, match="disk full"):
        threads.work(call, enumerate(range(200)), done, 2)
    assert len(begun) < 20
