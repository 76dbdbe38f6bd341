"""What strategies have here besides the engine: verifiers, other models, a calibration.

Connects to nothing before the first request that needs it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import httpx

from s1_core.chat import Format
from s1_core.errors import UserError
from s1_serve.config import ServiceConfig
from s1_serve.model import has_gpu
from s1_serve.strategies import calibration, catalogue
from s1_serve.strategies.catalogue import STRATEGIES_VERSION, Available
from s1_serve.strategies.http_driver import Route, Scorer
from s1_serve.strategies.verifiers.config import EXACT
from s1_serve.strategies.verifiers.exact import Exact
from s1_serve.strategies.verifiers.reward_client import scorer
from s1_serve.strategies.verifiers.verifier import Verifier
from s1_serve.strategies.wire.poster import TIMEOUT, HttpPoster

KEY = "S1_API_KEY"
"""the variable of the key for other servers; with a name behind it, for that one alone"""
_SEATS, _SEATS_ON_CPU = 64, 4


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """Made once a process; `close` it."""

    verifiers: Mapping[str, Verifier] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    calibration: Any = None
    routes: Mapping[str | None, Route] = field(default_factory=dict)
    scorers: Mapping[str, Scorer] = field(default_factory=dict)
    clients: tuple[httpx.AsyncClient, ...] = ()

    @staticmethod
    def of(config: ServiceConfig, text_format: Format) -> Deployment:
        """Read the settings; `text_format` is the served model's.

        Raises:
            UserError: the calibration cannot be read.
        """
        judges = [v for v in config.verifiers if v.url is not None and v.kind != "reward"]
        urls = config.models | {judge.name: str(judge.url) for judge in judges}
        posters = {name: HttpPoster(url, _key(name)) for name, url in urls.items()}
        models = {judge.name: judge.model for judge in judges}
        rewards = {v.name: v for v in config.verifiers if v.url is not None and v not in judges}
        clients = {name: _client(name) for name in rewards}
        found = config.calibration
        return Deployment(
            verifiers={verifier.name: verifier.verifier() for verifier in config.verifiers},
            models=tuple(config.models),
            calibration=None if found is None else calibration.read(found),
            routes={n: Route(poster=p, model=models.get(n)) for n, p in posters.items()},
            scorers={
                name: scorer(clients[name], str(reward.url), reward.model, text_format)
                for name, reward in rewards.items()
            },
            clients=(*clients.values(), *(poster.client for poster in posters.values())),
        )

    def available(self, reference: str | None = None) -> Available:
        """Say what a request may use; with a reference, that comparison first of all."""
        exact = {} if reference is None else {EXACT: Exact(reference=reference)}
        return Available(
            verifiers={**exact, **self.verifiers},
            models=self.models,
            calibration=self.calibration,
        )

    def usable(self) -> list[str]:
        """Name the strategies that run here as they are."""
        return [name for name in catalogue.POLICIES if self._runs(name)]

    def _runs(self, name: str) -> bool:
        try:
            catalogue.build(name, {}, self.available())
        except UserError:
            return False
        return True

    def told(self, config: ServiceConfig) -> dict[str, Any]:
        """Say on the model's card which strategies run here.

        `identity` differs where the same request may have another answer. It is a digest, as URLs
        may hold passwords.
        """
        found = self.calibration
        shapes = {
            "version": STRATEGIES_VERSION,
            "verifiers": [asdict(verifier) for verifier in config.verifiers],
            "models": [*config.models.items()],  # the first one is what requests get by default
            "calibration": None if found is None else asdict(found),
            "seats": num_seats(config),
            "answer_reserve": config.serve.answer_reserve,
        }
        text = json.dumps(shapes, sort_keys=True)
        return {
            "strategies": self.usable(),
            "identity": hashlib.sha256(text.encode()).hexdigest(),
            "timeout_s": config.request_timeout_s,
        }

    async def close(self) -> None:
        """Let all connections go."""
        for client in self.clients:
            await client.aclose()


def num_seats(config: ServiceConfig) -> int:
    """Tell how many samples of strategies may be in flight."""
    seats = config.strategy_slots or (_SEATS if has_gpu() else _SEATS_ON_CPU)
    return min(seats, config.max_answers, config.serve.max_num_seqs)


def _client(name: str) -> httpx.AsyncClient:
    key = _key(name)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.AsyncClient(headers=headers, timeout=TIMEOUT)


def _key(name: str) -> str | None:
    own = f"{KEY}_{name.upper().replace('-', '_').replace('.', '_')}"
    return os.environ.get(own) or os.environ.get(KEY)
