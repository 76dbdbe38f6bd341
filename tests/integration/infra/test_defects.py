"""Seeded defects: each changes one thing in a render, and exactly the checks meant for it find it.

Most of them are valid to Kubernetes' schemas, which is why there is a contract.
"""

import copy

import pytest

from integration.infra.contract import suite
from integration.infra.contract.schemas import custom
from integration.infra.defects import data, monitoring, pods, training, wiring

ROOMS = (wiring, pods, monitoring, training, data)
DEFECTS = [defect for room in ROOMS for defect in room.DEFECTS]


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.what.replace(" ", "-"))
def test_a_defect_is_found_by_the_checks_meant_for_it(defect, cluster) -> None:
    objects = cluster(defect.overlay)
    before = copy.deepcopy(objects)
    defect.break_it(objects)
    assert objects != before, "nothing is broken"
    found = suite.findings(objects)
    assert found.keys() == defect.found_by, found


@pytest.mark.parametrize("overlay", sorted({defect.overlay for defect in DEFECTS}))
def test_what_is_broken_was_whole(overlay, cluster) -> None:
    assert suite.findings(cluster(overlay)) == {}


def test_every_check_is_seen_to_fail() -> None:
    proved = {check for defect in DEFECTS for check in defect.found_by}
    assert {check.__name__ for check in suite.CHECKS} == proved


def test_schemas_alone_would_find_few(cluster) -> None:
    """The reason for this suite; if they find more one day, some checks may go."""
    found = []
    for defect in DEFECTS:
        objects = cluster(defect.overlay)
        defect.break_it(objects)
        if custom.objects_are_accepted(objects):
            found.append(defect.what)
    assert len(found) < len(DEFECTS) / 10, found
