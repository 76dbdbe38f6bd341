"""Renders of the manifests. Without kubectl there is nothing to look at, and tests say so."""

import pytest

from integration.infra.contract import render


@pytest.fixture(scope="session", autouse=True)
def _kubectl():
    if render.kubectl() is None:
        pytest.skip("kubectl is not installed: manifests cannot be rendered")


@pytest.fixture
def cluster():
    """Give the objects of an overlay and of what every cluster holds, to be changed at will."""
    return render.cluster
