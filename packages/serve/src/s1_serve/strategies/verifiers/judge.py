"""A language model as a judge: right or wrong, the better of two, the best of several.

The model that answers may judge itself (Sample-Scrutinize-Scale, arXiv 2502.01839), or another
one of the deployment does. Strict: a reply whose last line is not the bare verdict has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from s1_serve.strategies.calls import Call, Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.verifiers import prompts


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Asks for a verdict on one candidate; `votes` are independent draws."""

    model: str | None = None
    """By the name the server knows it by; None is the model that answers."""
    max_tokens: int | None = None
    """Most tokens of a verdict, its thinking included; None is 512 and room for its answer, or with
    `thinking` what the server allows."""
    thinking: int | None = None
    """Most thinking tokens before a verdict; None has no maximum of its own."""
    temperature: float = 0.7
    """Of the draws; at 0 all votes are one."""
    shows_thinking: bool = False
    """Show the candidate's thinking too, not only its answer: dearer, and it needs the context."""

    @property
    def scores_steps(self) -> bool:
        return False

    def chat(self, name: str, vote: int, under: str) -> Chat:
        """Ask something; other votes draw with other seeds."""
        wanted = {
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "thinking_token_budget": self.thinking,
        }
        return Chat(
            id=name,
            index=vote,
            under=under,
            overrides={key: value for key, value in wanted.items() if value is not None},
            model=self.model,
            is_verifier=True,
        )

    def shown(self, sample: Sample) -> str:
        """Show a candidate as this judge is to see it."""
        answer = prompts.shown(sample)
        if not self.shows_thinking or not sample.result.thinking.strip():
            return answer
        return f"{prompts.material(sample.result.thinking.strip())}\n\nSo the answer:\n\n{answer}"

    def calls(self, known: Known, target: str, votes: int = 1) -> tuple[Call, ...]:
        if target not in known or not known[target].has_answered:
            return ()
        under = prompts.POINTWISE.format(answer=self.shown(known[target]))
        return tuple(self.chat(f"{target}/v{vote}", vote, under) for vote in range(votes))

    def verdicts(self, known: Known, target: str, votes: int = 1) -> list[float | None]:
        return [yes_no(known, f"{target}/v{vote}") for vote in range(votes)]

    def steps(self, known: Known, target: str) -> tuple[float, ...] | None:
        return None

    def comparisons(self, known: Known, one: str, other: str, votes: int) -> tuple[Call, ...]:
        """Compare two candidates; every second vote sees them in the other order."""
        pair = [self.shown(known[one]), self.shown(known[other])]
        unders = [
            prompts.PAIRWISE.format(one=first, other=second)
            for first, second in (pair, reversed(pair))
        ]
        return tuple(
            self.chat(_pair(one, other, vote), vote, unders[vote % 2]) for vote in range(votes)
        )

    def preferences(self, known: Known, one: str, other: str, votes: int) -> list[bool | None]:
        replies = (known.samples.get(_pair(one, other, vote)) for vote in range(votes))
        said = [prompts.LETTERS.get(prompts.last_line(reply)) for reply in replies]
        return [None if is_a is None else is_a == (vote % 2 == 0) for vote, is_a in enumerate(said)]

    def pick(self, name: str, candidates: Sequence[Sample]) -> Chat:
        """Ask for the number of the best of several candidates."""
        listed = prompts.numbered([self.shown(sample) for sample in candidates], "Proposal")
        under = prompts.CHOICE.format(proposals=listed, count=len(candidates))
        return self.chat(name, 0, under)


def yes_no(known: Known, name: str) -> float | None:
    """Read a verdict of Yes or No as 1 or 0."""
    said = prompts.YES_NO.get(prompts.last_line(known.samples.get(name)))
    return None if said is None else float(said)


def _pair(one: str, other: str, vote: int) -> str:
    return f"{one}+{other}/p{vote}"
