"""The methods against Algorithm 1 written plainly, and against the facts of spec 1.5 to 1.7."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import get_type_hints

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_data.config import NEEDS, SelectionConfig
from s1_data.embedding.neighbours import NearDuplicates
from s1_data.selection.candidates import Candidate, kind, preselected
from s1_data.selection.domain_pools import DomainPools, draw_rank
from s1_data.selection.methods import DRAWS, Selection, benchmark_weights, select

AIME, GPQA, MATH, OTHER = (
    "qq8933/AIME_1983_2024", "Idavidrein/gpqa", "simplescaling/openaimath/Algebra",
    "daman1209arora/jeebench/chem",
)  # fmt: skip
SEEDS = st.integers(0, 2**31 - 1)
METHOD_NAMES = st.sampled_from(sorted(DRAWS))


def row(
    number: int, domain: int = 0, tokens: int = 1, source: str = OTHER, **more: bool
) -> Candidate:
    return Candidate(
        question_id=f"{number:016x}",
        domain=domain,
        thinking_tokens=tokens,
        source_type=source,
        **more,
    )


POOLS = st.lists(
    st.tuples(
        st.integers(0, 5), st.integers(0, 40), st.sampled_from([AIME, GPQA, MATH, OTHER]),
        st.sampled_from([True, False, None]),
    ),
    max_size=60,
).map(
    lambda rows: [row(i, d, n, s, is_correct=c) for i, (d, n, s, c) in enumerate(rows)]
)  # fmt: skip


def config(by: str, num_rows: int, long_math_tokens: int = 5600) -> SelectionConfig:
    return SelectionConfig(by=by, num_rows=num_rows, long_math_tokens=long_math_tokens)  # type: ignore[arg-type]


def drawn(pool: list[Candidate], by: str, num_rows: int, seed: int) -> Selection | None:
    """The selection, or None where its method always takes more rows than asked for."""
    try:
        return select(pool, config(by, num_rows, long_math_tokens=20), seed)
    except UserError:
        assert NEEDS[by].verdicts
        return None


@given(POOLS, METHOD_NAMES, st.integers(1, 70), SEEDS)
def test_every_method_draws_distinct_rows_as_many_as_asked_or_all(
    pool: list[Candidate], by: str, num_rows: int, seed: int
) -> None:
    found = drawn(pool, by, num_rows, seed)
    if found is not None:
        wanted = min(num_rows, len(pool)) if NEEDS[by].num_rows else len(pool)
        assert len(set(found.chosen)) == len(found.chosen) == wanted
        assert set(found.chosen) <= set(range(len(pool)))


@given(POOLS, METHOD_NAMES, SEEDS, st.randoms(use_true_random=False))
def test_the_order_of_the_pool_does_not_matter(
    pool: list[Candidate], by: str, seed: int, shuffler: Random
) -> None:
    shuffled = pool.copy()
    shuffler.shuffle(shuffled)
    one, other = drawn(pool, by, 20, seed), drawn(shuffled, by, 20, seed)
    if one is None or other is None:
        assert one is other
    else:
        assert [pool[i] for i in one.chosen] == [shuffled[i] for i in other.chosen]
        assert one.notes == other.notes


@given(POOLS, SEEDS, st.randoms(use_true_random=False))
def test_no_chosen_row_is_near_an_earlier_one_and_nobody_is_lost(
    pool: list[Candidate], seed: int, shuffler: Random
) -> None:
    twins = [candidate.thinking_tokens for candidate in pool]  # alike means the same vector
    vectors = np.eye(41, dtype=np.float32)[twins].reshape(-1, 41)
    near = NearDuplicates(vectors=vectors, cosine=0.98)
    found = select(pool, config("embedding", len(pool) + 1), seed, near)
    kept = [twins[i] for i in found.chosen]
    assert len(set(kept)) == len(kept) == len(set(twins))
    assert sorted(found.chosen + found.near_duplicates) == list(range(len(pool)))
    assert found == select(pool, config("embedding", len(pool) + 1), seed, near)


Weights = Callable[[list[Candidate]], Mapping[int, float]]


def sequences(
    pool: list[Candidate], by: str, num_rows: int, chosen: tuple[int, ...], left: frozenset[int]
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every way Algorithm 1 can go on from here, with its probability: weights written out."""
    if len(chosen) == num_rows or not left:
        yield chosen, 1.0
        return
    weights = {pool[i].domain: 1.0 for i in left}
    if by == "released" and len(chosen) >= 0.7 * num_rows:
        aime, gpqa = (Counter(c.domain for c in pool if c.source_type == s) for s in (AIME, GPQA))
        scale = 0.5 * aime.total() / gpqa.total()
        weighed = {d: float(aime[d] + int(gpqa[d] * scale)) for d in weights}
        weights = weighed if any(weighed.values()) else weights
    for domain, weight in weights.items():
        rows = [i for i in left if pool[i].domain == domain]
        rows.sort(key=lambda i: pool[i].thinking_tokens, reverse=True)
        shares = [1.0 if by == "diverse" else 2.0**-rank for rank in range(len(rows))]
        for index, share in zip(rows, shares, strict=True):
            p = weight / sum(weights.values()) * share / sum(shares)
            grown = chosen if index in chosen else (*chosen, index)
            if p:
                for end, rest in sequences(pool, by, num_rows, grown, left - {index}):
                    yield end, p * rest


SMALL = [
    row(0, 0, 90, AIME, is_correct=True),
    row(1, 0, 80, AIME, is_correct=False), row(2, 0, 70), row(3, 0, 60),
    row(4, 1, 50, GPQA, is_correct=False), row(5, 1, 95, GPQA), row(6, 1, 40, AIME),
    row(7, 2, 30), row(8, 2, 20, MATH, is_correct=True),
]  # fmt: skip


@pytest.mark.parametrize("by", ["paper", "released", "embedding", "diverse"])
def test_draws_as_often_as_algorithm_1_with_its_weights_written_out(by: str) -> None:
    num_rows, num_seeds = 4, 6000
    everything = frozenset(range(len(SMALL)))
    first: tuple[int, ...] = (0,) if NEEDS[by].verdicts else ()
    left = everything - set(first) if by == "paper" else everything
    wanted: dict[tuple[int, int], float] = defaultdict(float)
    for sequence, p in sequences(SMALL, by, num_rows, first, left):
        for place, index in enumerate(sequence):
            wanted[place, index] += p
    found: Counter[tuple[int, int]] = Counter()
    for seed in range(num_seeds):
        found.update(enumerate(select(SMALL, config(by, num_rows), seed).chosen))
    assert sum(wanted.values()) == pytest.approx(num_rows)
    for key in {*wanted, *found}:  # a standard error is at most 0.0065
        assert found[key] / num_seeds == pytest.approx(wanted[key], abs=0.03), key


@pytest.mark.parametrize("num", [1, 2, 3, 5])
def test_ranks_are_drawn_with_weights_of_two_to_the_minus_rank(num: int) -> None:
    rng, draws = Random(0), 20_000
    counts = Counter(draw_rank(rng, num) for _ in range(draws))
    weights = [2.0**-rank for rank in range(num)]
    for rank, weight in enumerate(weights):
        assert counts[rank] / draws == pytest.approx(weight / sum(weights), abs=0.015)


def test_a_domain_of_ten_thousand_rows_can_be_drawn_to_its_end() -> None:
    pool = [row(i, tokens=i) for i in range(10_000)]
    few, everything = (select(pool, config("embedding", n), 1).chosen for n in (100, 10_000))
    assert min(few) > 9_850  # the longest go first
    assert sorted(everything) == list(range(10_000))
    assert few == everything[:100]


@pytest.mark.parametrize("by", ["embedding", "paper", "diverse"])
def test_domains_are_drawn_uniformly_however_large_they_are(by: str) -> None:
    pool = [row(i, int(i < 200)) for i in range(10_000)]
    chosen = select(pool, config(by, 300), 3).chosen
    assert 120 <= sum(i < 200 for i in chosen) <= 180


@pytest.mark.parametrize(
    ("source_type", "name"),
    [
        (AIME, "AIME"), ("AI-MO/NuminaMath-CoT/amc_aime", None), ("mine/AIME/1983", "AIME"),
        (GPQA, "GPQA"), ("gpqa_extended", "GPQA"),
        (MATH, "MATH"), ("qfq/openaimath/Geometry", "MATH"), ("math", "MATH"),
        ("EleutherAI/hendrycks_math", "MATH"),
        ("AI-MO/NuminaMath-CoT/aops_forum", None), ("KbsdJames/Omni-MATH", None),
        ("baber/agieval/math_agieval", None), ("GAIR/OlympicArena/Math", None), ("claimed", None),
    ],
)  # fmt: skip
def test_benchmark_families_are_known_by_their_source(source_type: str, name: str | None) -> None:
    assert kind(source_type) == name


def test_right_aime_and_gpqa_rows_and_long_right_math_rows_are_preselected() -> None:
    pool = [
        *(row(i, source=AIME, is_correct=i < 3) for i in range(5)),
        *(row(i, source=GPQA, is_correct=i != 13) for i in range(10, 14)),
        *(row(5600 + i, tokens=5600 + i, source=MATH, is_correct=True) for i in range(3)),
        row(9000, tokens=9000, source=MATH, is_correct=False),
        row(9001, tokens=9001, source=MATH),
        row(9002, tokens=9002, is_correct=True),
    ]
    taken, note = preselected(pool, 5600, 8)
    wanted = [row(number).question_id for number in (0, 1, 2, 10, 11, 12, 5601, 5602)]
    assert [pool[i].question_id for i in taken] == wanted
    assert "8 rows (3 AIME, 3 GPQA, 2 MATH)" in note


@pytest.mark.parametrize("by", ["paper", "released"])
def test_more_preselected_rows_than_asked_for_are_an_error_that_names_the_knobs(by: str) -> None:
    pool = [row(i, source=AIME, is_correct=True) for i in range(12)]
    with pytest.raises(
        UserError, match=r"12 rows .* wants 10; raise --selection\.num_rows"
    ) as info:
        select(pool, config(by, 10), 0)
    assert "--selection.long_math_tokens" in str(info.value)
    assert select(pool, config(by, 12), 0).chosen == tuple(range(12))


@pytest.mark.parametrize("by", ["paper", "released"])
def test_a_pool_without_verdicts_says_that_nothing_was_preselected(by: str) -> None:
    notes = select([row(i, source=AIME) for i in range(9)], config(by, 5), 0).notes
    assert "no trace of AIME, GPQA or MATH has a verdict" in notes[0]


def test_the_second_stage_starts_at_seventy_percent_and_draws_benchmark_domains_only() -> None:
    pool = [row(i, i % 10, tokens=i, source=AIME if i % 10 == 4 else OTHER) for i in range(4000)]
    chosen = select(pool, config("released", 1000), 5).chosen
    counts = Counter(pool[i].domain for i in chosen[:700])
    assert min(counts[domain] for domain in range(10)) > 40
    assert {pool[i].domain for i in chosen[700:]} == {4}


def test_domains_weigh_their_aime_rows_and_half_as_many_gpqa_rows() -> None:
    def pool(aime: dict[int, int], gpqa: dict[int, int]) -> list[Candidate]:
        rows = [(d, AIME) for d, n in aime.items() for _ in range(n)]
        rows += [(d, GPQA) for d, n in gpqa.items() for _ in range(n)]
        return [
            row(i, domain, source=source) for i, (domain, source) in enumerate([*rows, (9, OTHER)])
        ]

    assert benchmark_weights(pool({0: 6, 1: 3, 2: 1}, {1: 4, 3: 1})) == {0: 6, 1: 7, 2: 1, 3: 1}
    assert benchmark_weights(pool({0: 5}, {1: 1, 3: 2})) == {0: 5, 1: 0, 3: 1}  # int() of 0.8, 1.7
    assert benchmark_weights(pool({0: 2}, {})) == {0: 2}
    assert benchmark_weights(pool({}, {1: 3})) == {1: 0}


def test_drawing_a_preselected_row_pops_it_without_growing_the_selection() -> None:
    pool = [row(i, tokens=100 - i, source=AIME, is_correct=i < 30) for i in range(40)]
    found = select(pool, config("released", 40), 0)
    assert found.chosen[:30] == tuple(range(30))
    assert sorted(found.chosen[30:]) == list(range(30, 40))


@pytest.mark.parametrize("source", [OTHER, GPQA])
def test_without_benchmark_weights_the_second_stage_stays_uniform_and_says_so(source: str) -> None:
    pool = [row(i, i % 2, source=source, is_correct=False) for i in range(400)]
    found = select(pool, config("released", 100), 1)
    assert 8 <= sum(pool[i].domain for i in found.chosen[70:]) <= 22
    assert found.notes[1].startswith(
        "30 of the rows after the first 70 % came from uniform domains"
    )


def test_exhausted_benchmark_domains_hand_over_to_the_others() -> None:
    pool = [row(i, int(i < 5), source=AIME if i < 5 else OTHER) for i in range(100)]
    found = select(pool, config("released", 100), 1)
    assert sorted(found.chosen) == list(range(100))
    assert len(found.notes) == 2


def test_random_draws_every_row_alike() -> None:
    pool = [row(i, tokens=i) for i in range(10)]
    counts = Counter(i for s in range(2000) for i in select(pool, config("random", 3), s).chosen)
    assert all(count / 2000 == pytest.approx(0.3, abs=0.05) for count in counts.values())
    assert len(counts) == 10


def test_longest_takes_the_longest_and_full_takes_all() -> None:
    pool = [row(i, tokens=[3, 9, 9, 1][i]) for i in range(4)]
    assert select(pool, config("longest", 3), 0).chosen == (1, 2, 0)
    assert select(pool, config("full", 2), 0).chosen == (0, 1, 2, 3)


def test_every_method_of_the_options_is_there_and_the_ablations_skip_the_difficulty() -> None:
    assert set(DRAWS) == set(NEEDS) == set(get_type_hints(SelectionConfig)["by"].__args__)
    skip = {name for name, needs in NEEDS.items() if not needs.difficulty}
    assert skip == {"random", "diverse", "longest", "full"}
    assert {name for name, needs in NEEDS.items() if not needs.quality} == {"full"}


def test_a_domain_leaves_the_pools_with_its_last_row() -> None:
    pools = DomainPools([row(0, 3), row(1, 7)], without=[1])
    assert not pools.holds_any({7: 1})
    assert pools.draw(Random(0), weights={3: 1}) == 0
    assert not pools
