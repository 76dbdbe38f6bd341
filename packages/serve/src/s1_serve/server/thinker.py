"""The engine behind vLLM's handlers: whatever they generate keeps the budget that was asked for.

Refuses, before anything is generated, what does not fit or would not be what it says. Fans `n`
answers out to requests of their own. Stop strings wait for the answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

from vllm import SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.outputs import RequestOutput
from vllm.sampling_params import RequestOutputKind
from vllm.utils.async_utils import merge_async_iterators
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.detokenizer import check_stop_strings

from s1_core.errors import UserError
from s1_serve.budget.plan import Delimiters, ExtendError, Limits, Plan, delimiters, resolve
from s1_serve.budget.processor import refused
from s1_serve.budget.request import KEY, Board, Ticket
from s1_serve.budget.terms import Terms
from s1_serve.completions import Sampling
from s1_serve.contract.api import Asked, Refusal
from s1_serve.contract.exchange import CURRENT, Exchange
from s1_serve.contract.thought import Thought
from s1_serve.model import Model

_STILL_THINKS = 1 << 60


@dataclass(frozen=True, kw_only=True)
class Planner:
    """Resolves what was asked against one prompt."""

    model: Model
    context: int
    answer_reserve: int

    def plan(self, exchange: Exchange, prompt: tuple[int, ...], params: SamplingParams) -> Plan:
        """Resolve the budget of a request.

        Raises:
            Refusal: the budget does not fit, or the sampling cannot be honoured with one.
        """
        asked = exchange.asked
        assert asked.budget is not None
        _check(params)
        suffix = params.structured_outputs is None and not exchange.has_grammar
        marks = self._delimiters(prompt, suffix=suffix)
        limits = Limits(
            prompt_tokens=len(prompt),
            max_tokens=params.max_tokens,
            context=self.context,
            answer_reserve=self.answer_reserve,
        )
        try:
            plan = resolve(asked.budget, limits, marks, self.model.text.encode, _sampling(params))
        except ExtendError as error:
            raise Refusal(str(error), "extend_with") from error
        except UserError as error:
            raise Refusal(str(error), _field(asked)) from error
        if asked.effort is None:
            return plan
        granted = max(int(asked.effort * self.context), asked.budget.min)
        return replace(plan, maximum=min(plan.maximum, granted))

    def _delimiters(self, prompt: tuple[int, ...], *, suffix: bool) -> Delimiters:
        model = self.model
        marks = delimiters(model.format, model.text.encode, model.stop_ids, suffix=suffix)
        header = model.text.encode(model.format.thinking_start)
        is_open = prompt[-len(header) :] == header
        return marks if is_open else replace(marks, header=header)


class Thinker(AsyncLLM):
    """vLLM's engine with a planner and a board, which `furnish` hands it."""

    def furnish(self, planner: Planner, board: Board) -> None:
        """Give it what budgets need; without, every request is vLLM's own."""
        self.planner, self.board = planner, board

    def generate(
        self, prompt: Any, sampling_params: SamplingParams, request_id: str, **options: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        """Generate within the budget of the current exchange, if it has one.

        Raises:
            VLLMValidationError: at once, before any output: refused, and why is in the exchange.
        """
        exchange = CURRENT.get()
        if exchange is None:
            return super().generate(prompt, sampling_params, request_id, **options)
        try:
            answers = self._answers(exchange, prompt, sampling_params)
        except Refusal as refusal:
            exchange.refusal = refusal
            raise VLLMValidationError(refusal.message, parameter=refusal.field) from refusal
        if not answers:
            return self._plain(exchange, prompt, sampling_params, request_id, options)
        options["reasoning_ended"] = False
        running = [
            self._think(exchange, thought, prompt, params, f"{request_id}-{index}", options)
            for index, (params, thought) in enumerate(answers)
        ]
        if len(running) == 1:
            return running[0]
        return _merged(
            running, is_final=sampling_params.output_kind == RequestOutputKind.FINAL_ONLY
        )

    def _answers(
        self, exchange: Exchange, prompt: Any, params: SamplingParams
    ) -> list[tuple[SamplingParams, Thought]]:
        """Plan each of the answers; none where the request has no budget."""
        if KEY in (params.extra_args or {}):
            raise Refusal(f"vllm_xargs holds {KEY}, which is the server's own; leave it out", KEY)
        prompt_ids = tuple(prompt["prompt_token_ids"])
        exchange.prompt_tokens += len(prompt_ids)
        if exchange.asked.budget is None:
            return []
        plan = self.planner.plan(exchange, prompt_ids, params)
        answers = []
        for index in range(params.n):
            ticket = self.board.take()
            own = replace(plan, sampling=plan.sampling.fanned(index))  # a seed of its own
            thought = Thought(plan=own, ticket=ticket, board=self.board)
            exchange.thoughts.append(thought)
            answers.append((_params(params, thought.plan, ticket), thought))
        return answers

    async def _plain(
        self, exchange: Exchange, prompt: Any, params: SamplingParams, name: str, options: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        async with aclosing(super().generate(prompt, params, name, **options)) as outputs:
            async for output in outputs:
                exchange.is_admitted = True
                yield output

    async def _think(
        self,
        exchange: Exchange,
        thought: Thought,
        prompt: Any,
        params: SamplingParams,
        name: str,
        options: Any,
    ) -> AsyncGenerator[RequestOutput, None]:
        """Generate one answer and follow it; its slot is free when the engine has let it go."""
        is_delta = params.output_kind == RequestOutputKind.DELTA
        try:
            async with aclosing(super().generate(prompt, params, name, **options)) as outputs:
                async for output in outputs:
                    exchange.is_admitted = True
                    for answer in output.outputs:
                        thought.hear(answer.token_ids, answer.finish_reason, is_delta=is_delta)
                    yield output
        finally:
            self.board.give_back(thought.ticket)

    async def add_request(self, request_id: str, prompt: Any, params: Any, **options: Any) -> Any:  # type: ignore[override]
        """Let stop strings wait for the answer: vLLM looks for them in all of the text."""
        queue = await super().add_request(request_id, prompt, params, **options)
        state = self.output_processor.request_states.get(queue.request_id)
        if state is not None and KEY in (getattr(params, "extra_args", None) or {}):
            detokenizer: Any = state.detokenizer
            if getattr(detokenizer, "stop", None):
                end = self.planner.model.text.encode(self.planner.model.format.answer_start)
                detokenizer.update = _stopping_late(detokenizer, end)
        return queue


def _stopping_late(detokenizer: Any, end: tuple[int, ...]) -> Callable[[list[int], bool], Any]:
    """Wrap the update of a request's detokenizer, which looks for stop strings.

    They are looked for from the first visible character behind the end string on.
    """
    update, least = detokenizer.update, detokenizer.min_tokens
    detokenizer.min_tokens = _STILL_THINKS
    answer_at: int | None = None

    def updated(new_token_ids: list[int], stop_terminated: bool) -> Any:
        nonlocal answer_at
        stopped = update(new_token_ids, stop_terminated)
        ids, text = detokenizer.token_ids, detokenizer.output_text
        if answer_at is None:
            recent = ids[-(len(new_token_ids) + len(end)) :]
            windows = [tuple(recent[at : at + len(end)]) for at in range(len(recent))]
            answer_at = len(text) if end in windows else None
        elif detokenizer.min_tokens == _STILL_THINKS and (said := text[answer_at:].lstrip()):
            detokenizer.min_tokens = max(least, len(ids))
            found = check_stop_strings(
                text, len(said), detokenizer.stop, detokenizer.include_stop_str_in_output
            )
            if found is not None and len(ids) > least:
                stopped, length = found
                detokenizer.output_text = text if length == -1 else text[:length]
        return stopped

    return updated


def _field(asked: Asked) -> str:
    """Name what a budget that does not fit was said with, or else the room it was given."""
    if asked.field is not None:
        return asked.field
    rooms = ("max_completion_tokens", "max_tokens", "max_output_tokens")
    return next((room for room in rooms if asked.body.get(room) is not None), "max_tokens")


def _check(params: SamplingParams) -> None:
    if found := refused(params):
        raise Refusal(found[1], found[0])
    if params.stop_token_ids:
        raise Refusal(
            f"stop_token_ids is {params.stop_token_ids}: they would end thinking without an answer;"
            " use stop, which waits for the answer",
            "stop_token_ids",
        )


def _sampling(params: SamplingParams) -> Sampling:
    return Sampling(
        temperature=params.temperature,
        top_p=params.top_p,
        top_k=max(params.top_k, 0),
        min_p=params.min_p,
        seed=params.seed,
    )


def _params(params: SamplingParams, plan: Plan, ticket: Ticket) -> SamplingParams:
    """Write what the engine gets: greedy for vLLM, as the machine draws."""
    params = params.clone()
    params.n, params.seed = 1, None
    params.temperature, params.top_p, params.top_k, params.min_p = 0.0, 1.0, 0, 0.0
    params.extra_args = (params.extra_args or {}) | ticket.extra_args(Terms.pack(plan))
    if not params.ignore_eos:
        params.stop_token_ids = list(plan.delimiters.stop_ids)
    return params


async def _merged(
    running: list[AsyncGenerator[RequestOutput, None]], *, is_final: bool
) -> AsyncGenerator[RequestOutput, None]:
    """Give the outputs of several answers as vLLM gives those of one request with n > 1."""
    last: dict[int, RequestOutput] = {}
    num_open = len(running)
    async with aclosing(merge_async_iterators(*running)) as outputs:
        async for index, output in outputs:
            for answer in output.outputs:
                answer.index = index
            num_open -= output.finished
            output.finished = not num_open
            last[index] = output
            if not is_final:
                yield output
    if is_final:
        whole = last[0]
        whole.outputs = [answer for index in sorted(last) for answer in last[index].outputs]
        yield whole
