"""Spec 1.2: one shared run of 8 words contaminates, however it is cased or spaced."""

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factories import question
from s1_core.records import Question
from s1_data.config import DecontaminationConfig
from s1_data.filters import shingles
from s1_data.filters.decontaminate import EARLIER, Contamination, Screen
from s1_data.filters.shingles import ShingleIndex

WORDS = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.lists(WORDS, min_size=1, max_size=14).map(" ".join)
POOLS = st.lists(TEXTS, max_size=5)
RARE = st.text(alphabet="qxz", min_size=3, max_size=6)


def questions(texts: Sequence[str]) -> list[Question]:
    return [question(text) for text in texts]


def screened(
    pool: Mapping[str, Sequence[str]], tests: Mapping[str, Sequence[str]], **options: object
) -> tuple[list[str | None], list[Contamination]]:
    values = {"benchmarks": (), **options}
    screen = Screen(
        {name: questions(texts) for name, texts in tests.items()},
        DecontaminationConfig(**values),  # type: ignore[arg-type]
    )
    found: list[str | None] = []
    lines: list[Contamination] = []
    for source, texts in pool.items():
        rows = questions(texts)
        rules, report = screen.rules(source, rows)
        screen.take([row for row, rule in zip(rows, rules, strict=True) if rule is None])
        found, lines = found + rules, lines + report
    return found, lines


def rules(
    pool: Mapping[str, Sequence[str]], tests: Mapping[str, Sequence[str]], **options: object
) -> list[str | None]:
    return screened(pool, tests, **options)[0]


def shares_a_run(one: str, other: str, num_words: int) -> bool:
    """The rule, written plainly: is any run of words of one a run of the other?"""
    a, b = one.split(), other.split()
    runs = [a[i : i + num_words] for i in range(len(a) - num_words + 1)]
    return any(b[j : j + num_words] in runs for j in range(len(b) - num_words + 1))


@given(POOLS, POOLS, st.integers(1, 9))
def test_agrees_with_the_rule_written_plainly(
    pool: list[str], tests: list[str], num_words: int
) -> None:
    expected = [any(shares_a_run(text, test, num_words) for test in tests) for text in pool]
    found = rules({"s": pool}, {"t": tests}, shingle_words=num_words)
    assert [rule == "t" for rule in found] == expected
    assert set(found) <= {None, "t"}


@given(POOLS, POOLS, st.integers(1, 4))
def test_what_is_reported_is_shared_even_where_hashes_collide(
    pool: list[str], tests: list[str], num_words: int
) -> None:
    index = ShingleIndex(num_words)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shingles, "_FACTOR", 1)  # the hash is now the sum of the bytes
        index.add("t", questions(tests))
        matches = index.find(questions(pool))
    for text, match in zip(pool, matches, strict=True):
        assert match is None or any(f" {match.shingle} " in f" {test} " for test in tests)
        assert match is None or f" {match.shingle} " in f" {text} "


@given(st.lists(POOLS, max_size=3), POOLS, st.integers(1, 4))
def test_every_source_is_held_against_the_survivors_before_it(
    sources: list[list[str]], tests: list[str], num_words: int
) -> None:
    seen, expected = list(tests), []
    for texts in sources:
        clean = [not any(shares_a_run(text, old, num_words) for old in seen) for text in texts]
        expected += clean
        seen += [text for text, is_clean in zip(texts, clean, strict=True) if is_clean]
    pool = {f"s{n}": texts for n, texts in enumerate(sources)}
    found = rules(pool, {"t": tests}, shingle_words=num_words)
    assert [rule is None for rule in found] == expected


@given(st.integers(1, 700), st.integers(0, 699))
def test_batches_have_no_seams(num_rows: int, at: int) -> None:
    texts = [f"{n} a{n} b{n} c{n}" for n in range(num_rows)]
    found = rules({"s": texts}, {"t": [f"x a{at} b{at} c{at} y"]}, shingle_words=3)
    assert found == ["t" if n == at else None for n in range(num_rows)]


@given(
    st.lists(RARE, min_size=8, max_size=20, unique=True),
    st.lists(WORDS, max_size=9),
    st.lists(WORDS, max_size=9),
    st.data(),
)
def test_a_planted_span_is_found_in_any_case_and_spacing(
    benchmark: list[str], before: list[str], after: list[str], data: st.DataObject
) -> None:
    start = data.draw(st.integers(0, len(benchmark) - 8))
    space = data.draw(st.sampled_from([" ", "\n", "\t ", "  "]))
    planted = space.join([*before, *benchmark[start : start + 8], *after]).upper()
    assert rules({"s": [planted]}, {"aime24": [" ".join(benchmark)]}) == ["aime24"]


def test_seven_words_and_changed_punctuation_pass() -> None:
    test = "find the sum of all positive integers below"
    seven, comma = test.removesuffix(" below"), test.replace(" below", ", below")
    assert rules({"s": [seven, comma]}, {"t": [test]}) == [None, None]


def test_sources_may_share_a_name_with_a_benchmark_and_may_be_left_alone() -> None:
    text = "one two three four five six seven eight nine"
    pool = {"gsm8k": [text], "other": ["0 " + text]}
    assert rules(pool, {"gsm8k": ["else"]}) == [None, EARLIER]
    assert rules(pool, {"gsm8k": ["else"]}, across_sources=False) == [None, None]


def test_the_report_counts_each_row_once_and_shows_pairs() -> None:
    first, second = "a b c d e f g h", "i j k l m n o p"
    pool = {"one": [first, second, f"{first} {second}", "clean"], "two": ["clean", "more"]}
    found, report = screened(pool, {"t1": [first], "t2": [second]})
    assert found == ["t1", "t2", "t1", None, None, None]
    lines = [(r.source, r.against, r.total, r.contaminated, r.remaining) for r in report]
    assert lines == [
        ("one", "t1", 4, 2, 2), ("one", "t2", 2, 1, 1), ("one", EARLIER, 1, 0, 1),
        ("two", "t1", 2, 0, 2), ("two", "t2", 2, 0, 2), ("two", EARLIER, 2, 0, 2),
    ]  # fmt: skip
    assert report[0].rate_percent == 50.0
    assert report[0].examples[0] == {
        "question_id": question(first).id, "with": question(first).id, "shingle": first,
    }  # fmt: skip


def test_equal_texts_share_whatever_their_case() -> None:
    pool = {"bank": ["How  Many r?", "how many s?"]}
    assert rules(pool, {"heldout": ["how many R?"]}, rule="exact") == ["heldout", None]
