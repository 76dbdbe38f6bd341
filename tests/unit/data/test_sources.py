"""Every mapping on hand-written rows in the hub's columns, with the traps of spec 1.1."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1_core.errors import UserError
from s1_core.records import Question, question_id
from s1_data.sources import registry
from s1_data.sources.config import HUB_SOURCES
from s1_data.sources.published import benchmarks, gpqa, olympiads, programming, puzzles, scieval
from s1_data.sources.published.competitions import CHOSEN, MATH, NUMINAMATH, OMNI_MATH, aime
from s1_data.sources.published.exams import AGIEVAL, JEEBENCH, S1_PROB, THEOREMQA
from s1_data.sources.published.kept import KEPT
from s1_data.sources.source import Part, RawRow, Source, shuffled

CHOICES = {
    "Incorrect Answer 1": "one\n", "Incorrect Answer 2": "two", "Incorrect Answer 3": "\nthree",
    "Correct Answer": "right",
}  # fmt: skip


def convert(source: Source, *rows: dict[str, Any], part: Part | None = None) -> list[Question]:
    return source.convert(RawRow(part or source.parts[-1], row) for row in rows)


def facts(question: Question) -> tuple[str, str | None, str | None, str, str]:
    return (
        question.question, question.solution, question.answer, question.cot_type,
        question.source_type,
    )  # fmt: skip


def rest(question: Question) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(question.metadata)
    return found


def test_math() -> None:
    row = {"problem": "p", "solution": "so $\\boxed{2}$", "answer": "two", "subject": "Algebra"}
    answered, boxed = convert(MATH, row, row | {"answer": None})
    kind = ("math", "simplescaling/openaimath/Algebra")
    assert facts(answered) == ("p", "so $\\boxed{2}$", "two", *kind)
    assert facts(boxed) == ("p", "so $\\boxed{2}$", "2", *kind)
    assert answered.id == question_id("p")
    assert answered.metadata == '{"answer": "two", "subject": "Algebra"}'


def test_olympic_arena_takes_english_text_only() -> None:
    row = {"problem": "p", "solution": None, "answer": None, "language": "EN",
           "modality": "text-only", "subject": "Physics"}  # fmt: skip
    found = convert(
        olympiads.OLYMPIC_ARENA,
        row, row | {"language": "ZH"}, row | {"modality": "multi-modal"},
        row | {"subject": "Math", "answer": ["1", "2"]},
        row | {"subject": "CS", "problem": None, "solution": " "},
    )  # fmt: skip
    assert [facts(question) for question in found] == [
        ("p", None, None, "science", "GAIR/OlympicArena/Physics"),
        ("p", None, "1, 2", "math", "GAIR/OlympicArena/Math"),
        ("", None, None, "coding", "GAIR/OlympicArena/CS"),
    ]
    order = [str(part) for part in olympiads.OLYMPIC_ARENA.parts]
    assert order[:2] + order[6:8] == ["Math/test", "Physics/test", "CS/test", "Math/val"]
    assert len(order) == 14


def test_theoremqa_leaves_pictures_out() -> None:
    row = {"Question": "q", "Answer": "2.5", "Answer_type": "float", "Picture": None}
    (found,) = convert(THEOREMQA, row, row | {"Picture": {"bytes": b"png", "path": None}})
    assert facts(found) == ("q", "2.5", "2.5", "math", "TIGER-Lab/TheoremQA/float")
    assert rest(found) == {"Answer_type": "float", "Picture": None}


def test_numinamath_keeps_the_forum_and_of_the_rest_what_was_chosen() -> None:
    row = {"problem": "f1", "solution": "\\boxed{1}", "source": "aops_forum", "messages": ["no"]}
    kept = (
        "Given four lines such that any three of them determine a triangle, prove that the"
        " orthocenters of these four triangles are collinear."
    )
    rows = [
        row, row | {"problem": "chosen", "source": "cn_k12", "solution": "s"},
        row | {"problem": "other", "source": "cn_k12"}, row | {"problem": "f2"},
        row | {"problem": kept, "source": "olympiads"}, row | {"problem": None, "source": "math"},
    ]  # fmt: skip
    chosen = RawRow(CHOSEN, {"problem": "chosen"})
    found = NUMINAMATH.convert([chosen, *(RawRow(NUMINAMATH.parts[1], r) for r in rows)])
    assert [question.question for question in found] == ["chosen", kept, "f1", "f2"]
    assert facts(found[0])[1:] == ("s", None, "math", "AI-MO/NuminaMath-CoT/cn_k12")
    assert (found[2].answer, rest(found[2])) == ("1", {"source": "aops_forum"})


def test_the_list_kept_by_hand_is_whole() -> None:
    assert len(KEPT) == 64
    assert all(len(name) == 16 and set(name) <= set("0123456789abcdef") for name in KEPT)


def test_omni_math() -> None:
    row = {"problem": "p", "solution": "no box", "answer": "3", "difficulty": 9.0, "domain": ["a"]}
    plain, bare = convert(OMNI_MATH, row, row | {"answer": None})
    assert facts(plain) == ("p", "no box", "3", "math", "KbsdJames/Omni-MATH")
    assert bare.answer is None
    assert rest(plain) == {"answer": "3", "difficulty": 9.0, "domain": ["a"]}


SCIENCE = {"answer": ["B"], "category": "Biology", "type": "multiple-choice", "topic": "cells",
           "task_name": "SocraticQA"}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ("Why?\n\nA. x\n\nAnswer:", "Why?\n\nA. x"),
        ("List:\nC,O\nOptimal solvent:", "List:\nC,O\nWhat is the optimal solvent?"),
        ("List:\nC,O\nOptimal ligand:", "List:\nC,O\nWhat is the optimal ligand?"),
        ("List:\nC,O\nOptimal reactant:", "List:\nC,O\nWhat is the optimal reactant?"),
        ("Optimal solvent:", "Optimal solvent:"),
    ],
)
def test_scieval_asks_in_words(given: str, asked: str) -> None:
    (found,) = convert(scieval.SCIEVAL, SCIENCE | {"question": given})
    kind = ("science", "OpenDFM/SciEval/Biology/multiple-choice/SocraticQA")
    assert facts(found) == (asked, "B", "B", *kind)


def test_scieval_rows_without_an_answer_leave() -> None:
    row = SCIENCE | {"question": "q"}
    rows = [row | {"answer": None}, row | {"answer": []}, row | {"task_name": "PubMedQA"}]
    nothing, health = convert(scieval.SCIEVAL, *rows)
    assert (nothing.solution, nothing.cot_type) == (None, "science")
    assert health.cot_type == "health science"
    assert [str(part) for part in scieval.SCIEVAL.parts] == ["test", "validation"]


def science(name: int | str, task: str, topic: str | None) -> Question:
    row = SCIENCE | {"question": str(name), "task_name": task, "topic": topic}
    return convert(scieval.SCIEVAL, row)[0]


def test_scieval_fills_a_task_in_shuffled_order() -> None:
    rows = [science(n, "MedQA", None) for n in range(400)]
    assert scieval.pick(rows) == shuffled(rows)[:250]


def test_scieval_takes_a_row_twice_where_topic_and_task_both_have_room() -> None:
    rows = [science(n, "SocraticQA", "cells") for n in range(400)]
    assert scieval.pick(rows) == [row for row in shuffled(rows)[:125] for _ in range(2)]


def test_scieval_shares_its_quotas_among_topics_and_tasks() -> None:
    """Two tasks have room for 125 each; 125 among six topics, none being one, is 21 each."""
    rows = [science(n, "SocraticQA", f"topic {n % 5}") for n in range(1000)]
    rows += [science(n, "MedQA", None) for n in range(1000, 2000)]
    found = scieval.pick(rows)
    times = Counter(row.id for row in found)
    twice = [row for row in rows if times[row.id] == 2]
    assert sum(rest(row)["topic"] is None for row in twice) == 21
    assert len(found) == 250


def test_scieval_adds_the_rows_kept_by_hand_last() -> None:
    text = (
        "What is compartmentalization of a cell?\n\nA. Cell compartmentalization\nB. Cell"
        " communication\nC. Cell division\nD. Cell fusion"
    )
    rows = [science(n, "MedQA", None) for n in range(400)]
    found = scieval.pick([science(text, "MedQA", None), *rows])
    assert len(found) == 250
    assert found[-1].question == text


def test_scieval_of_nothing_is_nothing() -> None:
    assert scieval.pick([]) == []


def test_olympiadbench_never_prepends_the_context() -> None:
    row = {"question": "q", "solution": ["first", "second"], "final_answer": ["1", "2"],
           "context": "c", "question_type": "OE", "subject": "Maths"}  # fmt: skip
    found, proof = convert(olympiads.OLYMPIADBENCH, row, row | {"final_answer": None})
    assert facts(found) == ("q", "first", "1, 2", "math", "Hothan/OlympiadBench/OE/Maths")
    assert (rest(found)["context"], proof.answer) == ("c", None)
    assert [part.config for part in olympiads.OLYMPIADBENCH.parts] == [
        "OE_TO_maths_en_COMP", "OE_TO_physics_en_COMP", "TP_TO_maths_en_COMP",
        "TP_TO_physics_en_COMP",
    ]  # fmt: skip


def test_jeebench_counts_physics_as_mathematics() -> None:
    row = {"question": "q", "gold": "AC", "type": "MCQ(multiple)"}
    found = convert(JEEBENCH, *(row | {"subject": name} for name in ("math", "phy", "chem")))
    assert [question.cot_type for question in found] == ["math", "math", "science"]
    assert facts(found[1])[:3] == ("q", "AC", "AC")
    assert found[1].source_type == "daman1209arora/jeebench/phy"


def agieval(config: str, **fields: Any) -> list[Question]:
    part = next(part for part in AGIEVAL.parts if part.config == config)
    row = {"question": "Q?", "solution": "s", "label": "A", "answer": None}
    return convert(AGIEVAL, row | fields, part=part)


def test_agieval_glues_the_passage_to_the_question() -> None:
    fields = {"passage": " P. \n", "options": ["(A) 1", "(B) 2"]}
    (found,) = agieval("lsat_ar", **fields)
    assert facts(found) == ("P.Q?\n(A) 1\n(B) 2", "s", "A", "english", "baber/agieval/lsat_ar")
    for nothing in ("", None):
        assert agieval("sat_math", **fields | {"passage": nothing})[0].question[:4] == "Q?\n("
    assert agieval("logiqa", **fields)[0].cot_type == "math"


def test_agieval_asks_some_without_options_and_takes_the_hardest_mathematics() -> None:
    (rat,) = agieval("aqua_rat", passage="no", options=["(A) no"], solution=None)
    assert facts(rat) == ("Q?", None, "A", "math", "baber/agieval/aqua_rat")
    (hard,) = agieval("math_agieval", level=5, label=None, answer="7")
    assert hard.answer == "7"
    assert agieval("math_agieval", level=4) == []
    order = [str(part) for part in AGIEVAL.parts]
    assert order[:3] == ["sat_en/test", "sat_en/few_shot", "sat_math/test"]
    assert order[-4:] == [
        "aqua_rat/test", "aqua_rat/few_shot", "math_agieval/test", "math_agieval/few_shot",
    ]  # fmt: skip


def test_s1_prob() -> None:
    found, boxed = convert(
        S1_PROB, {"question": "q", "solution": "s"}, {"question": "q", "solution": "\\boxed{e}"}
    )
    assert facts(found) == ("q", "s", None, "math", "simplescaling/s1-prob")
    assert boxed.answer == "e"


def gpqa_row(text: str) -> dict[str, Any]:
    return CHOICES | {"Question": text, "Explanation": "because", "High-level domain": "Physics"}


def test_gpqa_leaves_the_diamond_out_whichever_comes_first() -> None:
    extended = [RawRow(gpqa.GPQA.parts[1], gpqa_row(text)) for text in ("a", "b", "c")]
    diamond = [RawRow(gpqa.DIAMOND, {"Question": "b"})]
    for rows in (extended + diamond, diamond + extended):
        found = gpqa.GPQA.convert(rows)
        assert [question.question for question in found] == ["a", "c"]
    assert facts(found[0])[1:] == ("because", None, "science", "Idavidrein/gpqa")


def test_gpqa_choices_follow_the_seed_and_the_letter_follows_the_choice() -> None:
    rows = gpqa.GPQA.convert(RawRow(gpqa.GPQA.parts[1], gpqa_row(str(n))) for n in range(30))
    found = gpqa.GPQA.arrange(rows)
    random.seed(42)  # the released script shuffles with the module's own generator
    for bare, question in zip(shuffled(rows), found, strict=True):
        choices = ["one", "two", "three", "right"]
        random.shuffle(choices)
        letter = "ABCD"[choices.index("right")]
        shown = "\n".join(f"({a}) {text}" for a, text in zip("ABCD", choices, strict=True))
        assert question.question == f"{bare.question}\nAnswer Choices:\n{shown}"
        assert question.solution == f"because\n\nAnswer: {letter}"
        assert (question.answer, question.id) == (letter, question_id(question.question))
    assert {question.answer for question in found} == set("ABCD")


def test_gpqa_is_never_published() -> None:
    secret = [source.name for source in registry.published(2021) if not source.is_published]
    secret += [name for name, one in benchmarks.sources(42).items() if not one.is_published]
    assert secret == ["gpqa", "gpqa_diamond"]


def test_xword_asks_for_the_clue() -> None:
    row = {"instruction": "i", "input": "### Clue: Not dry (3)", "output": "wet"}
    found = convert(
        puzzles.XWORD, row, row | {"input": "Not dry (3)"}, row | {"input": None},
        row | {"input": "### Clue: a ### Clue: b"},
    )  # fmt: skip
    start = (
        "Solve the crossword puzzle. You are presented with a clue as input and the number of"
        " letters in brackets.\n\n"
    )
    asked = [question.question for question in found]
    assert asked == [start + "Not dry (3)", start + "Not dry (3)", "", start + "a "]
    assert facts(found[0])[1:] == ("wet", "wet", "crossword", "0xharib/xword1")


def test_xword_takes_the_first_thousand_in_shuffled_order() -> None:
    rows = convert(puzzles.XWORD, *({"input": str(n), "output": "o"} for n in range(1500)))
    assert puzzles.XWORD.arrange(rows) == shuffled(rows)[:1000]
    assert len(puzzles.XWORD.arrange(rows[:10])) == 10


def test_usaco_has_no_solution_and_leaves_its_tests_behind() -> None:
    row = {"question": "\n q \n", "solution": "code", "input_output": "x" * 9, "id": 1}
    (found,) = convert(programming.USACO, row)
    assert facts(found) == ("q", None, None, "coding", "codegenning/usacobench_formatted")
    assert rest(found) == {"id": 1, "solution": "code"}


def test_s1_teasers() -> None:
    (found,) = convert(puzzles.S1_TEASERS, {"Question": " q ", "Answer": "a", "Hint": "h"})
    assert facts(found) == ("q", "a", "a", "math", "simplescaling/s1-teasers")
    assert rest(found) == {"Hint": "h"}


def test_livecodebench_repeats_the_hard_problems_of_earlier_releases() -> None:
    first, second, third = programming.LIVECODEBENCH.parts
    row = {"question_content": " a ", "difficulty": "hard", "private_test_cases": "eJx"}
    found = programming.LIVECODEBENCH.convert(
        [
            RawRow(first, row), RawRow(first, row | {"difficulty": "easy"}),
            RawRow(second, row | {"difficulty": "medium"}),
            RawRow(third, row | {"question_content": "b"}),
        ]
    )  # fmt: skip
    assert [(question.question, question.source_type) for question in found] == [
        ("a", "LiveCodeBench/release_v1"),
        ("a", "LiveCodeBench/release_v2"),
        ("a", "LiveCodeBench/release_v3"),
        ("b", "LiveCodeBench/release_v3"),
    ]
    assert facts(found[0])[1:4] == (None, None, "coding")
    assert rest(found[0]) == {"difficulty": "hard"}
    assert [part.data_files for part in (first, second, third)] == [
        ("test.jsonl",), ("test2.jsonl",), ("test3.jsonl",),
    ]  # fmt: skip


@pytest.mark.parametrize(("until", "years"), [(2021, [1983, 2021]), (2022, [1983, 2021, 2022])])
def test_aime_stops_at_a_year(until: int, years: list[int]) -> None:
    ids = ["1983-1", "2021-II-15", "2022-I-1", "2024-II-3"]
    rows = [{"ID": name, "Question": " q ", "Answer": "7", "Year": int(name[:4])} for name in ids]
    found = convert(aime(until), *rows)
    assert [rest(question)["Year"] for question in found] == years
    assert facts(found[0]) == ("q", "7", "7", "math", "qq8933/AIME_1983_2024")


def test_aime_wants_a_year() -> None:
    with pytest.raises(UserError, match="found ID 'I-3', wanted one like 2021-I-3"):
        convert(aime(2021), {"ID": "I-3", "Question": "q", "Answer": "7"})


def test_a_null_question_is_left_for_a_filter_to_count() -> None:
    (found,) = convert(OMNI_MATH, {"problem": None, "solution": None})
    assert (found.question, found.solution) == ("", None)


@given(st.integers(0, 400))
@settings(deadline=None, max_examples=30)
def test_the_order_is_that_of_the_datasets_library(length: int) -> None:
    from datasets import Dataset

    theirs = Dataset.from_dict({"n": list(range(length))}).shuffle(seed=42)["n"] if length else []
    assert shuffled(list(range(length))) == list(theirs)


def test_the_registry_has_all_sixteen_in_order() -> None:
    assert tuple(source.name for source in registry.published(2021)) == HUB_SOURCES
    for source in registry.published(2021):
        assert source.parts and source.columns and "/" in source.hub_id and source.license


def benchmark(name: str, **row: Any) -> Question:
    source = benchmarks.sources(42)[name]
    return source.arrange(convert(source, row))[0]


def test_benchmarks_map_to_questions() -> None:
    found = benchmark("aime24", problem="p", answer="204", id=60)
    assert facts(found) == ("p", None, "204", "math", "aime24")
    assert rest(found) == {"id": 60}
    assert benchmark("aime25", question="q", answer="70").question == "q"
    assert benchmark("math500", problem="p", solution="\\boxed{1}", answer=None).answer == "1"
    assert benchmark("aimo_validation", problem="p", solution="s", answer="3").solution == "s"
    coding = benchmark("livecodebench_v4", question_content="c", difficulty="easy")
    assert facts(coding) == ("c", None, None, "coding", "livecodebench_v4")


def test_gsm8k_has_its_answer_behind_a_mark() -> None:
    found = benchmark("gsm8k", question="q", answer="2 + 2 = 4\n#### 4")
    assert facts(found) == ("q", "2 + 2 = 4\n#### 4", "4", "math", "gsm8k")
    assert facts(benchmark("gsm8k", question="q", answer="4"))[1:3] == (None, "4")


def test_gpqa_diamond_asks_with_letters_and_keeps_the_bare_question() -> None:
    found = benchmark("gpqa_diamond", **gpqa_row("Why?"))
    lines = found.question.splitlines()
    assert lines[:2] == ["Why?", ""]
    assert [line[:3] for line in lines[2:]] == ["A) ", "B) ", "C) ", "D) "]
    assert f"{found.answer}) right" in lines
    assert rest(found)["Question"] == "Why?"
    orders = {benchmarks.sources(seed)["gpqa_diamond"].arrange(
        convert(benchmarks.sources(seed)["gpqa_diamond"], gpqa_row("Why?")))[0].question
        for seed in range(20)}  # fmt: skip
    assert len(orders) > 1
