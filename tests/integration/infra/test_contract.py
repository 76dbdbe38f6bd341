"""The contract: every check over every overlay finds nothing."""

import re

import pytest

from integration.infra.contract import render, suite
from s1_serve.release import pins


def test_there_are_overlays_of_everything() -> None:
    parts = {overlay.partition("/")[0] for overlay in render.overlays()}
    assert parts == {"data", "serving", "training"}


@pytest.mark.parametrize("check", suite.CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("overlay", render.overlays())
def test_an_overlay_keeps_the_contract(overlay, check, cluster) -> None:
    assert check(cluster(overlay)) == []


@pytest.mark.parametrize("stage", ["dev", "staging", "production"])
def test_a_stage_has_its_pins_in_one_file(stage) -> None:
    folder = render.K8S / "serving" / "overlays" / stage
    text = (folder / "release.yaml").read_text()
    assert pins.parse(text, stage).text == text
    rest = [path for path in folder.iterdir() if path.name != "release.yaml"]
    assert not [path for path in rest if re.search("sha256:|[0-9a-f]{64}", path.read_text())]


def test_checks_say_what_they_are_for() -> None:
    names = [check.__name__ for check in suite.CHECKS]
    assert len(set(names)) == len(names)
    assert all(check.__doc__ for check in suite.CHECKS)
