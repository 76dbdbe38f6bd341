"""Renders of the manifests. Without kubectl there is nothing to look at, and tests say so."""

import os

import pytest

from integration.infra.contract import render


@pytest.fixture(scope="session", autouse=True)
def _kubectl():
    if render.kubectl() is None:
        why = "kubectl is not installed: manifests cannot be rendered"
        if "kubectl" in os.environ.get("S1_NEEDS", "").split(","):
            pytest.fail(why)
        pytest.skip(why)


@pytest.fixture
def cluster():
    """Give the objects of an overlay and of what every cluster holds, to be changed at will."""
    return render.cluster
