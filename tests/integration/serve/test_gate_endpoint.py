"""The gates of staging against a service that was really started, and really restarted."""

from __future__ import annotations

import re
import signal
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest

from forwarder import Forwarder
from integration.serve.proxy import proxied
from s1_core import artifacts
from s1_serve.release import verdicts
from s1_serve.release.gates.endpoint import staging
from s1_serve.release.gates.endpoint.restart import shell
from s1_serve.release.gates.endpoint.staging import Target
from s1_serve.release.record import Release
from s1_serve.release.rules import Rules, load
from s1_serve.release.verdicts import FAIL, INCONCLUSIVE, PASS
from unit.serve.fake_release import RULES, of_model

pytestmark = [pytest.mark.engine, pytest.mark.multiprocess]

SMOKE, BUDGETS, DRAIN, MODEL = (f"endpoint: {n}" for n in ("smoke", "budgets", "drain", "release"))


@pytest.fixture(scope="module")
def rules() -> Rules:
    text = RULES.replace("maxima: [0, 12]", "maxima: [0, 12, 40]")
    return load(text.replace("thinking_tokens: 200", "thinking_tokens: 300"))


@pytest.fixture(scope="module")
def release(service) -> Release:
    """The release that the shared service serves."""
    (log,) = service.log.parent.glob("model/manifest.json")
    return of_model(artifacts.load(log.parent).sha256)


def judged(rules: Rules, release: Release, url: str, restart) -> staging.Found:
    return staging.judge(rules, release, Target(url=url, api_key=None, restart=restart))


def ends(found: staging.Found) -> dict[str, str]:
    return {row.gate: row.verdict for row in found.rows}


def test_all_but_a_restart_that_is_none(service, rules, release):
    """Every gate passes; a command that does not replace the server leaves the drain open."""
    found = judged(rules, release, service.url, shell("sleep 2"))
    assert ends(found) == {MODEL: PASS, SMOKE: PASS, BUDGETS: PASS, DRAIN: INCONCLUSIVE}, found
    assert found.served == release.model
    assert "before the restart still answers" in found.rows[-1].found
    assert found.rows[1].found == "4 dialects, whole and streamed"
    assert found.rows[2].found == "8 answers kept theirs"


@pytest.mark.parametrize(
    ("restart", "said"),
    [
        (shell("echo no such deployment >&2; false"), "the restart failed: no such deployment"),
        (shell("true"), "no request came during|the server that answered before .* still answers"),
        (lambda timeout_s: shell("sleep 60")(0.5), "took longer than 0.5 s"),
    ],
)
def test_a_restart_that_fails_or_that_nobody_saw_proves_nothing(
    service, rules, release, restart, said
):
    short = replace(rules, budgets=replace(rules.budgets, maxima=(12,), extends=(0,)))
    found = judged(short, release, service.url, restart)
    assert found.rows[-1].verdict == INCONCLUSIVE and re.search(said, found.rows[-1].found)


def test_one_broken_stream_is_a_lost_request(service, rules, release):
    port = int(service.url.rpartition(":")[2])
    with Forwarder(port) as forwarder:

        def restart(_: float) -> None:
            time.sleep(0.5)
            forwarder.cut()
            time.sleep(0.5)

        found = judged(rules, release, forwarder.url, restart)
        deadline = time.monotonic() + 10
        while forwarder.num_open(port) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not forwarder.num_open(port)
    row = found.rows[-1]
    assert (row.gate, row.verdict) == (DRAIN, FAIL)
    assert "requests lost, the first: the connection broke" in row.found


def test_another_model_is_neither_asked_nor_restarted(service, rules, release):
    def restart(_: float) -> None:
        raise AssertionError("restarted")

    other = replace(release, image=release.image.replace("a" * 64, "b" * 64))
    for wanted in (of_model("9" * 64), other):  # another image of this model is another release
        found = judged(rules, wanted, service.url, restart)
        assert ends(found) == {MODEL: FAIL}
        said = f"{release.id[:12]}, of model {release.model[:12]}"
        assert found.served == release.model and found.rows[0].found == said


def test_a_server_that_is_not_ours_or_not_there_is_no_pass(service, rules, release, unused_port):
    with proxied(service.url) as proxy:
        found = judged(rules, release, proxy.url, shell("true"))
    assert ends(found) == {MODEL: INCONCLUSIVE} and found.served is None
    assert "is it the service?" in found.rows[0].found
    found = judged(rules, release, f"http://127.0.0.1:{unused_port}", shell("true"))
    assert ends(found) == {MODEL: INCONCLUSIVE}
    assert found.rows[0].found == "the connection broke (ConnectError)"


def test_budgets_that_get_lost_on_the_way_fail(service, rules, release):
    """Chats lose their budget in front of the service: the smoke gate is the first to see it."""
    with proxied(service.url, shows_ours=True, forgets_budgets=True) as proxy:
        found = judged(rules, release, proxy.url, shell("true"))
    assert ends(found) == {MODEL: PASS, SMOKE: FAIL}
    assert found.rows[1].found.startswith("chat, whole: ")


@pytest.mark.slow
def test_a_real_restart_loses_nothing(model_folder, tmp_path, rules):
    from integration.serve import tiny
    from integration.serve.server import serving

    model = tiny.build(tmp_path / "model", max_position_embeddings=2048)
    release = of_model(artifacts.load(model).sha256)
    with ExitStack() as stack:

        def start(name: str):
            folder = tmp_path / name
            folder.mkdir()
            flags = ("--name=tiny", "--drain_s=120")
            server = stack.enter_context(serving(model, folder, *flags, S1_RELEASE=release.id))
            return server, int(server.url.rpartition(":")[2])

        first, port = start("first")
        forwarder = stack.enter_context(Forwarder(port))

        def restart(_: float) -> str | None:
            _, other = start("second")
            forwarder.switch(other)
            time.sleep(1)  # a preStop sleep: what is on its way still finds the old one listening
            first.process.send_signal(signal.SIGTERM)
            code = first.process.wait(180)
            return None if code == 0 else f"the old server ended with {code}"

        found = judged(rules, release, forwarder.url, restart)
    assert ends(found) == {MODEL: PASS, SMOKE: PASS, BUDGETS: PASS, DRAIN: PASS}, found
    assert verdicts.overall(found.rows) == PASS
