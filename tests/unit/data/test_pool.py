"""Which sources a configuration means, in which order, and what identifies them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from s1_core.errors import UserError
from s1_core.records import UNPUBLISHED, Question
from s1_data import benchmarks
from s1_data.config import BENCHMARKS, BenchmarkConfig, BuildConfig
from s1_data.sources import generated, pool, registry
from s1_data.sources.config import HUB_SOURCES, SourceOptions, SourcesConfig
from s1_data.sources.pool import SourcePart
from s1_data.sources.published import benchmarks as published
from s1_data.sources.source import shuffled

RECORD = {"question": "q?", "solution": "s", "answer": "1", "source_type": "t"}
OWN_MODULE = """
from s1_data.sources.source import Part, Source, each, question

@each
def convert(part, row):
    return question(row.pop("text"), row, cot_type="math", source_type="mine")

SOURCE = Source(name="{name}", hub_id="me/mine", parts=(Part(),), columns=("text",),
                convert=convert, license="CC0-1.0", revision="v1")
"""


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parts(path: Path | None = None, out: str = "nowhere", **options: Any) -> list[SourcePart]:
    return pool.parts(build(path, out, **options))


def build(path: Path | None = None, out: str = "nowhere", **options: Any) -> BuildConfig:
    sources, named = SourcesConfig(**options), str(path) if path else None
    return BuildConfig(until="questions", sources=sources, path=named, out=out)


def test_the_bank_is_one_source_known_by_its_code() -> None:
    (bank,) = parts(kind="bank", num_questions=5)
    assert (bank.name, bank.license, bank.identity) == ("bank", "Apache-2.0", generated.parents())
    assert len(bank.read()) == 5
    bank.collect()


def test_local_files_follow_the_registry_then_the_alphabet(tmp_path: Path) -> None:
    for name in ("gsm8k", "zeta", "agieval", "omni_math", "gpqa", "alpha"):
        lines(tmp_path / "questions" / f"{name}.jsonl", RECORD | {"question": name})
    found = parts(tmp_path, kind="local", skip=("alpha",))
    assert [(part.name, part.license) for part in found] == [
        ("omni_math", "Apache-2.0"), ("agieval", "MIT"), ("gpqa", "CC-BY-4.0"), ("gsm8k", "MIT"),
        ("zeta", "not stated"),
    ]  # fmt: skip
    assert [part.name for part in found if not part.is_published] == ["gpqa"]
    assert [row.question for part in found for row in part.read()] == [part.name for part in found]
    assert pool.skipped(build(kind="local", skip=("zeta", "gpqa"))) == ["gpqa", "zeta"]


def test_local_files_are_identified_by_their_bytes(tmp_path: Path) -> None:
    path = lines(tmp_path / "questions" / "some.jsonl", RECORD)
    (part,) = parts(tmp_path, kind="local")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert part.identity == {"questions/some.jsonl": digest}


def test_records_keep_their_order_and_rows_of_the_hub_get_that_of_s1(tmp_path: Path) -> None:
    texts = [str(number) for number in range(20)]
    path = lines(tmp_path / "ours.jsonl", *(RECORD | {"question": text} for text in texts))
    options = {"omni_math": SourceOptions(path=str(path))}
    ours = next(part for part in parts(**options) if part.name == "omni_math")
    assert [row.question for row in ours.read()] == texts
    lines(path, *({"problem": text, "solution": None} for text in texts))
    assert [row.question for row in ours.mapped()] == texts
    assert [row.question for row in ours.read()] == shuffled(texts)


def test_a_local_folder_without_questions_or_with_two_of_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no questions/\*\.jsonl"):
        parts(tmp_path, kind="local")
    lines(tmp_path / "questions" / "some.jsonl", RECORD)
    with pytest.raises(UserError, match=r"sources.skip holds other;.*has some"):
        parts(tmp_path, kind="local", skip=("other",))
    lines(tmp_path / "questions" / "some.parquet")
    with pytest.raises(UserError, match=r"one name as .jsonl and as .parquet"):
        parts(tmp_path, kind="local")


def test_the_hub_list_has_every_source_but_the_skipped(tmp_path: Path) -> None:
    skip = ("gpqa", "math")
    found = parts(out=str(tmp_path), skip=skip, agieval=SourceOptions(revision="v2"))
    assert [part.name for part in found] == [name for name in HUB_SOURCES if name not in skip]
    assert pool.skipped(build(skip=skip)) == ["math", "gpqa"]
    agieval = next(part for part in found if part.name == "agieval")
    assert agieval.origin == "baber/agieval@v2"
    assert agieval.identity == {"sources/agieval": "baber/agieval@v2"}
    assert list(tmp_path.iterdir()) == []


def test_a_source_may_be_pointed_at_a_folder(tmp_path: Path) -> None:
    row = {"ID": "2022-1", "Question": "q", "Answer": "7"}
    first = lines(tmp_path / "train-0.jsonl", row)
    second = lines(tmp_path / "train-1.jsonl", row | {"ID": "2001-1"})
    found = parts(aime=SourceOptions(path=str(tmp_path)))[-1]
    digests = {
        f"sources/aime/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (first, second)
    }
    identity = found.identity
    assert len(identity.pop("aime.mapping")) == 64  # an edited mapping must not pass for this one
    assert identity == digests | {"aime.variant": "until 2021"}
    assert [json.loads(row.metadata)["ID"] for row in found.read()] == ["2001-1"]
    later = parts(aime=SourceOptions(path=str(tmp_path)), aime_until=2022)[-1]
    assert len(later.read()) == 2
    assert later.identity != found.identity


def test_a_module_of_ones_own_joins_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_own_source.py").write_text(OWN_MODULE.format(name="mine"))
    own = parts(modules=("my_own_source",), out=str(tmp_path))[-1]
    assert (own.name, own.license, own.origin) == ("mine", "CC0-1.0", "me/mine@v1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (OWN_MODULE.format(name="aime"), "the name aime is taken"),
        ("SOURCE = 1", "has no SOURCE"),
        ("import nowhere_at_all", "cannot import my_bad_source"),
    ],
)
def test_a_module_that_is_no_source_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, message: str
) -> None:
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_bad_source", raising=False)
    (tmp_path / "my_bad_source.py").write_text(content)
    with pytest.raises(UserError, match=message):
        registry.sources(SourcesConfig(modules=("my_bad_source",)))


def benchmark(name: str, **options: Any) -> BenchmarkConfig:
    return BenchmarkConfig(name=name, **options)  # type: ignore[arg-type]


def asked(config: BenchmarkConfig) -> list[Question]:
    return benchmarks.questions(config)


def test_benchmarks_come_from_the_data_folder(tmp_path: Path) -> None:
    row = {"question": "q?", "answer": 204, "id": 60}
    path = lines(tmp_path / "eval" / "aime24.jsonl", row, row | {"question": "r?"})
    lines(tmp_path / "eval" / "gsm8k_test.jsonl", row)
    config = benchmark("aime24", path=str(tmp_path))
    first, second = asked(config)
    assert (first.answer, first.source_type, first.metadata) == ("204", "aime24", '{"id": 60}')
    assert second.question == "r?"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert benchmarks.parents(config) == {"eval/aime24.jsonl": digest}
    assert len(asked(benchmark("aime24", path=str(path), num_questions=1))) == 1
    assert len(asked(benchmark("gsm8k", path=str(tmp_path)))) == 1
    with pytest.raises(UserError, match="does not exist"):
        asked(benchmark("aime24", path=str(tmp_path / "none")))


def test_what_the_data_folder_lacks_comes_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S1_DATA", str(tmp_path))
    lines(tmp_path / "eval" / "math500.jsonl", {"question": "q", "answer": "1"})
    out = str(tmp_path / "out")
    assert list(benchmarks.parents(benchmark("math500", out=out))) == ["eval/math500.jsonl"]
    pinned = benchmark("math500", out=out, revision="v3")
    assert benchmarks.parents(pinned) == {"benchmarks/math500": "simplescaling/openaimath@v3"}
    other = benchmark("aime25", out=out)
    assert benchmarks.parents(other) == {"benchmarks/aime25": "TIGER-Lab/AIME25@newest"}


def test_heldout_is_the_bank(tmp_path: Path) -> None:
    config = benchmark("heldout", num_questions=4, out=str(tmp_path / "out"))
    assert benchmarks.parents(config) == generated.parents()
    assert len(benchmarks.ensure(config).read("questions", Question)) == 4


def test_a_row_that_a_mapping_cannot_read_is_named(tmp_path: Path) -> None:
    fine = {"problem": "p?", "solution": "s", "subject": "Algebra"}
    path = lines(tmp_path / "math.jsonl", fine, fine | {"solution": 5})
    (found,) = (p for p in parts(math=SourceOptions(path=str(path))) if p.name == "math")
    with pytest.raises(UserError, match=r"source math: its mapping fails at row 2 or before"):
        found.mapped()


@pytest.mark.parametrize("kind", ["bank", "local"])
@pytest.mark.parametrize(
    "options", [{"gpqa": SourceOptions(path="x")}, {"modules": ("mine",)}], ids=["path", "module"]
)
def test_options_of_the_hub_are_refused_elsewhere(kind: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=rf"is set, but sources\.kind is {kind}"):
        SourcesConfig(kind=kind, **options)  # type: ignore[arg-type]


def test_a_module_of_ones_own_may_be_skipped_and_a_stranger_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_skipped.py").write_text(OWN_MODULE.format(name="mine"))
    (tmp_path / "my_broken.py").write_text("SOURCE = (")
    monkeypatch.syspath_prepend(tmp_path)
    names = [part.name for part in parts(modules=("my_skipped",), skip=("mine",))]
    assert names == list(HUB_SOURCES)
    with pytest.raises(UserError, match=r"sources\.skip holds yours"):
        parts(modules=("my_skipped",), skip=("yours",))
    with pytest.raises(UserError, match=r"cannot import my_broken \(SyntaxError"):
        parts(modules=("my_broken",))


def test_every_benchmark_that_may_be_named_has_a_definition() -> None:
    named = set(get_type_hints(BenchmarkConfig)["name"].__args__)
    assert named == set(BENCHMARKS) == {*published.sources(0), benchmarks.HELDOUT}
    assert {"gpqa_diamond"} == benchmarks.UNPUBLISHED == {*UNPUBLISHED}
