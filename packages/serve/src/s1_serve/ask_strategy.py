"""`just ask --strategy`: many samples of one question; who won, and in one line how.

The strategy runs in a service of ours, else here: on an engine in this process, or on any chat
server, sample by sample.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from s1_core import cli
from s1_core.errors import UserError
from s1_serve.completions import Sampling
from s1_serve.config import AskConfig, ThinkingBudget
from s1_serve.contract.tts_reply import TtsReply, winner
from s1_serve.endpoint import Endpoint
from s1_serve.strategies import catalogue
from s1_serve.strategies.http_driver import Ask, HttpDriver, Route
from s1_serve.strategies.known import Known
from s1_serve.strategies.session import Limits, Session
from s1_serve.strategies.verifiers.judge import Judge
from s1_serve.strategies.wire.body import Client
from s1_serve.strategies.wire.poster import HttpPoster

Pieces = Generator[tuple[str, str], None, str]
"""of thinking and answer; the value is the line about how it went"""
_HERE = catalogue.Available(verifiers={"judge": Judge()})
"""what strategies have without a service: the model as its own judge"""
_FIELDS = {"strategy", "budget", "return_candidates"}
"""of the field `tts` of a request, beside what a strategy takes"""
_ENDS = {"aborted": "stopped", "failed": "failed"}


def at_service(endpoint: Endpoint, config: AskConfig, body: Mapping[str, Any]) -> Pieces:
    """Ask a service of ours; `body` is what a request without a strategy would be."""
    name, parameters = catalogue.parse(str(config.strategy))
    if taken := _FIELDS & parameters.keys():
        raise UserError(f"--strategy {config.strategy}: {min(taken)} is no parameter of {name}")
    if "reference" in parameters:  # it is a text, also where it looks like a number
        parameters = parameters | {"reference": f"{parameters['reference']}"}
    limits = {
        "total_tokens": config.total_tokens,
        "deadline_ms": None if config.deadline_s is None else max(int(1000 * config.deadline_s), 1),
    }
    wanted = {"strategy": name, **parameters, "budget": limits}
    told: dict[str, Any] | None = None
    with _watching() as watch:
        for event in endpoint.events("/v1/chat/completions", {**body, "tts": wanted}):
            said = event.get("tts") or {}
            if progress := said.get("progress"):
                watch(f"{_counts(progress)}, {progress['tokens']} tokens")
            told = said if "selected" in said else told
            for choice in event["choices"]:
                yield from _pieces(choice["delta"])
    if told is None:
        raise UserError(f"{endpoint.url} closed the stream before the end; is the server still up?")
    return _line(told)


def at_server(endpoint: Endpoint, config: AskConfig, api_key: str | None) -> Pieces:
    """Ask a server that knows no strategies, once for each sample."""
    session = _session(config, least=Limits.least)
    budget = config.thinking
    fields = {
        "messages": [{"role": "user", "content": config.question}],
        "temperature": config.heat,
        "max_tokens": config.max_tokens,
    }
    client = Client(
        fields={key: value for key, value in fields.items() if value is not None},
        budget=ThinkingBudget(max=None if budget.max == -1 else budget.max),
        question=config.question,
        seed=config.seed,
    )

    async def run() -> HttpDriver:
        poster = HttpPoster(endpoint.url, api_key)
        now = asyncio.get_running_loop().time()
        deadline = None if config.deadline_s is None else now + config.deadline_s
        routes: dict[str | None, Route] = {None: Route(poster=poster, model=endpoint.model)}
        driver = HttpDriver(session, Ask(client=client, routes=routes, deadline=deadline))
        try:
            await driver.run()
        finally:
            await poster.close()
        return driver

    with cli.working(f"{config.strategy} at {endpoint.url}"):
        driver = asyncio.run(run())
    if driver.refusal is not None:
        raise driver.refusal
    return (yield from _told(config, session))


def here(config: AskConfig) -> Pieces:
    """Run the strategy on an engine in this process."""
    from s1_serve.engine import Engine
    from s1_serve.evaluate.run.tokens import Speech
    from s1_serve.model import open_model
    from s1_serve.strategies.engine_driver import Ask as Run
    from s1_serve.strategies.engine_driver import EngineDriver, Mind

    model = open_model(config.model)
    engine = Engine(model, config.serve)
    speech = Speech(
        format=model.format,
        codec=model.text,
        stop_ids=model.stop_ids,
        context=engine.context,
        answer_tokens=config.serve.answer_reserve,
    )
    driver = EngineDriver(Mind(engine=engine, speech=speech))
    session = _session(config, least=driver.least)
    run = Run(
        question=config.question,
        session=session,
        budget=config.thinking,
        sampling=Sampling(temperature=config.heat, seed=config.seed),
        max_tokens=config.max_tokens,
        deadline_s=config.deadline_s,
    )
    with cli.working(str(config.strategy)):
        driver.run([("", run)], lambda *_: ())
    return (yield from _told(config, session))


def _session(config: AskConfig, least: int) -> Session:
    name, parameters = catalogue.parse(str(config.strategy))
    policy = catalogue.build(name, parameters, _HERE)
    limits = Limits(total_tokens=config.total_tokens, least=least)
    return Session(policy, limits, Known(question=config.question, seed=config.seed))


def _told(config: AskConfig, session: Session) -> Pieces:
    """Give the winner of a run, and the same line that a service's answer leads to."""
    outcome = session.outcome
    assert outcome is not None
    if outcome.choice is None:
        failures = [sample.failure for sample in session.known if sample.failure]
        raise UserError(f"no sample came to an answer: {(failures or [outcome.stopped])[0]}")
    yield from _pieces(winner(session.known, outcome.choice.id)["message"])
    name, parameters = catalogue.parse(str(config.strategy))
    reply = TtsReply(session=session, strategy=name, parameters=parameters, body={})
    return _line(reply.told(0))


def _pieces(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, channel in (("reasoning", "thinking"), ("content", "answer")):
        if text := message.get(name):
            yield channel, text


def _counts(counts: Mapping[str, int]) -> str:
    others = (f", {counts[end]} {word}" for end, word in _ENDS.items() if counts.get(end))
    return f"{counts['finished']} of {counts['started']} samples{''.join(others)}"


def _line(told: Mapping[str, Any]) -> str:
    tokens, votes = told["tokens"], sorted(told["votes"].items(), key=lambda vote: -(vote[1] or 0))
    said = [f"{told['strategy']}: {told['stopped']}"]
    if votes:
        said.append("votes " + ", ".join(f"{answer}: {weight:g}" for answer, weight in votes[:4]))
    spent = f"{tokens['total']} tokens, {tokens['sequential']} one after another"
    said.append(f"{_counts(told)}; {spent}")
    return "; ".join([*said, "degraded"] if told["degraded"] else said)


@contextmanager
def _watching() -> Iterator[Callable[[str], None]]:
    """Show how far it is on a terminal, until the answer comes."""
    console = cli.console()
    if not console.is_terminal:
        yield lambda text: None
        return
    with console.status("asking") as status:
        yield lambda text: status.update(text)
