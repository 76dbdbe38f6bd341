"""vLLM inside this process: a model artifact in, completions over token ids out.

Refuses, in one line, a KV cache or a context that does not fit. Importing this module loads
neither torch nor vLLM.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic

from s1_core.errors import UserError
from s1_serve.budget.loop import Piece
from s1_serve.budget.outcome import Outcome
from s1_serve.budget.plan import Plan
from s1_serve.budget.request import Board, Ticket
from s1_serve.budget.terms import Terms
from s1_serve.budget.work import Done, Job, K, Planned
from s1_serve.completions import Completion, CompletionRequest
from s1_serve.config import ServeConfig
from s1_serve.contract.thought import Thought
from s1_serve.model import Model, check_fit, open_model
from s1_serve.options import budget_options, engine_options, quiet

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.llm_engine import LLMEngine


@dataclass(frozen=True)
class _Running(Generic[K]):
    """A job that the engine has; the ticket is that of a `Planned`."""

    key: K
    started: float
    plan: Plan | None = None
    ticket: Ticket | None = None


class Engine:
    """A Completer over one vLLM engine, which keeps budgets too; build one a process."""

    def __init__(self, model: Model, config: ServeConfig) -> None:
        check_fit(model, config)
        quiet()
        self._folder = tempfile.TemporaryDirectory(prefix="s1-")
        board = Path(self._folder.name) / "decided"
        self.board = Board(board, 2 * config.max_num_seqs)
        self._vllm = _start(model, config, self.board)
        self._numbers, self._max_num_seqs = itertools.count(), config.max_num_seqs
        self.model = model
        self.context: int = self._vllm.model_config.max_model_len

    def work(self, jobs: Iterable[tuple[K, Job]], done: Done[K]) -> None:
        """Keep the engine full with `jobs` and with what `done` gives for each finished one.

        `done` gets a job's key, its completion (the outcome of a `Planned`) and the seconds it
        took. All share one continuous batch.
        """
        waiting, running = deque(jobs), dict[str, _Running[K]]()
        try:
            while waiting or running:
                while waiting and len(running) < self._max_num_seqs:
                    key, job = waiting.popleft()
                    running.update([self._begin(key, job)])
                for name, completion in self._finished():
                    one = running.pop(name)
                    result = self._result(one, completion)
                    waiting.extend(done(one.key, result, time.monotonic() - one.started))
        finally:
            self._vllm.abort_request(list(running))
            for one in running.values():
                self._give_back(one)

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """Answer all requests in one continuous batch, in their order."""
        return self._all(requests)

    def answer(self, prompts: Sequence[tuple[int, ...]], plans: Sequence[Plan]) -> list[Outcome]:
        """Answer all prompts within their plans, in one continuous batch, in their order."""
        return self._all([Planned(*pair) for pair in zip(prompts, plans, strict=True)])

    def stream(self, prompt: tuple[int, ...], plan: Plan) -> Generator[Piece, None, Outcome]:
        """Answer one prompt within its plan, yielding tokens as they come, the stop token never."""
        from vllm.sampling_params import RequestOutputKind

        thought = Thought(plan=plan, ticket=self.board.take(), board=self.board)
        name = self._add_planned(prompt, plan, thought.ticket, RequestOutputKind.DELTA)
        try:
            while thought.outcome is None:
                for output in self._vllm.step():
                    tokens, reason = _heard(output)
                    thought.hear(tokens, reason, is_delta=True)
                    yield Piece(tokens[:-1] if reason == "stop" else tokens, thought.is_forced)
        finally:
            self._vllm.abort_request([name])
            self.board.give_back(thought.ticket)
        return thought.outcome

    def _all(self, jobs: Sequence[Job]) -> list[Any]:
        found: dict[int, Any] = {}

        def done(index: int, result: Any, _seconds: float) -> tuple[()]:
            found[index] = result
            return ()

        self.work(enumerate(jobs), done)
        return [found[index] for index in range(len(jobs))]

    def _begin(self, key: K, job: Job) -> tuple[str, _Running[K]]:
        from vllm.sampling_params import RequestOutputKind

        kind, started = RequestOutputKind.FINAL_ONLY, time.monotonic()
        if isinstance(job, CompletionRequest):
            return self._add(job, kind), _Running(key, started)
        ticket = self.board.take()
        name = self._add_planned(job.prompt_ids, job.plan, ticket, kind)
        return name, _Running(key, started, job.plan, ticket)

    def _result(self, one: _Running[K], completion: Completion) -> Completion | Outcome:
        if one.plan is None or one.ticket is None:
            return completion
        decided = self.board.decided(one.ticket)
        self._give_back(one)
        return Outcome.read(completion, one.plan, decided)

    def _give_back(self, one: _Running[K]) -> None:
        if one.ticket is not None:
            self.board.give_back(one.ticket)

    def _finished(self) -> Iterator[tuple[str, Completion]]:
        """Take one step and give the requests that ended in it."""
        for output in self._vllm.step():
            tokens, reason = _heard(output)
            if reason:
                yield output.request_id, _completion(tokens, reason)

    def _add(self, request: CompletionRequest, kind: Any) -> str:
        name = str(next(self._numbers))
        self._vllm.add_request(name, list(request.prompt_ids), _params(request, kind))
        return name

    def _add_planned(
        self, prompt: tuple[int, ...], plan: Plan, ticket: Ticket, kind: RequestOutputKind
    ) -> str:
        request = CompletionRequest(
            prompt_ids=prompt,
            max_tokens=plan.room,
            stop_ids=plan.delimiters.stop_ids,
        )  # greedy for vLLM: the machine draws
        params = _params(request, kind)
        params.extra_args = ticket.extra_args(Terms.pack(plan))
        name = str(next(self._numbers))
        self._vllm.add_request(name, list(prompt), params)
        return name


class LazyEngine:
    """A model whose engine starts when it is first needed: finished work needs none."""

    def __init__(self, path: str, config: ServeConfig) -> None:
        self.model = open_model(path)
        self._path, self._config = path, config
        self._engine: Engine | None = None

    def work(self, jobs: Iterable[tuple[K, Job]], done: Done[K]) -> None:
        """Work on jobs as the engine does; without any it does not start."""
        if begun := list(jobs):
            self.start().work(begun, done)

    def start(self) -> Engine:
        """Return the engine, starting it on the first call.

        Raises:
            UserError: the model was replaced between reading its manifest and loading its weights.
        """
        if self._engine is None:
            self._engine = Engine(self.model, self._config)
            if open_model(self._path).artifact.sha256 != self.model.artifact.sha256:
                raise UserError(f"{self._path} was replaced while it loaded: run again")
        return self._engine


def _start(model: Model, config: ServeConfig, board: Board) -> LLMEngine:
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    # A model that counts steps completes token ids here, without the machine.
    machine = {} if model.format.counts_steps else budget_options(model, board)
    arguments = EngineArgs(
        **engine_options(model, config),
        **machine,
        skip_tokenizer_init=True,
        disable_log_stats=True,
        use_tqdm_on_load=False,
    )
    try:
        return LLMEngine.from_engine_args(arguments)
    except ValueError as error:
        raise _explained(error, config) from error


def _explained(error: ValueError, config: ServeConfig) -> Exception:
    """Turn vLLM's refusals that a user can act on into one line; others stay what they are."""
    message = str(error)
    if "kv" in message.lower() or "cache blocks" in message:
        return UserError(
            f"the KV cache does not fit: kv_cache_gib is {config.kv_cache_gib} and vLLM says: "
            f"{message.splitlines()[0]}"
        )
    return error


def _params(request: CompletionRequest, kind: Any) -> SamplingParams:
    from vllm import SamplingParams

    sampling = request.sampling
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        seed=None if sampling.is_greedy else sampling.seed,
        max_tokens=request.max_tokens,
        min_tokens=min(request.min_tokens, request.max_tokens),
        stop_token_ids=list(request.stop_ids),
        ignore_eos=True,  # what ends a completion is in stop_ids, nothing else
        detokenize=False,
        output_kind=kind,
    )


def _heard(output: Any) -> tuple[tuple[int, ...], str | None]:
    (choice,) = output.outputs
    return tuple(choice.token_ids), choice.finish_reason


def _completion(tokens: tuple[int, ...], reason: str | None) -> Completion:
    if reason == "stop":
        return Completion(token_ids=tokens[:-1], finish_reason="stop")
    assert reason == "length", f"the engine ended a request with {reason!r}"
    return Completion(token_ids=tokens, finish_reason="length")
