"""Clusters follow the topics and bear their words; classes are read strictly, the nearest wins."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from s1_core.errors import UserError
from s1_data import classes
from s1_data.classes import DomainClass
from s1_data.config import DiversityConfig
from s1_data.embedding import domains

TOPICS = {
    "apples": "Anna buys {} apples and {} pears at the market; how many fruits has she?",
    "circle": r"A circle of radius {} touches a triangle with $\angle B = {}$; find its area.",
    "train": "A train drives {} miles in {} hours; what is its speed per hour?",
}
TEXTS = [TOPICS[topic].format(i + 2, 3 * i + 5) for i in range(12) for topic in TOPICS]
CONFIG = DiversityConfig(num_features=2**12, num_dimensions=8, num_domains=3)
CLASSES = [
    DomainClass(code="70", title="Mechanics", topics=("speed of a train in miles per hour",)),
    DomainClass(code="51", title="Geometry", topics=("triangle", "circle and its radius", "area")),
    DomainClass(code="91", title="Trade", topics=("market", "apples and pears", "buys fruits")),
]


def test_clusters_follow_the_topics_and_bear_their_words() -> None:
    found = domains.space(TEXTS, CONFIG, 0).domains
    assert found is not None
    assert found.labels == found.labels[:3] * 12
    names = [found.names[label] for label in found.labels[:3]]
    assert {"apples", "buys", "pears"} & set(names[0].split())
    assert "angle" not in names[1]  # a LaTeX command is no word
    assert [name.split()[0] for name in names] == [f"{label:02d}" for label in found.labels[:3]]


def test_the_same_seed_gives_the_same_space() -> None:
    one, other = domains.space(TEXTS, CONFIG, 0), domains.space(TEXTS, CONFIG, 0)
    assert one.domains == other.domains
    assert one.vectors.tobytes() == other.vectors.tobytes()


def test_fewer_rows_than_clusters_are_each_their_own_cluster() -> None:
    rows = domains.space(TEXTS[:3], CONFIG, 0).vectors
    assert sorted(domains.cluster(rows, 50, 0)) == [0, 1, 2]


def test_a_question_belongs_to_the_class_that_its_words_are_nearest_to() -> None:
    config = dataclasses.replace(CONFIG, domains="msc-nearest")
    found = domains.space(TEXTS, config, 0, classes=CLASSES)
    assert found.domains is not None
    assert found.vectors.shape[0] == len(TEXTS)
    assert found.domains.labels == (2, 1, 0) * 12
    assert found.domains.names == {0: "70 Mechanics", 1: "51 Geometry", 2: "91 Trade"}


def test_a_judge_labels_what_the_vectors_do_not() -> None:
    assert domains.space(TEXTS, dataclasses.replace(CONFIG, domains="llm"), 0).domains is None


def test_classes_are_read_in_their_order(tmp_path: Path) -> None:
    file = tmp_path / "msc.json"
    file.write_text(json.dumps([{"code": "03", "title": "Logic", "topics": ["Sets", "Models"]}]))
    (found,) = classes.read(file)
    assert (found.name, found.text) == ("03 Logic", "Logic: Sets; Models")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"[{]", "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"{}", "wanted a JSON list of classes"),
        (b"[]", "wanted a JSON list of classes"),
        (b"[3]", "class 1 is not {code: text, title: text, topics: .text.}"),
        (b'[{"code": "03", "title": "Logic"}]', "class 1 is not"),
        (b'[{"code": 3, "title": "Logic", "topics": []}]', "class 1 is not"),
        (b'[{"code": "03", "title": "Logic", "topics": [3]}]', "class 1 is not"),
        (b'[{"code": "3", "title": "A", "topics": []}, {"code": "3", "title": "B", "topics": []}]',
         "code 3 occurs 2 times"),
    ],
)  # fmt: skip
def test_a_faulty_list_of_classes_is_one_line(tmp_path: Path, content: bytes, fault: str) -> None:
    file = tmp_path / "msc.json"
    file.write_bytes(content)
    with pytest.raises(UserError, match=fault) as info:
        classes.read(file)
    assert str(file) in str(info.value)


def test_a_missing_list_of_classes_names_the_flag(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no file of classes at .*--diversity\.classes"):
        classes.read(tmp_path / "none.json")
