"""Who answers: a model in this process or a server, what shapes its answers, what is told of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from s1_core import artifacts, chat
from s1_core.errors import UserError
from s1_serve.endpoint import Endpoint
from s1_serve.engine import LazyEngine
from s1_serve.evaluate.calibrate import heat
from s1_serve.evaluate.calibrate.heat import Measure
from s1_serve.evaluate.config import EvaluateConfig
from s1_serve.evaluate.run.asks import Answerer
from s1_serve.evaluate.run.chats import Elsewhere, Pool, Service, Words
from s1_serve.evaluate.run.runner import STRATEGIES
from s1_serve.evaluate.run.strategists import Both, InProcess, Minds
from s1_serve.evaluate.run.tokens import Speech, Tokens
from s1_serve.model import Model
from s1_serve.options import describe, version
from s1_serve.reward_engine import RewardEngine
from s1_serve.strategies import calibration
from s1_serve.strategies.catalogue import STRATEGIES_VERSION, Available
from s1_serve.strategies.verifiers.config import KINDS, VerifierConfig

OTHER = "other"
"""the second model, by the name that cascades know it by"""
_BATCHES = (
    "Arithmetic may depend on the batch on this device: greedy answers can differ from one run to"
    " the next."
)
_SERVER = "What the server computes with is what it says; its batches are shared with others."


@dataclass(frozen=True, kw_only=True)
class Opened:
    """An answerer; `identity` keys its samples, `facts` go into the report and may load torch."""

    answerer: Answerer
    identity: dict[str, Any]
    facts: Callable[[], dict[str, Any]]
    shares: bool = False
    """Greedy answers share what is equal, and have to be checked."""
    is_limited: bool = False
    """Methods that it cannot have are left out and named; elsewhere they are the user's fault."""
    heat: Callable[[int, int], Measure | None] = lambda tokens, seed: None
    """Gives what measures entropies (calibrate.heat), from the most tokens of a sample and a seed;
    None where no logprobs are."""
    has_strategies: bool = False
    """Runs strategies; elsewhere they are left out and named."""


def opened(config: EvaluateConfig) -> Opened:
    """Open what the configuration names.

    Raises:
        UserError: no such model, or no such server.
    """
    if config.endpoint is None:
        assert config.model is not None
        return in_process(config.model, config)
    endpoint = Endpoint(config.endpoint, os.environ.get("S1_API_KEY"), config.served_model)
    return _ours(endpoint, config) if endpoint.keeps_budgets else _others(endpoint, config)


def in_process(path: str, config: EvaluateConfig) -> Opened:
    """Open a model artifact in this process; its engine starts with the first answer."""
    lazy = LazyEngine(path, config.serve)
    model = lazy.model
    speech = _speech_of(config, model)
    sha = model.artifact.sha256
    plain = Tokens(lazy, speech, keeps_plans=True, shares=config.shortcuts)
    strategic = _strategic(config, lazy, speech, plain)
    identity = {
        "model": sha,
        "serve": artifacts.identity(config.serve),
        "engine": version(),
        "answer_tokens": config.answer_tokens,
    }
    return Opened(
        answerer=Both(plain, strategic),
        identity=identity | _for_strategies(config, strategic.identity),
        facts=partial(_facts, model, config),
        shares=config.shortcuts and not model.format.counts_steps,
        heat=lambda tokens, seed: heat.in_process(lazy.start(), speech, tokens, seed),
        has_strategies=True,
    )


def _strategic(
    config: EvaluateConfig, lazy: LazyEngine, speech: Speech, plain: Tokens
) -> InProcess:
    """Give strategies the verifiers that this evaluation has, its other model and calibration."""
    rewards = {"reward": RewardEngine(config.reward, config.serve)} if config.reward else {}
    kinds = [*rewards, *(kind for kind in KINDS if kind != "reward")]
    other = LazyEngine(config.other_model, config.serve) if config.other_model else None
    others = {OTHER: (other, _speech_of(config, other.model))} if other else {}
    found = calibration.read(config.calibration) if config.calibration else None
    minds = Minds(
        engine=lazy,
        speech=speech,
        available=Available(
            verifiers={kind: VerifierConfig(kind=kind).verifier() for kind in kinds},
            models=tuple(others),
            calibration=found,
        ),
        others=others,
        scorers={name: one.score for name, one in rewards.items()},
    )
    identity = {
        "verifiers": {name: one.sha256 for name, one in rewards.items()},
        "models": {OTHER: other.model.artifact.sha256} if other else {},
        "calibration": asdict(found) if found else None,
    }
    return InProcess(minds, plain, identity)


def _for_strategies(config: EvaluateConfig, told: dict[str, Any]) -> dict[str, Any]:
    """Say what shapes the answers of strategies; nothing where none are asked for."""
    return {STRATEGIES: {"version": STRATEGIES_VERSION} | told} if config.strategies else {}


def _facts(model: Model, config: EvaluateConfig) -> dict[str, Any]:
    engine = describe(model, config.serve)
    notes = [] if engine["device"] == "cpu" else [_BATCHES]
    return {
        "model": {"manifest_sha256": model.artifact.sha256, "format": model.format.name},
        "engine": engine,
        "notes": notes + _on_calibration(model, config),
    }


def _on_calibration(model: Model, config: EvaluateConfig) -> list[str]:
    """Say so where the calibration is known to be another model's."""
    if config.calibration is None:
        return []
    source = artifacts.load(config.calibration, kind="calibration").config.get("source") or {}
    of, own = source.get("model"), model.artifact.sha256
    if of in (None, own):
        return []
    return [f"The calibration is of another model ({of[:12]}) than this one ({own[:12]})."]


def _ours(endpoint: Endpoint, config: EvaluateConfig) -> Opened:
    assert endpoint.thinking is not None
    fmt = chat.format_named(endpoint.thinking["format"])
    speech = _speech(config, fmt, Words(endpoint), endpoint.stop_ids(), endpoint.context)
    told = {name: endpoint.thinking.get(name) for name in ("manifest_sha256", "engine")}
    return Opened(
        answerer=Service(endpoint, speech, config.concurrency),
        identity=_identity(endpoint, config, told)
        | _for_strategies(config, _strategies_at(endpoint)),
        heat=partial(_heat, endpoint, config),
        has_strategies=True,
        facts=lambda: {
            "model": _card(endpoint, fmt) | {"manifest_sha256": told["manifest_sha256"]},
            "engine": told["engine"],
            "notes": [_SERVER],
        },
    )


def _strategies_at(endpoint: Endpoint) -> dict[str, Any]:
    """Say what strategies run with there; of a service that does not tell, which start it is."""
    assert endpoint.thinking is not None
    found = endpoint.tts.get("identity")
    return {"service": found} if found else {"instance": endpoint.thinking.get("instance")}


def _others(endpoint: Endpoint, config: EvaluateConfig) -> Opened:
    fmt = chat.format_named(config.format)
    identity, notes = _identity(endpoint, config, {}), [_SERVER]
    facts: dict[str, Any] = {"model": _card(endpoint, fmt), "engine": None, "notes": notes}
    if not endpoint.takes_tokens:
        notes.append("The server only chats: thinking is counted, and budgets kept, by itself.")
        answerer = Elsewhere(endpoint, fmt, config)
        return Opened(
            answerer=answerer,
            identity=identity,
            facts=lambda: facts,
            heat=partial(_heat, endpoint, config),
            is_limited=True,
        )
    speech = _speech(config, fmt, Words(endpoint), endpoint.stop_ids(), endpoint.context)
    pool = Pool(endpoint, config.concurrency)
    return Opened(
        answerer=Tokens(pool, speech, keeps_plans=False, shares=config.shortcuts),
        identity=identity,
        facts=lambda: facts,
        heat=partial(_heat, endpoint, config),
        shares=config.shortcuts,
    )


def _heat(endpoint: Endpoint, config: EvaluateConfig, tokens: int, seed: int) -> Measure:
    return heat.at_endpoint(endpoint, tokens, seed, config.concurrency)


def _speech_of(config: EvaluateConfig, model: Model) -> Speech:
    context = config.serve.context or model.context
    return _speech(config, model.format, model.text, model.stop_ids, context)


def _speech(
    config: EvaluateConfig, fmt: chat.Format, codec: Any, stop_ids: Any, context: int | None
) -> Speech:
    if not stop_ids:
        raise UserError(f"no token ends an answer in format {fmt.name}: give --format")
    return Speech(
        format=fmt,
        codec=codec,
        stop_ids=tuple(stop_ids),
        context=context,
        answer_tokens=config.answer_tokens,
    )


def _identity(endpoint: Endpoint, config: EvaluateConfig, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "endpoint": endpoint.url,
        "name": endpoint.model,
        "model": told.get("manifest_sha256"),
        "engine": told.get("engine"),
        "context": endpoint.context,
        "format": config.format,
        "answer_tokens": config.answer_tokens,
    }


def _card(endpoint: Endpoint, fmt: chat.Format) -> dict[str, Any]:
    return {"endpoint": endpoint.url, "name": endpoint.model, "format": fmt.name}
