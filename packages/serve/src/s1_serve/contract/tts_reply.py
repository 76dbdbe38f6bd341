"""What a response says of a strategy: the winner's choice, all tokens, how it came about.

Pure: a session in, JSON objects out, whole or as the chunks of a stream.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from s1_serve.strategies.calls import Call, Chat, Step
from s1_serve.strategies.known import Known, Result, Sample
from s1_serve.strategies.session import Session

Json = dict[str, Any]
_FAILURE_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True)
class TtsReply:
    """The response to one request. `body` is the client's, `asked_model` what it called the model.

    `mirrors` repeats `reasoning` as `reasoning_content`.
    """

    session: Session
    strategy: str
    parameters: Mapping[str, Any]
    body: Mapping[str, Any]
    shows_thinking: bool = True
    mirrors: bool = False
    returns_candidates: bool = False
    head: Mapping[str, Any] = field(default_factory=dict)
    """id, created and model: what every object of the response has."""

    def told(self, wall_ms: int) -> Json:
        """Write the object `tts`."""
        session = self.session
        outcome, tokens = session.outcome, session.tokens
        assert outcome is not None
        choice = outcome.choice
        said: Json = {
            "strategy": self.strategy,
            "parameters": dict(self.parameters),
            **session.counts(),
            "tokens": {
                "total": tokens.total,
                "sequential": tokens.sequential,
                "aborted": tokens.aborted,
                "verifier": tokens.verifier,
            },
            "wall_ms": wall_ms,
            "votes": {k: _finite(v) for k, v in choice.votes.items()} if choice else {},
            "margin": _finite(choice.margin) if choice else None,
            "selected": choice.id if choice else None,
            "stopped": outcome.stopped,
            "degraded": outcome.is_degraded,
            "policy_reason": getattr(session.policy, "reason", None),
        }
        if self.returns_candidates:
            said["candidates"] = [self._candidate(sample) for sample in session.candidates]
        return said

    def _candidate(self, sample: Sample) -> Json:
        result = sample.result
        outcome = self.session.outcome
        scores = outcome.choice.scores if outcome and outcome.choice else {}
        calls = result.message.get("tool_calls")
        failure = " ".join(sample.failure.split())[:_FAILURE_CHARACTERS]
        return {
            "id": sample.id,
            **({"parent": sample.call.parent} if isinstance(sample.call, Step) else {}),
            "answer": result.answer,
            **({"tool_calls": calls} if calls else {}),
            "vote": result.vote,
            "thinking_tokens": sample.thinking_tokens,
            "tokens": sample.tokens,
            "state": sample.state,
            "failure": failure or None,
            "score": _finite(scores.get(sample.id, result.mean_logprob)),
        }

    def usage(self) -> Json:
        """Count all that was generated, the thinking of verifiers too, and the client's own prompt.

        The prompt counts once, without what a strategy put under it; that of a search over steps
        ends with the thinking header. It is 0 where no call came to its end.
        """
        known, total, first = self.session.known, self.session.tokens.total, self._first()
        return {
            "prompt_tokens": first.prompt_tokens,
            "completion_tokens": total,
            "total_tokens": first.prompt_tokens + total,
            "prompt_tokens_details": {"cached_tokens": first.cached_tokens},
            "completion_tokens_details": {
                "reasoning_tokens": sum(sample.thinking_tokens for sample in known)
            },
        }

    def _first(self) -> Result:
        """Give the first result that says how long a prompt was, of the client's own if any."""
        told = [s for s in self.session.known if s.is_candidate and s.result.prompt_tokens]
        plain = [sample for sample in told if _is_plain(sample.call)]
        return next((sample.result for sample in plain + told), Result())

    def whole(self, wall_ms: int) -> Json:
        """Write a response that does not stream."""
        choice = self.choice()
        return {
            **self.head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self.usage(),
            "tts": self.told(wall_ms),
        }

    def choice(self) -> Json:
        """Give the winner's choice as the client asked for it."""
        outcome = self.session.outcome
        assert outcome is not None and outcome.choice is not None
        found = winner(self.session.known, outcome.choice.id)
        message = dict(found.pop("message"))
        found.pop("pieces", None)
        reasoning = message.pop("reasoning", None) if self.shows_thinking else None
        shown = {"reasoning": reasoning} if self.shows_thinking else {}
        if self.shows_thinking and self.mirrors:
            shown["reasoning_content"] = reasoning
        message.pop("reasoning", None)
        if not message.get("content"):
            message["content"] = "" if self._must_call else None
        logprobs = self._logprobs(found.pop("logprobs", None))
        if not self.body.get("return_token_ids"):
            found.pop("token_ids", None)
        return {**found, "index": 0, "message": {**message, **shown}, "logprobs": logprobs}

    @property
    def _must_call(self) -> bool:
        """Say whether a tool is forced: then vLLM writes no text as "", else as null."""
        choice = self.body.get("tool_choice")
        return choice == "required" or isinstance(choice, dict)

    def _logprobs(self, logprobs: Mapping[str, Any] | None) -> Json | None:
        """Keep as many as the client asked for; the strategy may have wanted more."""
        if not logprobs or not self.body.get("logprobs"):
            return None
        most = self.body.get("top_logprobs") or 0
        content = [
            entry | {"top_logprobs": (entry.get("top_logprobs") or [])[:most]}
            for entry in logprobs["content"]
        ]
        return {"content": content}

    def progress(self, best: str | None, thinking: str) -> Json:
        """Write a chunk that tells how far it has come, and what the best candidate thought since.

        Best is who would answer now.
        """
        session = self.session
        said: Json = {
            "progress": {**session.counts(), "tokens": session.tokens.total},
            "best": best,
        }
        if self.shows_thinking:
            said["thinking"] = thinking
        return self._chunk([], tts=said)

    def chunks(self, wall_ms: int) -> Iterator[Json]:
        """Write the winner as a stream's chunks."""
        choice = self.choice()
        message, logprobs = choice.pop("message"), choice.pop("logprobs")
        yield self._delta({"role": message.get("role", "assistant"), "content": ""})
        names = [key for key in ("reasoning", "reasoning_content") if message.get(key)]
        for text, is_forced in self._pieces() if names else ():
            yield self._delta(dict.fromkeys(names, text), **{"forced": True} if is_forced else {})
        if message.get("content") or logprobs or choice.get("token_ids"):
            ids = {"token_ids": choice["token_ids"]} if "token_ids" in choice else {}
            yield self._delta({"content": message.get("content") or ""}, logprobs=logprobs, **ids)
        if calls := message.get("tool_calls"):
            numbered = [{"index": index, **call} for index, call in enumerate(calls)]
            yield self._delta({"tool_calls": numbered})
        choice.pop("token_ids", None)
        last = {**choice, "delta": {}, "logprobs": None}
        yield self._chunk([last], tts=self.told(wall_ms))
        if (self.body.get("stream_options") or {}).get("include_usage"):
            yield self._chunk([], usage=self.usage())

    def _pieces(self) -> list[tuple[str, bool]]:
        """Give the winner's reasoning, and of each piece whether it holds text of an extend."""
        outcome = self.session.outcome
        assert outcome is not None and outcome.choice is not None
        found = winner(self.session.known, outcome.choice.id)
        whole = [(found["message"].get("reasoning") or "", False)]
        return found.get("pieces") or whole

    def _delta(self, delta: Json, **fields: Any) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        return self._chunk([choice | fields])

    def _chunk(self, choices: list[Json], **fields: Any) -> Json:
        return {**self.head, "object": "chat.completion.chunk", "choices": choices, **fields}


def winner(known: Known, name: str) -> Json:
    """Give the choice of a candidate; of a step the thinking of its path and its answer."""
    sample, path = known[name], known.path(name)
    result = sample.result
    if "message" in result.choice:
        return dict(result.choice)
    thinking = "".join(each.result.thinking for each in path).strip()
    message = {"role": "assistant", "content": result.answer, "reasoning": thinking or None}
    message |= result.message
    summary = {
        "tokens": sum(each.result.thinking_tokens for each in path),
        "end": result.end,
        "extends": sum(each.result.extends for each in path),
        **(result.choice.get("thinking") or {}),
    }
    ids = [one for each in path for one in each.result.token_ids]
    return {
        "message": message,
        "finish_reason": result.finish_reason,
        "stop_reason": None,
        "thinking": summary,
        "token_ids": ids,
    }


def _is_plain(call: Call) -> bool:
    """Say whether a call's prompt is the client's and nothing else."""
    if isinstance(call, Step):
        return call.parent is None
    return isinstance(call, Chat) and not call.under


def _finite(number: float | None) -> float | None:
    """Write what JSON has no word for as null."""
    return number if number is not None and math.isfinite(number) else None
