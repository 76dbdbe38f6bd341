"""The drain gate against endpoints that are made up: whatever a request meets, it is not a pass."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from s1_core.errors import UserError
from s1_serve.release.gates.endpoint import drain
from s1_serve.release.gates.endpoint.asker import Asker
from s1_serve.release.gates.endpoint.dialects import Broken, Said
from s1_serve.release.gates.endpoint.restart import shell
from s1_serve.release.record import Release
from s1_serve.release.verdicts import FAIL, INCONCLUSIVE, PASS
from unit.serve.fake_release import rules as made_rules

RULES = made_rules(
    **{"after_s: 1": "after_s: 0.1", "timeout_s: 60, restart": "timeout_s: 2, restart"}
)
RELEASE = Release(
    model="a" * 64, image="registry.example.com/s1/serve@sha256:" + "a" * 64, code="e" * 40,
    data=None, base=None, checkpoint=None, step=None, report="f" * 64, gates="a" * 64,
)  # fmt: skip


@dataclass
class Endpoint:
    """Answers as the service does, until it is told otherwise."""

    instance: str | None = "first"
    model: str = RELEASE.model
    seconds: float = 0.05
    error: Exception | None = None
    changed: dict[str, Any] = field(default_factory=dict)
    """of what the next answers say of their thinking"""

    def card(self) -> dict[str, Any]:
        return {"id": "m", "thinking": {"manifest_sha256": self.model, "instance": self.instance}}

    def stream(self, _dialect, body, opened) -> Said:
        opened()
        time.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        length = body["thinking_token_budget"]
        told = {"tokens": length, "end": "budget", "extends": 0, "max": length, "min": length}
        return Said(thinking="", answer="1", told=told | self.changed, counted=length)


def judged(endpoint: Endpoint, **becomes: Any):
    """Restart it: what it becomes is said by field."""

    def restart(_: float) -> str | None:
        time.sleep(0.3)
        for name, value in becomes.items():
            setattr(endpoint, name, value)
        time.sleep(0.3)
        return None

    return drain.row(RULES, RELEASE, endpoint, restart)  # type: ignore[arg-type]


def test_a_restart_that_loses_nothing_passes_in_the_same_words():
    rows = [judged(Endpoint(), instance="second") for _ in range(2)]
    assert rows[0].verdict == PASS and rows[0] == rows[1]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(
    ("becomes", "verdict", "said"),
    [
        ({"error": Broken("the connection broke")}, FAIL, "the first: the connection broke"),
        ({"error": ZeroDivisionError()}, FAIL, "its client could make nothing of the answer"),
        ({"changed": {"tokens": 7}}, FAIL, "the first: 7 tokens, ended by budget"),
        ({"changed": {"max": 99}}, FAIL, "under a maximum of 99"),
        ({"model": "b" * 64}, FAIL, "behind the restart is another model: bbbbbbbbbbbb"),
        ({"instance": "first"}, INCONCLUSIVE, "before the restart still answers"),
        ({"instance": None}, INCONCLUSIVE, "before the restart still answers"),
    ],
)
def test_whatever_else_comes_of_a_restart_is_no_pass(becomes, verdict, said):
    row = judged(Endpoint(), **{"instance": "second"} | becomes)
    assert (row.verdict, said in row.found) == (verdict, True), row


def test_no_stream_in_time_is_no_pass():
    endpoint = Endpoint()
    endpoint.stream = lambda *_: (
        threading.Event().wait(3)
        or Said(  # type: ignore[method-assign]
            thinking="", answer="1", told=None, counted=None
        )
    )
    row = judged(endpoint, instance="second")
    assert row.verdict == FAIL and "nothing is said of the thinking" in row.found


def test_a_restart_that_fails_is_said_with_its_last_words():
    fast = replace(RULES, drain=replace(RULES.drain, restart_timeout_s=0.2))
    for command, said in {
        "echo one; echo two; exit 3": "failed: two",
        "sleep 9": "than 0.2 s",
    }.items():
        row = drain.row(fast, RELEASE, Endpoint(), shell(command))  # type: ignore[arg-type]
        assert row.verdict == INCONCLUSIVE and said in row.found


def test_what_is_no_url_is_one_line():
    with pytest.raises(UserError, match=r"is no URL .* give http://HOST:PORT"):
        Asker("http://[::1", None, 1.0)
