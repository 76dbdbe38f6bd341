"""The loader: the same steps under any number of processes, and from any stop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_train.encoding import IGNORE_INDEX, Samples, TokenizedExample
from s1_train.loader import ResumableLoader, Share, collate
from s1_train.packing import Plan, Step


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("encoded")
    Samples.write((_sample(f"s{n}", int(rng.integers(3, 40))) for n in range(37)), folder)
    return Samples(folder)


def _sample(name: str, length: int) -> TokenizedExample:
    ids = np.arange(length, dtype=np.int32) + 1
    return TokenizedExample(name, ids, ids > length // 2)


def steps(samples: Samples) -> list[Step]:
    plan = Plan(mode="packed", batch_size=3, block_size=60, epochs=2, seed=5)
    return plan.steps(samples.lengths)


def loader(samples: Samples, rank: int, num_ranks: int, budget: int = 70) -> ResumableLoader:
    return ResumableLoader(samples, steps(samples), rank=rank, num_ranks=num_ranks, budget=budget)


@given(num_ranks=st.integers(1, 4), budget=st.integers(1, 200))
@settings(max_examples=20, deadline=None)
def test_processes_share_each_step_and_agree_on_its_counts(
    samples: Samples, num_ranks: int, budget: int
) -> None:
    runs = [list(loader(samples, rank, num_ranks, budget)) for rank in range(num_ranks)]
    for step, shares in zip(steps(samples), zip(*runs, strict=True), strict=True):
        names = sorted(name for share in shares for name in share.sample_ids)
        assert names == sorted(samples[index].id for index in step.samples)
        assert len({share.num_targets for share in shares}) == 1
        assert shares[0].num_targets == sum(map(targets, shares))
        assert len({len(share.micro_batches) for share in shares}) == 1


def targets(share: Share) -> int:
    return sum(int((micro.labels_1N != IGNORE_INDEX).sum()) for micro in share.micro_batches)


@given(stop=st.integers(0, 22), ranks=st.tuples(st.integers(1, 3), st.integers(1, 3)))
@settings(max_examples=20, deadline=None)
def test_the_state_goes_on_anywhere_on_any_number_of_processes(
    samples: Samples, stop: int, ranks: tuple[int, int]
) -> None:
    before, after = (loader(samples, 0, num_ranks) for num_ranks in ranks)
    stop = min(stop, len(before) - 1)
    for _, _ in zip(range(stop), before, strict=False):
        pass
    after.load_state_dict(before.state_dict())
    assert [share.step for share in after] == list(range(stop, len(after)))


def test_the_state_is_epoch_and_samples(samples: Samples) -> None:
    whole = loader(samples, 0, 1)
    states = [whole.state_dict()]
    for _ in whole:
        states.append(whole.state_dict())
    assert states[0] == {"epoch": 0, "samples": 0}
    assert states[-1] == {"epoch": 1, "samples": 37}
    assert {"epoch": 0, "samples": 37} in states
    with pytest.raises(ValueError):
        whole.load_state_dict({"epoch": 0, "samples": 38})


def test_positions_and_targets_begin_anew_in_each_sample() -> None:
    micro = collate([_sample("a", 4), _sample("b", 3)])
    assert micro.input_ids_1N.tolist() == [[1, 2, 3, 1, 2]]
    assert micro.labels_1N.tolist() == [[IGNORE_INDEX, 3, 4, 2, 3]]
    assert micro.position_ids_1N.tolist() == [[0, 1, 2, 0, 1]]
    assert micro.cu_seqlens == (0, 3, 5)
