"""Steps of thinking over HTTP: text completions of token ids, at a service of ours.

The prompt is what the service's own chat template makes of the messages; steps go on from token
ids, so nothing is tokenised twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from s1_core import chat
from s1_core.errors import UserError
from s1_serve.budget.plan import Delimiters, Plan, delimiters
from s1_serve.completions import Completion, CompletionRequest, Sampling
from s1_serve.endpoint import completion_body
from s1_serve.strategies.calls import Step
from s1_serve.strategies.driving.asking import Ask, planned, wanted
from s1_serve.strategies.driving.stepping import Bounds, Path
from s1_serve.strategies.driving.striding import Stepping
from s1_serve.strategies.known import Result
from s1_serve.strategies.session import Launch, Session
from s1_serve.strategies.wire.body import Client
from s1_serve.strategies.wire.poster import Poster, Refused
from s1_serve.strategies.wire.transcript import Transcript
from s1_serve.text import Codec

COMPLETIONS, TOKENIZE = "/v1/completions", "/tokenize"
_TEMPLATE = ("chat_template_kwargs", "documents", "chat_template")
"""fields of a chat request that shape its prompt"""
READ = (
    *("messages", "model", "seed", "max_tokens", "max_completion_tokens"),
    *("temperature", "top_p", "top_k", "min_p", *_TEMPLATE),
)
"""fields of a chat request that steps honour, besides those of thinking"""


@dataclass(frozen=True, kw_only=True)
class Voice:
    """What the tokens of the served model mean; `speaks` one prompt once that is known."""

    format: chat.Format
    codec: Codec
    stop_ids: tuple[int, ...]
    context: int
    answer_tokens: int
    """kept for the answer"""
    prompt_ids: tuple[int, ...] = ()

    @property
    def marks(self) -> Delimiters:
        return delimiters(self.format, self.codec.encode, self.stop_ids)

    def prompt(self, question: str) -> tuple[int, ...]:
        """Give the prompt of the request, which is more than its last question."""
        return self.prompt_ids

    def over(self, prompt_ids: Sequence[int]) -> Voice:
        """Speak over a prompt, which ends with the thinking header."""
        header = self.codec.encode(self.format.thinking_start)
        ids = tuple(prompt_ids)
        return replace(self, prompt_ids=ids if ids[-len(header) :] == header else ids + header)


class _Told(NamedTuple):
    """What a stream said last of a request."""

    ids: tuple[int, ...]
    result: Completion | None
    cached_tokens: int = 0


class Stepper:
    """The steps of one request."""

    def __init__(self, poster: Poster, model: str, client: Client, voice: Voice) -> None:
        self._poster, self._model, self._client = poster, model, client
        self._voice = voice
        self._is_known = False

    async def result(self, launch: Launch, session: Session, transcript: Transcript) -> Result:
        """Take one step.

        Raises:
            UserError: the budget does not fit, or the service refuses.
        """
        call = launch.call
        assert isinstance(call, Step)
        voice = await self._over_prompt()
        plan = self._plan(call, session, voice)
        bounds = Bounds(plan=plan, cap=launch.max_tokens, reserve=voice.answer_tokens)
        path = Path.of(voice.prompt_ids, launch.path)
        stepping = Stepping(call, voice, path, bounds)
        job = stepping.begin()
        while not isinstance(job, Result):
            job = await self._leg(job, stepping, transcript)
        limits = {"max": plan.maximum, "min": plan.minimum}
        message: dict[str, Any] = {}
        if job.end != "open":  # decoded as a whole: a character may begin in one step
            thinking = voice.codec.decode(path.thinking_ids + job.token_ids).strip()
            message = {"role": "assistant", "content": job.answer, "reasoning": thinking or None}
        return replace(job, message=message, choice={"thinking": limits})

    async def _over_prompt(self) -> Voice:
        if not self._is_known:
            fields = self._client.fields
            body = {k: fields[k] for k in _TEMPLATE if k in fields}
            body |= {"model": self._model, "messages": fields["messages"]}
            said = await self._poster.post(TOKENIZE, body)
            self._voice, self._is_known = self._voice.over(said["tokens"]), True
        return self._voice

    def _plan(self, call: Step, session: Session, voice: Voice) -> Plan:
        """Resolve the budget of the whole path; the answer may have what thinking leaves."""
        client, room = self._client, voice.context - len(voice.prompt_ids)
        ask = Ask(
            question=client.question,
            session=session,
            budget=client.budget,
            sampling=_sampling(client),
            max_tokens=room if client.max_tokens is None else client.max_tokens,
        )
        try:
            plan = planned(voice, wanted(ask, call, None, client.least))
        except UserError as error:
            raise Refused(400, str(error)) from error
        if client.effort is None:
            return plan
        granted = max(int(client.effort * voice.context), plan.minimum)
        return replace(plan, maximum=min(plan.maximum, granted))

    async def _leg(
        self, request: CompletionRequest, stepping: Stepping, transcript: Transcript
    ) -> CompletionRequest | Result:
        """Stream one completion until the step has ended or the engine has."""
        ids: tuple[int, ...] = ()
        body = completion_body(request, self._model) | {"stream": True}
        events = self._poster.events(COMPLETIONS, body)
        async with aclosing(events):
            async for event in events:
                for choice in event["choices"]:
                    fresh, reason = tuple(choice["token_ids"] or ()), choice.get("finish_reason")
                    ids += fresh
                    transcript.tokens += len(fresh)
                    transcript.reasoning.append(choice["text"])
                    done = _completion(ids, reason) if reason else None
                    for reply in stepping.hear(_Told(fresh, done)):
                        return reply
        raise UserError("the stream broke off before the step's end")


def _sampling(client: Client) -> Sampling:
    """Read how to draw, with the defaults of the API."""
    fields = client.fields
    temperature, top_p = fields.get("temperature"), fields.get("top_p")
    return Sampling(
        temperature=1.0 if temperature is None else temperature,
        top_p=1.0 if top_p is None else top_p,
        top_k=max(fields.get("top_k") or 0, 0),
        min_p=fields.get("min_p") or 0.0,
        seed=client.seed,
    )


def _completion(ids: tuple[int, ...], reason: str) -> Completion:
    if reason == "stop":
        return Completion(token_ids=ids[:-1], finish_reason="stop")
    return Completion(token_ids=ids, finish_reason="length")
