"""One step of thinking as completions over token ids, and where it ends in what is heard.

Pure, for every driver. The rules of budget.loop hold for the path as a whole: its maximum, its
minimum, its extends. A step that comes to the end of thinking answers in the same call.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from s1_core import steps
from s1_serve.budget.loop import drawn
from s1_serve.budget.plan import Plan
from s1_serve.completions import Completion, CompletionRequest
from s1_serve.strategies.calls import Step
from s1_serve.strategies.known import Sample
from s1_serve.text import UNFINISHED, Codec


@dataclass(frozen=True, kw_only=True)
class Path:
    """What a step continues: the prompt up to the thinking header, and the steps before."""

    prompt_ids: tuple[int, ...]
    thinking_ids: tuple[int, ...] = ()
    extends: int = 0

    @staticmethod
    def of(prompt_ids: tuple[int, ...], steps_before: Sequence[Sample]) -> Path:
        """Join the results of steps."""
        return Path(
            prompt_ids=prompt_ids,
            thinking_ids=sum((step.result.token_ids for step in steps_before), ()),
            extends=sum(step.result.extends for step in steps_before),
        )


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long a step may be: its plan is that of the whole path."""

    plan: Plan
    cap: int | None = None
    """Most tokens of this call, whatever they are."""
    reserve: int = 0
    """Of a cap, what is kept for the answer."""

    @property
    def fits(self) -> int:
        """Tell how many tokens of thinking the cap leaves."""
        if self.cap is None:
            return self.plan.maximum
        return max(self.cap - len(self.plan.delimiters.cut) - self.reserve, 0)

    @property
    def kept(self) -> int:
        """Tell how much of `fits` a step that goes on leaves behind.

        The next one is started only where session.Limits.least is left, and else all was spent
        without an answer. That is a minimum, or a header and a token; one more may be owed.
        """
        if self.cap is None:
            return 0
        return self.plan.minimum + len(self.plan.delimiters.header) + 2

    def ends(self, call: Step) -> bool:
        """Say whether this step is the last of its path: by what is asked, or by the cap."""
        return call.ends_thinking or self.fits <= self.kept

    def affordable(self, call: Step) -> int:
        """Tell how many tokens of thinking this step may take, whatever it asks for."""
        return self.fits if self.ends(call) else self.fits - self.kept

    def maximum(self, call: Step, before: int) -> int:
        """Give the maximum of the path; where a cap makes this its last step, it is here."""
        if self.cap is None or not self.ends(call):
            return self.plan.maximum
        return min(self.plan.maximum, before + self.fits)


@dataclass(frozen=True)
class Leg:
    """A request; one that `parts` ends where the step does (Watch), not only at its stop ids."""

    request: CompletionRequest
    parts: bool


@dataclass(frozen=True)
class Said:
    """What came of a leg: tokens without the stop token; `surplus` were generated and dropped."""

    ids: tuple[int, ...]
    reason: Literal["stop", "length", "step"]
    surplus: int = 0


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """What a step came to; `tokens` counts all that were generated or forced, dropped ones too."""

    thinking_ids: tuple[int, ...]
    ending_ids: tuple[int, ...] = ()
    answer: Completion | None = None
    end: str = "open"
    extends: int = 0
    tokens: int = 0


Walk = Generator[Leg, Said, Stretch]


def walk(call: Step, path: Path, bounds: Bounds) -> Walk:
    """Think one step further, then answer if thinking has ended."""
    stretch = yield from _think(call, path, bounds)
    maximum = bounds.maximum(call, len(path.thinking_ids))
    is_full = len(path.thinking_ids) + len(stretch.thinking_ids) >= maximum
    if stretch.end == "open" and (is_full or bounds.ends(call)):
        stretch = replace(stretch, end="budget")
    if stretch.end in ("open", "length"):
        return stretch
    return (yield from _answer(path, stretch, bounds))


def _think(call: Step, path: Path, bounds: Bounds) -> Walk:
    """Apply the rules of budget.loop from where the path stands; `spent` counts every token.

    A step never ends where attempts are masked, as the next one could not know.
    """
    plan, before = bounds.plan, len(path.thinking_ids)
    maximum = bounds.maximum(call, before)
    ends, affordable = bounds.ends(call), bounds.affordable(call)
    most = affordable if ends else min(call.max_tokens, affordable)
    thinking: tuple[int, ...] = ()
    used, spent, is_masked, owes = 0, 0, not before, False
    end = "open"
    while before + len(thinking) < maximum and (spent < most or owes):
        room = min(max(most - spent, 1), maximum - before - len(thinking))
        lacks = plan.minimum - before - len(thinking)
        pays_no_attempt = bounds.cap is not None and ends and most - spent <= lacks
        least = max(min(lacks, room) if pays_no_attempt else 0, int(is_masked))
        said = yield Leg(_request(path, thinking, plan, room, least), not ends)
        thinking += said.ids
        spent += len(said.ids) + said.surplus
        total = before + len(thinking)
        if said.reason != "stop":
            is_short = said.reason == "length" and len(said.ids) < room
            end = "length" if is_short else "open"
            break
        extend = plan.extend_ids(path.extends + used)
        wants_more = path.extends + used < plan.extends or total < plan.minimum
        is_masked = owes = True
        is_dear = bounds.cap is not None and spent + len(extend) + 1 > affordable
        has_room = total + len(extend) + 1 <= maximum and not (ends and is_dear)
        if wants_more and has_room:
            if is_dear:
                spent += 1
                break  # the next step comes to the same attempt
            thinking, used = thinking + extend, used + 1
            spent += len(extend) + 1
        elif total >= plan.minimum:
            end = "natural"
            break
        else:
            spent += 1
    return Stretch(thinking_ids=thinking, end=end, extends=used, tokens=spent)


def _request(
    path: Path, thinking: tuple[int, ...], plan: Plan, room: int, least: int
) -> CompletionRequest:
    position = len(path.thinking_ids) + len(thinking)
    return CompletionRequest(
        prompt_ids=path.prompt_ids + path.thinking_ids + thinking,
        max_tokens=room,
        stop_ids=plan.delimiters.attempt_ids,
        min_tokens=least,
        sampling=drawn(plan.sampling, position, "thinking"),
    )


def _answer(path: Path, stretch: Stretch, bounds: Bounds) -> Walk:
    plan, marks = bounds.plan, bounds.plan.delimiters
    ending = marks.end if stretch.end == "natural" else marks.cut
    thinking = path.thinking_ids + stretch.thinking_ids
    room = plan.room - len(thinking) - len(ending)
    spent = stretch.tokens + len(ending)
    if bounds.cap is not None:
        room = min(room, bounds.cap - spent)
    said = Said((), "length")
    if room > 0:
        request = CompletionRequest(
            prompt_ids=path.prompt_ids + thinking + ending,
            max_tokens=room,
            stop_ids=marks.stop_ids,
            sampling=drawn(plan.sampling, len(thinking), "answer"),
        )
        said = yield Leg(request, False)
    is_stop = said.reason == "stop"
    return replace(
        stretch,
        ending_ids=ending,
        answer=Completion(token_ids=said.ids, finish_reason="stop" if is_stop else "length"),
        tokens=spent + len(said.ids) + is_stop,
    )


class Watch:
    """Finds where a step ends in tokens that come one by one, by core.steps."""

    def __init__(self, codec: Codec, before: Sequence[int]) -> None:
        parts = steps.parted(codec.decode(before)) if before else []
        self._codec, self._tail = codec, parts[-1] if parts else ""
        self._text, self._pending = "", list[int]()
        self._ends: list[int] = []  # by token: how much of the text there is behind it

    def feed(self, ids: Sequence[int]) -> int | None:
        """Take new tokens; once the step has ended, say how many of all belong to it.

        That is known when the next one has begun. A token that holds the boundary is the step's.
        """
        for token in ids:
            self._take(token)
        at = self._boundary()
        if at is None:
            return None
        return next(n for n, end in enumerate(self._ends, 1) if end >= at)

    def _take(self, token: int) -> None:
        self._pending.append(token)
        piece = self._codec.decode(self._pending)
        if piece.endswith(UNFINISHED):
            return
        waited = len(self._pending) - 1  # these end inside a character
        self._ends += [len(self._text)] * waited
        self._text += piece
        self._ends.append(len(self._text))
        self._pending.clear()

    def _boundary(self) -> int | None:
        """Find the first boundary behind some text of this step, counted from its beginning."""
        at = -len(self._tail)
        for part in steps.parted(self._tail + self._text)[:-1]:
            at += len(part)
            if at > 0 and self._text[:at].strip():
                return at
        return None
