"""Completions that are already known, answered without generating them again.

A greedy completion cut at fewer tokens is a prefix of the longer one, and equal requests have
equal answers; nothing else is assumed, so the loop sees what the engine would have said.
"""

from __future__ import annotations

from collections.abc import Sequence

from s1_serve.completions import Completer, Completion, CompletionRequest

Key = tuple[tuple[int, ...], tuple[int, ...], int]


class Memo:
    """A Completer in front of another; remembers greedy completions of any length."""

    def __init__(self, completer: Completer) -> None:
        self._completer = completer
        self._known: dict[Key, Completion] = {}

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """Answer from memory where that is certain, from the completer otherwise."""
        answers = [self._recall(request) for request in requests]
        missing = [index for index, answer in enumerate(answers) if answer is None]
        fresh = self._completer.complete([requests[index] for index in missing])
        for index, completion in zip(missing, fresh, strict=True):
            answers[index] = completion
            self._learn(requests[index], completion)
        return [answer for answer in answers if answer is not None]

    def _recall(self, request: CompletionRequest) -> Completion | None:
        known = self._known.get(_key(request)) if request.sampling.is_greedy else None
        if known is None:
            return None
        if request.max_tokens <= len(known.token_ids):
            cut = known.token_ids[: request.max_tokens]
            return Completion(token_ids=cut, finish_reason="length")
        # The stop token, too, takes one of max_tokens: there is room for it here.
        return known if known.finish_reason == "stop" else None

    def _learn(self, request: CompletionRequest, completion: Completion) -> None:
        if request.sampling.is_greedy:
            known = self._known.get(_key(request))
            if known is None or len(known.token_ids) <= len(completion.token_ids):
                self._known[_key(request)] = completion


def _key(request: CompletionRequest) -> Key:
    return request.prompt_ids, request.stop_ids, request.min_tokens
