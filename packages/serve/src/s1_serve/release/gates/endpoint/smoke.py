"""Is it the model of the release that answers, in every dialect, whole and in a stream?"""

from __future__ import annotations

from collections.abc import Callable

from s1_core.errors import S1Error
from s1_serve.contract.api import Dialect
from s1_serve.contract.promise import Promise
from s1_serve.release.gates.endpoint.asker import Asker
from s1_serve.release.gates.endpoint.dialects import Broken, Json, Said, body
from s1_serve.release.gates.evidence import Judgement, judged
from s1_serve.release.record import Release, short
from s1_serve.release.rules import Rules
from s1_serve.release.verdicts import FAIL, PASS, Row


def served(asker: Asker) -> str | None:
    """Name the model that the endpoint says it serves; None where it does not say."""
    try:
        return str(asker.card()["thinking"]["manifest_sha256"])
    except (S1Error, KeyError):
        return None


def model(release: Release, asker: Asker) -> Row:
    """Compare the release and the model that are served with the record's."""

    def judge() -> Judgement:
        said = asker.card()["thinking"]
        found = {"release": str(said.get("release")), "model": str(said["manifest_sha256"])}
        is_this = found == {"release": release.id, "model": release.model}
        return (PASS if is_this else FAIL), _named(**found)

    return judged("endpoint: release", _named(release.id, release.model), judge)


def _named(release: str, model: str) -> str:
    return f"{short(release)}, of model {short(model)}"


def row(rules: Rules, asker: Asker) -> Row:
    """Ask once in each dialect each way; every reply has to be well-formed and in its budget."""

    def judge() -> Judgement:
        name = asker.card()["id"]
        length = min(maximum for maximum in rules.budgets.maxima if maximum)
        budget = Promise(maximum=length, minimum=length)
        faults = []
        for dialect in Dialect:
            asked = body(
                dialect, name, rules.budgets.questions[0], budget, rules.budgets.answer_tokens
            )
            for way, ask in {"whole": asker.whole, "streamed": asker.stream}.items():
                if fault := _fault(ask, dialect, asked, budget):
                    faults.append(f"{dialect.name.lower()}, {way}: {fault}")
        if faults:
            return FAIL, "; ".join(faults)
        return PASS, f"{len(Dialect)} dialects, whole and streamed"

    return judged("endpoint: smoke", "every dialect well-formed", judge)


def _fault(
    ask: Callable[[Dialect, Json], Said], dialect: Dialect, asked: Json, budget: Promise
) -> str | None:
    try:
        said = ask(dialect, asked)
    except Broken as error:
        return str(error)
    if not said.thinking and dialect is not Dialect.COMPLETIONS:  # there it is part of the text
        return "the thinking is missing"
    return budget.fault(said.told)
