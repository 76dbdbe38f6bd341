"""The gates of a staging endpoint, each only once the ones before it make sense."""

from __future__ import annotations

from dataclasses import dataclass

from s1_serve.release.gates.endpoint import budgets, drain, smoke
from s1_serve.release.gates.endpoint.asker import Asker
from s1_serve.release.gates.endpoint.restart import Restart
from s1_serve.release.record import Release
from s1_serve.release.rules import Rules
from s1_serve.release.verdicts import INCONCLUSIVE, PASS, Row


@dataclass(frozen=True, kw_only=True)
class Target:
    """An endpoint, its key, and how its server is replaced."""

    url: str
    api_key: str | None
    restart: Restart | None
    """None leaves the drain out, and with it the verdict open"""


@dataclass(frozen=True)
class Found:
    """The rows, and the model that the endpoint said it serves."""

    rows: list[Row]
    served: str | None


def judge(rules: Rules, release: Release, target: Target) -> Found:
    """Judge an endpoint; one that serves another model is not asked, nor restarted.

    Nothing is raised: an endpoint that is not there is a row that does not pass.
    """
    asker = Asker(target.url, target.api_key, rules.drain.timeout_s)
    served = smoke.served(asker)
    rows = [smoke.model(release, asker)]
    for gate in (smoke.row, budgets.row):
        if rows[-1].verdict == PASS:
            rows.append(gate(rules, asker))
    if rows[-1].verdict == PASS:
        rows.append(
            drain.row(rules, release, asker, target.restart)
            if target.restart
            else Row("endpoint: drain", INCONCLUSIVE, "left out", "a restart under load")
        )
    return Found(rows, served)
