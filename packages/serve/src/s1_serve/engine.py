"""vLLM inside this process: a model artifact in, completions over token ids out.

Refuses, in one line, what does not fit: a model, a KV cache, a context. Importing this module
loads neither torch nor vLLM.
"""

from __future__ import annotations

import itertools
import tempfile
import time
from collections import deque
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from s1_serve.news import News, completion_of, likelihoods, mean_logprob, tops_of
from s1_serve.options import budget_options, engine_options, explained, quiet

if TYPE_CHECKING:
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.llm_engine import LLMEngine


@dataclass(frozen=True)
class _Open:
    """A job that the engine has; the ticket is that of a `Planned`."""

    plan: Plan | None = None
    ticket: Ticket | None = None
    num_top: int = 0
    keeps_tops: bool = False
    ids: list[int] = field(default_factory=list)
    likelihoods: list[tuple[float, float]] = field(default_factory=list)


class Engine:
    """A Completer over one vLLM engine, which keeps budgets too; build one a process."""

    def __init__(self, model: Model, config: ServeConfig) -> None:
        check_fit(model, config)
        quiet()
        self._folder = tempfile.TemporaryDirectory(prefix="s1-")
        board = Path(self._folder.name) / "decided"
        self.board = Board(board, 2 * config.max_num_seqs)
        self._vllm = started(model, config, _options(model, config, self.board))
        self._numbers, self._open = itertools.count(), dict[str, _Open]()
        self._thinking: dict[int, str] = {}  # by ticket number
        self.max_num_seqs = config.max_num_seqs
        self.model = model
        self.context: int = self._vllm.model_config.max_model_len

    def open(
        self, job: Job, *, streams: bool = False, num_top: int = 0, keeps_tops: bool = False
    ) -> str:
        """Give the engine a job; return the name by which `poll` speaks of it.

        One that streams has news of every token. `num_top` logprobs a token are averaged; 1 is
        enough for the token's own, 0 is none.

        Raises:
            UserError: vLLM does not take it.
        """
        name, request = str(next(self._numbers)), _request(job)
        if isinstance(job, Planned) and job.wants_logprob:
            num_top = max(num_top, 1)
        one = _Open(num_top=num_top, keeps_tops=keeps_tops)
        params = _params(request, streams=streams)
        if num_top:
            params.logprobs = num_top if num_top > 1 else 0  # vLLM adds the token's own
        if isinstance(job, Planned):
            ticket = self.board.take()
            one = replace(one, plan=job.plan, ticket=ticket)
            self._thinking[ticket.number] = name
            params.extra_args = ticket.extra_args(Terms.pack(job.plan))
        self._open[name] = one
        try:
            self._vllm.add_request(name, list(request.prompt_ids), params)
        except ValueError as error:
            self.close([name])
            raise UserError(str(error)) from error
        return name

    def poll(self) -> list[News]:
        """Take one step and say what came of it."""
        return [self._news(output) for output in self._vllm.step()]

    def thought(self) -> list[str]:
        """Name the planned jobs whose thinking has ended since this was last asked."""
        return [self._thinking.pop(n) for n in self.board.ended() if n in self._thinking]

    def count(self, name: str) -> int:
        """Tell how many tokens a job has generated so far; 0 of one that has ended."""
        known = self._vllm.output_processor
        states = [known.request_states[one] for one in known.external_req_ids.get(name, [])]
        return sum(one.detokenizer.num_output_tokens() for one in states if one.detokenizer)

    def close(self, names: Iterable[str]) -> None:
        """Stop jobs and free what they hold; those that have ended are no matter."""
        names = list(names)
        self._vllm.abort_request(names)
        for name in names:
            if (one := self._open.pop(name, None)) is not None:
                self._give_back(one.ticket)

    def work(self, jobs: Iterable[tuple[K, Job]], done: Done[K]) -> None:
        """Keep the engine full with `jobs` and with what `done` gives for each finished one.

        `done` gets a job's key, its completion (the outcome of a `Planned`) and the seconds it
        took. All share one continuous batch.
        """
        waiting, running = deque(jobs), dict[str, tuple[K, float]]()
        try:
            while waiting or running:
                while waiting and len(running) < self.max_num_seqs:
                    key, job = waiting.popleft()
                    running[self.open(job)] = key, time.monotonic()
                for news in self.poll():
                    if news.result is not None:
                        key, started = running.pop(news.name)
                        waiting.extend(done(key, news.result, time.monotonic() - started))
        finally:
            self.close(running)

    def complete(self, requests: Sequence[CompletionRequest]) -> list[Completion]:
        """Answer all requests in one continuous batch, in their order."""
        return self._all(requests)

    def answer(self, prompts: Sequence[tuple[int, ...]], plans: Sequence[Plan]) -> list[Outcome]:
        """Answer all prompts within their plans, in one continuous batch, in their order."""
        return self._all([Planned(*pair) for pair in zip(prompts, plans, strict=True)])

    def stream(self, prompt: tuple[int, ...], plan: Plan) -> Generator[Piece, None, Outcome]:
        """Answer one prompt within its plan, yielding tokens as they come, the stop token never."""
        name, outcome = self.open(Planned(prompt, plan), streams=True), None
        ticket = self._open[name].ticket
        assert ticket is not None
        thought = Thought(plan=plan, ticket=ticket, board=self.board)
        try:
            while outcome is None:
                for news in self.poll():
                    outcome = news.result
                    is_stop = outcome is not None and outcome.finish_reason == "stop"
                    thought.hear(news.ids, None, is_delta=True)
                    yield Piece(news.ids[:-1] if is_stop else news.ids, thought.is_forced)
        finally:
            self.close([name])
        assert isinstance(outcome, Outcome)
        return outcome

    def _all(self, jobs: Sequence[Job]) -> list[Any]:
        found: dict[int, Any] = {}

        def done(index: int, result: Any, _seconds: float) -> tuple[()]:
            found[index] = result
            return ()

        self.work(enumerate(jobs), done)
        return [found[index] for index in range(len(jobs))]

    def _give_back(self, ticket: Ticket | None) -> None:
        if ticket is not None:
            self._thinking.pop(ticket.number, None)
            self.board.give_back(ticket)

    def _news(self, output: Any) -> News:
        name, (choice,) = output.request_id, output.outputs
        one, ids = self._open[name], tuple(choice.token_ids)
        one.ids.extend(ids)
        top = likelihoods(ids, choice.logprobs, one.num_top) if one.num_top else ()
        one.likelihoods.extend(top)
        tops = tops_of(choice.logprobs, one.num_top) if one.keeps_tops else ()
        if choice.finish_reason is None:
            return News(name, ids, top, tops=tops)
        del self._open[name]
        completion = completion_of(tuple(one.ids), choice.finish_reason)
        cached = output.num_cached_tokens or 0
        if one.plan is None or one.ticket is None:
            return News(name, ids, top, completion, cached, tops)
        decided = self.board.decided(one.ticket)
        self._give_back(one.ticket)
        outcome = Outcome.read(completion, one.plan, decided)
        mean = mean_logprob(one.likelihoods, outcome, one.plan, decided)
        return News(name, ids, top, replace(outcome, mean_logprob=mean), cached, tops)


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


def started(model: Model, config: ServeConfig, options: Mapping[str, Any]) -> LLMEngine:
    """Start vLLM with options as `engine_options` gives them.

    Raises:
        UserError: there is no room for the model or its KV cache.
    """
    from vllm import EngineArgs
    from vllm.v1.engine.llm_engine import LLMEngine

    arguments = EngineArgs(
        **options, skip_tokenizer_init=True, disable_log_stats=True, use_tqdm_on_load=False
    )
    try:
        return LLMEngine.from_engine_args(arguments)
    except (ValueError, RuntimeError) as error:  # torch's lack of memory is a RuntimeError
        raise explained(error, model, config) from error


def _options(model: Model, config: ServeConfig, board: Board) -> dict[str, Any]:
    # A model that counts steps completes token ids here, without the machine.
    machine = {} if model.format.counts_steps else budget_options(model, board)
    return engine_options(model, config) | machine


def _request(job: Job) -> CompletionRequest:
    """Give what vLLM is asked for; greedy where the machine draws."""
    if isinstance(job, CompletionRequest):
        return job
    return CompletionRequest(
        prompt_ids=job.prompt_ids,
        max_tokens=job.plan.room,
        stop_ids=job.plan.delimiters.stop_ids,
    )


def _params(request: CompletionRequest, *, streams: bool) -> SamplingParams:
    from vllm.sampling_params import RequestOutputKind, SamplingParams

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
        output_kind=RequestOutputKind.DELTA if streams else RequestOutputKind.FINAL_ONLY,
    )
