"""Are budgets kept where they will be used? Asked over the network, counted by what comes back."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from s1_serve.config import EXTEND_WITH
from s1_serve.contract.api import Dialect
from s1_serve.contract.promise import Promise
from s1_serve.release.gates.endpoint.asker import Asker
from s1_serve.release.gates.endpoint.dialects import Broken, body
from s1_serve.release.gates.evidence import Judgement, judged
from s1_serve.release.rules import Budgets, Rules
from s1_serve.release.verdicts import FAIL, PASS, Row


def row(rules: Rules, asker: Asker) -> Row:
    """Ask every question under every budget; every answer has to keep its own."""
    return judged("endpoint: budgets", "100 % kept", lambda: _judge(rules, asker))


def grid(asked: Budgets, extend_tokens: int) -> Iterator[Promise]:
    """Give every maximum with every count of extends, and every length from which none is free."""
    for maximum in asked.maxima:
        for extends in asked.extends:
            yield Promise(maximum=maximum, extends=extends, extend_tokens=extend_tokens)
        if maximum:
            yield Promise(maximum=maximum, minimum=maximum)


def _judge(rules: Rules, asker: Asker) -> Judgement:
    model = asker.card()["id"]
    promises = list(grid(rules.budgets, asker.num_tokens(model, EXTEND_WITH)))
    cases = [(promise, question) for question in rules.budgets.questions for promise in promises]

    def fault(case: tuple[Promise, str]) -> str | None:
        promise, question = case
        room = rules.budgets.answer_tokens
        try:
            said = asker.whole(Dialect.CHAT, body(Dialect.CHAT, model, question, promise, room))
        except Broken as error:
            return str(error)
        return promise.fault(said.told)

    pool = ThreadPoolExecutor(rules.drain.num_streams)
    try:
        found = list(pool.map(fault, cases))
    finally:
        pool.shutdown(cancel_futures=True)
    broken = [(case, why) for case, why in zip(cases, found, strict=True) if why]
    if not broken:
        return PASS, f"{len(cases)} answers kept theirs"
    (promise, _), why = broken[0]
    asked = f"maximum {promise.maximum}, minimum {promise.minimum}, {promise.extends} extends"
    return FAIL, f"{len(broken)} of {len(cases)} answers did not, the first ({asked}): {why}"
