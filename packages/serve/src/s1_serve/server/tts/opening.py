"""Puts the strategies around the contract, as a deployment is configured."""

from __future__ import annotations

from s1_serve.budget.plan import delimiters
from s1_serve.config import ServiceConfig
from s1_serve.contract.api import Dialect
from s1_serve.contract.middleware import Contract
from s1_serve.model import Model
from s1_serve.server.telemetry import Telemetry
from s1_serve.server.tts.deployment import Deployment, num_seats
from s1_serve.server.tts.order import House
from s1_serve.server.tts.seats import Seats
from s1_serve.server.tts.strategist import Strategist
from s1_serve.strategies.wire.steps import Voice

_OF_TIMEOUT = 0.95
"""of the time after which BentoML gives a request up: the best so far is to be out by then"""


def strategist(
    contract: Contract,
    deployment: Deployment,
    model: Model,
    config: ServiceConfig,
    telemetry: Telemetry,
) -> Strategist:
    """Make the layer."""
    from s1_serve.server.tts.request import engine_reads  # loads vLLM

    marks = delimiters(model.format, model.text.encode, model.stop_ids)
    most_seats = num_seats(config)
    house = House(
        name=config.name or model.artifact.path.resolve().name,
        known_fields=contract.known_fields[Dialect.CHAT],
        engine_reads=engine_reads,
        max_answers=config.max_answers,
        most_seats=most_seats,
        least=len(marks.cut) + config.serve.answer_reserve,
        deployment=deployment,
        voice=Voice(
            format=model.format,
            codec=model.text,
            stop_ids=model.stop_ids,
            context=config.serve.context or model.context,
            answer_tokens=config.serve.answer_reserve,
        ),
    )
    return Strategist(
        app=contract,
        house=house,
        seats=Seats(most_seats, config.strategy_requests),
        mirrors=config.reasoning_content,
        timeout_s=_OF_TIMEOUT * config.request_timeout_s,
        observe=telemetry.observe_strategy,
    )
