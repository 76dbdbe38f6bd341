"""Budget forcing as a loop of completion requests: the oracle of every other implementation.

Owns the order of the rules (shared semantics: maximum, masked positions, attempts, the model's own
token) and knows token ids only. It generates nothing and never looks at text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace

from s1_core.errors import UserError
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import End, Plan
from s1_serve.completions import (
    Completer,
    Completion,
    CompletionRequest,
    Sampling,
    Streamer,
)

Machine = Generator[CompletionRequest, Completion, Outcome]


@dataclass(frozen=True)
class Piece:
    """Tokens as they become known while streaming; `is_forced` where the model had no say."""

    ids: tuple[int, ...]
    is_forced: bool


def machine(prompt_ids: Sequence[int], plan: Plan) -> Machine:
    """Think within `plan`, then answer: yield requests, take completions, return the outcome.

    The prompt ends with the thinking header unless the delimiters hold one to force.
    """
    marks = plan.delimiters
    prompt = tuple(prompt_ids) + marks.header
    thinking, end, used = yield from _think(prompt, plan)
    ending = {"natural": marks.end, "budget": marks.cut, "length": ()}[end]
    answer = Completion(token_ids=(), finish_reason="length")
    room = plan.room - len(marks.header) - len(thinking) - len(ending)
    if end != "length" and room > 0:
        answer = yield CompletionRequest(
            prompt_ids=prompt + thinking + ending,
            max_tokens=room,
            stop_ids=marks.stop_ids,
            sampling=drawn(plan.sampling, len(thinking), "answer"),
        )
    return Outcome(
        header_ids=marks.header,
        thinking_ids=thinking,
        ending_ids=ending,
        answer_ids=answer.token_ids,
        end=end,
        extends=used,
        finish_reason=answer.finish_reason,
    )


def _think(
    prompt: tuple[int, ...], plan: Plan
) -> Generator[CompletionRequest, Completion, tuple[tuple[int, ...], End, int]]:
    """Apply the rules until thinking ends; every request begins at a position of rule 2."""
    thinking: tuple[int, ...] = ()
    used = 0
    while len(thinking) < plan.maximum:  # rule 1
        # Every request starts at t = 0, after an extend string or at a masked attempt: rule 2, 3b.
        completion = yield CompletionRequest(
            prompt_ids=prompt + thinking,
            max_tokens=plan.maximum - len(thinking),
            stop_ids=plan.delimiters.attempt_ids,
            min_tokens=1,
            sampling=drawn(plan.sampling, len(thinking), f"thinking {used}"),
        )
        _check(completion, plan.maximum - len(thinking))
        thinking += completion.token_ids
        if completion.finish_reason == "length":
            return thinking, "budget" if len(thinking) == plan.maximum else "length", used
        extend = plan.extend_ids(used)
        wants_more = used < plan.extends or len(thinking) < plan.minimum
        if wants_more and len(thinking) + len(extend) + 1 <= plan.maximum:  # rule 3a
            thinking += extend
            used += 1
        elif len(thinking) >= plan.minimum:  # rule 3c; what remains is 3b: ask again, masked
            return thinking, "natural", used
    return thinking, "budget", used


def _check(completion: Completion, max_tokens: int) -> None:
    """Refuse an engine that does not do what was asked: the budget would be fiction."""
    num_tokens = len(completion.token_ids)
    is_empty_stop = num_tokens == 0 and completion.finish_reason == "stop"
    if is_empty_stop or num_tokens > max_tokens:
        raise UserError(
            f"the engine returned {num_tokens} tokens where 1 to {max_tokens} were asked: it does "
            "not honour min_tokens and max_tokens, or hides token ids; use one that does (vLLM)"
        )


def drawn(sampling: Sampling, position: int, part: str) -> Sampling:
    """Give each request of one answer its own seed, so that rounds are independent draws."""
    if sampling.seed is None:
        return sampling
    digest = hashlib.blake2b(f"{sampling.seed}:{position}:{part}".encode(), digest_size=4)
    return replace(sampling, seed=int.from_bytes(digest.digest(), "big") >> 1)


def drive(
    machines: Sequence[Machine],
    completer: Completer,
    on_finish: Callable[[int], None] | None = None,
) -> list[Outcome]:
    """Run `machines` together, one batch of completions a round, and return their outcomes.

    `on_finish` gets the number of machines that ended in each round.
    """
    outcomes: dict[int, Outcome] = {}
    waiting = {index: next(steps) for index, steps in enumerate(machines)}
    while waiting:
        completions = completer.complete(list(waiting.values()))
        before, waiting = waiting, {}
        for index, completion in zip(before, completions, strict=True):
            try:
                waiting[index] = machines[index].send(completion)
            except StopIteration as stop:
                outcomes[index] = stop.value
        if on_finish:
            on_finish(len(before) - len(waiting))
    return [outcomes[index] for index in range(len(machines))]


def stream(
    prompt_ids: Sequence[int], plan: Plan, streamer: Streamer
) -> Generator[Piece, None, Outcome]:
    """Run one machine, yielding tokens as they come; the generator's value is the outcome."""
    shown = tuple(prompt_ids)
    steps = machine(prompt_ids, plan)
    request = next(steps)
    while True:
        yield from _forced(request.prompt_ids[len(shown) :])
        completion = yield from _relay(streamer, request)
        shown = request.prompt_ids + completion.token_ids
        try:
            request = steps.send(completion)
        except StopIteration as stop:
            outcome: Outcome = stop.value
            yield from _forced((*prompt_ids, *outcome.output_ids)[len(shown) :])
            return outcome


def _forced(ids: tuple[int, ...]) -> Iterator[Piece]:
    if ids:
        yield Piece(ids, is_forced=True)


def _relay(streamer: Streamer, request: CompletionRequest) -> Generator[Piece, None, Completion]:
    tokens = streamer.stream(request)
    while True:
        try:
            yield Piece(next(tokens), is_forced=False)
        except StopIteration as stop:
            completion: Completion = stop.value
            return completion
