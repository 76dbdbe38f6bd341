"""The chunked loss under every strategy is the plain loss of one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from integration.train import sharded_loss
from integration.train.sharded_loss import Case, Result

pytestmark = pytest.mark.multiprocess


def measured(out: Path, cases: list[Case]) -> dict[Case, Result]:
    torch.multiprocessing.start_processes(
        sharded_loss.work,
        (sharded_loss.free_port(), out, cases),
        nprocs=sharded_loss.NUM_RANKS,
        start_method="spawn",
    )
    return dict(torch.load(out, weights_only=True))


def check(found: dict[Case, Result], tied: bool) -> None:
    plain, wanted = sharded_loss.plain(tied)
    assert ("network.lm_head.weight" in wanted) is not tied
    for (name, is_tied), (loss, gradients) in found.items():
        if is_tied is tied:
            assert loss == pytest.approx(plain, rel=1e-5), name
            assert gradients.keys() == wanted.keys()
            for key, gradient in wanted.items():
                close = torch.allclose(gradients[key], gradient, rtol=0, atol=1e-5)
                assert close, (name, key)


@pytest.mark.parametrize(
    "strategies",
    [("ddp", "fsdp2"), pytest.param(("zero2", "zero3"), marks=pytest.mark.slow)],
    ids="-".join,
)
def test_loss_and_gradients_are_those_of_all_logits_at_once(
    strategies: tuple[str, ...], tmp_path: Path
) -> None:
    """On two processes, in two passes, with a head that is shared out, tied and on its own."""
    cases = [(name, tied) for name in strategies for tied in (True, False)]
    found = measured(tmp_path / "found.pt", cases)
    assert found.keys() == set(cases)
    check(found, tied=True)
    check(found, tied=False)
