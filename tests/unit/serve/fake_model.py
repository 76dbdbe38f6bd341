"""A deterministic language model over six tokens that answers completion requests.

Tokens 0-3 are words, 4 opens the end string, 5 ends the turn. Its next token is a hash of all
tokens before it, so that any wrong token in a prompt changes everything that follows. `TEXT` is
its tokenizer: 4 and 5 are the turn's start and end, words are digits, the rest is ASCII.
"""

import hashlib
import re
from collections import deque
from collections.abc import Collection, Generator, Iterable, Iterator, Sequence

from s1_core import chat
from s1_serve.budget.loop import drive, machine
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import Delimiters
from s1_serve.budget.work import Done, Job, K, Planned
from s1_serve.completions import Completion, CompletionRequest
from s1_serve.evaluate.run.tokens import Speech

WORDS, END_OPENS, TURN_ENDS = (0, 1, 2, 3), 4, 5
CONTROL = {END_OPENS: chat.TURN_START, TURN_ENDS: chat.TURN_END}
VOCABULARY = (*WORDS, END_OPENS, TURN_ENDS)
MARKS = Delimiters(
    attempt_ids=(END_OPENS, TURN_ENDS),
    end=(END_OPENS, 1),
    cut=(0, END_OPENS, 1, 2, 3),
    stop_ids=(TURN_ENDS,),
)


def next_id(prefix: Sequence[int], masked: Collection[int] = ()) -> int:
    """Return the model's own token after `prefix` when `masked` may not come."""
    digest = hashlib.blake2b(bytes(prefix), digest_size=len(VOCABULARY)).digest()
    return max((score, token) for token, score in enumerate(digest) if token not in masked)[1]


class Text:
    """A Codec between the model's tokens and text; what is no token of its own is one of ASCII."""

    def encode(self, text: str) -> tuple[int, ...]:
        pieces = re.split(f"({re.escape(chat.TURN_START)}|{re.escape(chat.TURN_END)})", text)
        return tuple(id for piece in pieces for id in _ids(piece))

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(CONTROL.get(i) or (str(i) if i in WORDS else chr(i)) for i in ids)


def _ids(piece: str) -> list[int]:
    return [i for i, mark in CONTROL.items() if mark == piece] or [ord(one) for one in piece]


TEXT = Text()


def speech(context: int = 1000, answer_tokens: int = 12) -> Speech:
    """Say what the model's tokens mean, within so much room."""
    return Speech(
        format=chat.FORMATS["s1"], codec=TEXT, stop_ids=(TURN_ENDS,), context=context,
        answer_tokens=answer_tokens,
    )  # fmt: skip


def result_ids(result: Completion | Outcome) -> tuple[int, ...]:
    """Return the tokens of what a worker gave."""
    return result.token_ids if isinstance(result, Completion) else result.output_ids


class FakeModel:
    """A Completer, a Streamer and a Worker; records every batch it was asked for."""

    def __init__(self, context: int = 10**9) -> None:
        self.context = context
        self.batches: list[list[CompletionRequest]] = []

    @property
    def num_generated(self) -> int:
        return sum(len(self._generate(r).token_ids) for batch in self.batches for r in batch)

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        self.batches.append(list(requests))
        return [self._generate(request) for request in requests]

    def work(self, jobs: Iterable[tuple[K, Job]], done: Done[K]) -> None:
        """Do jobs one after the other; a `Planned` by the loop."""
        queue = deque(jobs)
        while queue:
            key, job = queue.popleft()
            if isinstance(job, Planned):
                (result,) = drive([machine(job.prompt_ids, job.plan)], self)
            else:
                (result,) = self.complete([job])
            queue.extend(done(key, result, float(len(result_ids(result)))))

    def stream(self, request: CompletionRequest) -> Generator[tuple[int, ...], None, Completion]:
        completion = self._generate(request)
        for token in completion.token_ids:
            yield (token,)
        return completion

    def _generate(self, request: CompletionRequest) -> Completion:
        tokens: list[int] = []
        for token in self._tokens(request):
            if token in request.stop_ids:
                return Completion(token_ids=tuple(tokens), finish_reason="stop")
            tokens.append(token)
        return Completion(token_ids=tuple(tokens), finish_reason="length")

    def _tokens(self, request: CompletionRequest) -> Iterator[int]:
        prefix = list(request.prompt_ids)
        for count in range(min(request.max_tokens, self.context - len(request.prompt_ids))):
            token = next_id(prefix, request.stop_ids if count < request.min_tokens else ())
            prefix.append(token)
            yield token
