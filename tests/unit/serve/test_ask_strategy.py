"""`just ask --strategy` at a service: what is typed, and what is sent."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from s1_core.errors import UserError
from s1_serve import ask_strategy
from s1_serve.config import AskConfig


class Service:
    """Takes one request and closes the stream."""

    url = "http://service"

    def __init__(self) -> None:
        self.bodies: list[Mapping[str, Any]] = []

    def events(self, path: str, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        self.bodies.append(body)
        yield from ()


def sent(strategy: str) -> Mapping[str, Any]:
    service = Service()
    config = AskConfig(question="Why?", strategy=strategy, total_tokens=90)
    with pytest.raises(UserError, match="closed the stream before the end"):
        list(ask_strategy.at_service(service, config, {"messages": []}))  # type: ignore[arg-type]
    return service.bodies[0]["tts"]


def test_parameters_are_sent_and_a_reference_is_a_text() -> None:
    assert sent("best-of-n:n=4,reference=5") == {
        "strategy": "best-of-n", "n": 4, "reference": "5",
        "budget": {"total_tokens": 90, "deadline_ms": None},
    }  # fmt: skip


@pytest.mark.parametrize("typed", ["budget=3", "strategy=shortest", "return_candidates=true"])
def test_what_is_no_parameter_is_refused_here(typed: str) -> None:
    config = AskConfig(question="Why?", strategy=f"majority:{typed}")
    with pytest.raises(UserError, match=f"{typed.split('=')[0]} is no parameter of majority"):
        list(ask_strategy.at_service(Service(), config, {}))  # type: ignore[arg-type]
