"""Calls on disk and money in whole picodollars: nothing lost, nothing spent beyond the cap."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_data.endpoint import journal
from s1_data.endpoint.config import EndpointConfig
from s1_data.endpoint.journal import Journal
from s1_data.endpoint.replies import Reply
from s1_data.endpoint.shard import WHOLE, Shard
from s1_data.endpoint.spending import FREE, CapReached, Charge, Limits, Spending, price

WORST, PAID = Charge(10, 100, 1000), Charge(5, 20, 250)


def reply(text: str) -> Reply:
    return Reply(
        thinking="so", text=text, finish_reason="stop", prompt_tokens=5, completion_tokens=20
    )


def call(book: Journal, key: str) -> None:
    book.begin(WORST)
    book.finish(key, reply(key), WORST, PAID)


def test_what_was_finished_is_there_for_every_later_run(tmp_path: Path) -> None:
    with journal.opened(tmp_path, Shard(0, 2)) as book:
        call(book, "a")
        book.begin(WORST)
        book.break_off("no reply", WORST, WORST)
        book.begin(WORST)
        book.break_off("HTTP 429", WORST, FREE)
    with journal.opened(tmp_path, Shard(1, 2)) as book:
        assert (book.replies, book.spent, book.spent_elsewhere) == ({"a": reply("a")}, FREE, FREE)
        call(book, "b")
    with journal.opened(tmp_path, WHOLE) as book:
        assert book.replies == {"a": reply("a"), "b": reply("b")}
        assert (book.spent, book.spent_elsewhere) == (FREE, PAID + WORST + PAID)
    with journal.opened(tmp_path, Shard(0, 2)) as book:
        assert (book.spent, book.spent_elsewhere) == (PAID + WORST, FREE)


def test_a_call_that_a_kill_cut_short_counts_as_paid_in_full(tmp_path: Path) -> None:
    with journal.opened(tmp_path, WHOLE) as book:
        call(book, "a")
        book.begin(WORST)
    assert journal.read(tmp_path)[WHOLE.name].spent == PAID + WORST


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 10_000))
def test_a_file_torn_anywhere_keeps_its_whole_lines(
    tmp_path_factory: pytest.TempPathFactory, cut: int
) -> None:
    folder = tmp_path_factory.mktemp("calls")
    with journal.opened(folder, WHOLE) as book:
        for key in "abc":
            call(book, key)
    path = folder / f"{WHOLE.name}.jsonl"
    content = path.read_bytes()
    cut %= len(content) + 1
    path.write_bytes(content[:cut])
    whole = content[:cut].rpartition(b"\n")[0]
    num_replies, num_begun = whole.count(b'"reply"'), whole.count(b'"begun"')
    with journal.opened(folder, WHOLE) as book:
        assert list(book.replies) == list("abc"[:num_replies])
        unknown = num_begun - num_replies
        assert book.spent == sum([PAID] * num_replies + [WORST] * unknown, FREE)
        call(book, "d")
        total = book.spent + PAID
    found = journal.read(folder)[WHOLE.name]
    assert (list(found.replies), found.spent) == ([*"abc"[:num_replies], "d"], total)


def test_a_line_that_is_no_entry_is_passed_over(tmp_path: Path) -> None:
    with journal.opened(tmp_path, WHOLE) as book:
        call(book, "a")
    path = tmp_path / f"{WHOLE.name}.jsonl"
    with path.open("ab") as stream:
        stream.write(b'\0\0\0\n[1]\n{"key": "x", "reply": {}}\n{"charged": ["a"]}\n')
    assert journal.read(tmp_path)[WHOLE.name] == journal.Ledger(
        replies={"a": reply("a")}, spent=PAID
    )


@pytest.mark.multiprocess
def test_a_second_writer_is_refused_here_and_in_another_process(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from s1_core.errors import UserError\n"
        "from s1_data.endpoint import journal; from s1_data.endpoint.shard import Shard\n"
        "try:\n with journal.opened(Path(sys.argv[1]), Shard.parse(sys.argv[2])): print('open')\n"
        "except UserError as error: print(error)"
    )

    def elsewhere(shard: str) -> str:
        words = [sys.executable, "-c", script, str(tmp_path), shard]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    with journal.opened(tmp_path, Shard(0, 2)) as book:
        call(book, "a")
        with (
            pytest.raises(UserError, match="another run is writing"),
            journal.opened(tmp_path, Shard(0, 2)),
        ):
            pass
        assert "another run is writing" in elsewhere("0/2")
        assert elsewhere("1/2") == "open\n"
    assert elsewhere("0/2") == "open\n"


charges = st.builds(Charge, st.integers(0, 50), st.integers(0, 200), st.integers(0, 1000))


@settings(max_examples=200, deadline=None)
@given(
    calls=st.lists(st.tuples(charges, st.integers(0, 4), st.integers(1, 3)), max_size=12),
    tokens=st.none() | st.integers(0, 1000),
    money=st.none() | st.integers(0, 5000),
    spent=charges,
)
def test_the_cap_is_never_exceeded(
    calls: list[tuple[Charge, int, int]], tokens: int | None, money: int | None, spent: Charge
) -> None:
    limits = Limits(max_tokens_total=tokens, max_picodollars=money)
    account, ends = Spending(limits, spent), []

    async def one(worst: Charge, quarters: int, steps: int) -> None:
        try:
            await account.reserve(worst)
        except CapReached as cap:
            # Never while a call in flight might still free something.
            assert limits.broken_by(account.spent + worst) == cap.option
            assert account.reserved == FREE
            return
        assert limits.broken_by(account.spent + account.reserved) is None
        for _ in range(steps):
            await asyncio.sleep(0)
        charged = Charge(*(value * quarters // 4 for value in worst.values))
        account.settle(worst, charged)
        ends.append(charged)

    async def all_at_once() -> None:
        await asyncio.gather(*(one(*entry) for entry in calls))

    asyncio.run(all_at_once())
    assert account.reserved == FREE
    assert account.spent == sum(ends, spent)
    assert limits.broken_by(account.spent) is None or not ends
    if tokens is None and money is None:
        assert len(ends) == len(calls)


@given(
    cap=st.integers(0, 10_000),
    elsewhere=charges,
    count=st.integers(1, 9),
)
def test_shards_together_have_what_is_left(cap: int, elsewhere: Charge, count: int) -> None:
    part = Limits(max_tokens_total=cap, max_picodollars=cap).share(elsewhere, count)
    assert part.max_tokens_total is not None and part.max_picodollars is not None
    for share, used in [
        (part.max_tokens_total, elsewhere.tokens),
        (part.max_picodollars, elsewhere.picodollars),
    ]:
        assert cap - used - count < share * count <= cap - used
    assert Limits().share(elsewhere, count) == Limits()


def test_prices_are_exact() -> None:
    config = EndpointConfig(usd_per_million_input=0.0375, usd_per_million_output=2.19)
    million = price(config, 10**6, 10**6)
    assert (million.usd, million.tokens) == (2.2275, 2 * 10**6)
    assert sum([price(config, 1, 1)] * 1000, FREE) == price(config, 1000, 1000)
    assert str(million) == "$2.23 and 2,000,000 tokens"
