"""Spec 1.2: one shared run of 8 words contaminates, however it is cased or spaced."""

from hypothesis import given
from hypothesis import strategies as st

from factories import question
from s1_data.decontaminate import sharing_shingles, sharing_text

WORDS = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.lists(WORDS, min_size=1, max_size=14).map(" ".join)
RARE = st.text(alphabet="qxz", min_size=3, max_size=6)


def shares_a_run(one: str, other: str, num_words: int) -> bool:
    """The rule, written plainly: is any run of words of one a run of the other?"""
    a, b = one.split(), other.split()
    runs = [a[i : i + num_words] for i in range(len(a) - num_words + 1)]
    return any(b[j : j + num_words] in runs for j in range(len(b) - num_words + 1))


@given(st.lists(TEXTS, max_size=5), st.lists(TEXTS, max_size=3), st.integers(1, 9))
def test_agrees_with_the_rule_written_plainly(
    pool: list[str], tests: list[str], num_words: int
) -> None:
    rules = sharing_shingles(
        [question(text) for text in pool], {"test": [question(t) for t in tests]}, num_words
    )
    expected = [any(shares_a_run(text, test, num_words) for test in tests) for text in pool]
    assert [rule is not None for rule in rules] == expected


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
    rules = sharing_shingles([question(planted)], {"aime24": [question(" ".join(benchmark))]}, 8)
    assert rules == ["aime24"]


def test_seven_words_and_changed_punctuation_pass() -> None:
    test = question("find the sum of all positive integers below")
    seven = question("find the sum of all positive integers")
    comma = question("find the sum of all positive integers, below")
    assert sharing_shingles([seven, comma], {"t": [test]}, 8) == [None, None]


def test_the_first_benchmark_that_shares_is_named() -> None:
    text = "one two three four five six seven eight nine"
    benchmarks = {"clean": [question("other words")], "dirty": [question(text)]}
    assert sharing_shingles([question("0 " + text)], benchmarks, 8) == ["dirty"]


def test_equal_texts_share_whatever_their_case() -> None:
    rules = sharing_text([question("How  Many r?"), question("how many s?")], {
        "heldout": [question("how many R?")],
    })  # fmt: skip
    assert rules == ["heldout", None]
