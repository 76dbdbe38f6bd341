"""Which verifiers a deployment has: torch-free settings, and the adapters made of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from s1_core.errors import require
from s1_serve.strategies.parameters import check_counts, check_one_of, check_shares
from s1_serve.strategies.verifiers.generative import Generative
from s1_serve.strategies.verifiers.judge import Judge
from s1_serve.strategies.verifiers.process import Process
from s1_serve.strategies.verifiers.reward import AGGREGATES, RewardModel
from s1_serve.strategies.verifiers.verifier import Verifier

KINDS = ("judge", "generative", "process", "reward")
EXACT = "exact"
"""the name of the verifier that compares with the reference a request carries"""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, kw_only=True)
class VerifierConfig:
    """A verifier that requests may name."""

    kind: str
    """judge, generative, process or reward."""
    name: str = ""
    """What requests call it; empty is its kind."""
    url: str | None = None
    """Where its model is served; None is this server."""
    model: str | None = None
    """The model there, or another one of this deployment; None is the one that is there alone."""
    aggregate: str = "last"
    """Of a reward model: last, min, prod or mean of the steps' scores."""
    process: str = "min"
    """Of a process judge: min or mean of the steps' verdicts."""
    alpha: float = 0.5
    """Of a process judge: the share of the verdict on the outcome."""
    most_steps: int = 16
    """Of a process judge: most verdicts on the steps of one answer."""
    together: int = 4
    """Of a generative reward model: most responses in one call."""
    temperature: float | None = None
    """Of a judge's draws; None is 1 for a generative reward model and 0.7 elsewhere."""
    max_tokens: int | None = None
    """Most tokens of a verdict, its thinking included; None is 512 and room for its answer, or with
    `thinking` what the server allows."""
    thinking: int | None = None
    """Most thinking tokens before a verdict; None has no maximum of its own."""
    shows_thinking: bool = False
    """Judge the thinking beside the answer."""

    def __post_init__(self) -> None:
        check_one_of(KINDS, kind=self.kind)
        object.__setattr__(self, "name", self.name or self.kind)
        wanted = "letters, digits, dots and dashes"
        require(bool(_NAME.fullmatch(self.name)), f"name {self.name!r} of a verifier: use {wanted}")
        require(self.name != EXACT, f"{EXACT} names what compares with a reference: take another")
        has_scheme = self.url is None or self.url.startswith(("http://", "https://"))
        require(has_scheme, f"url {self.url!r} of verifier {self.name}: start it with http(s)://")
        check_one_of(tuple(AGGREGATES), aggregate=self.aggregate)
        check_shares(most=2.0, temperature=self.temperature or 0.0)
        if self.max_tokens is not None:
            check_counts(most=1_000_000, max_tokens=self.max_tokens)
        if self.thinking is not None:
            most = (self.max_tokens or 1_000_000) - 1
            check_counts(least=0, most=most, thinking=self.thinking)
        self.verifier()

    @property
    def route(self) -> str | None:
        """Name the model that its chats go to; by the verifier's name where it has a url."""
        return self.name if self.url is not None else self.model

    def verifier(self) -> Verifier:
        """Make the adapter.

        Raises:
            UserError: a setting of it is out of range.
        """
        if self.kind == "reward":
            return RewardModel(name=self.name, aggregate=self.aggregate)
        if self.kind == "generative":
            return Generative(judge=self._judge(1.0), together=self.together)
        if self.kind == "process":
            return Process(
                judge=self._judge(0.7),
                process=self.process,
                alpha=self.alpha,
                most_steps=self.most_steps,
            )
        return self._judge(0.7)

    def _judge(self, temperature: float) -> Judge:
        return Judge(
            model=self.route,
            max_tokens=self.max_tokens,
            thinking=self.thinking,
            temperature=temperature if self.temperature is None else self.temperature,
            shows_thinking=self.shows_thinking,
        )
