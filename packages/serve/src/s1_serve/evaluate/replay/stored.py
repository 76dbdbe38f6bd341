"""Stored samples, from a report of ours or from a JSONL, as the answers to each question.

Refuses files of another form, a question or a sample told twice, and runs that hold no samples to
choose among.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s1_core import answers, artifacts, records
from s1_core.errors import UserError
from s1_serve.evaluate.samples import Sample

_WANTED = "a report folder, its samples.parquet or a JSONL (problem_num, gold_answer, all_answers)"


@dataclass(frozen=True)
class Answered:
    """All stored samples of one question, in their order."""

    question_id: str
    answers: Sequence[str | None]
    right: Sequence[bool]
    lengths: Sequence[int]
    logprobs: Sequence[float | None]
    """mean logprob of a sample's tokens; None where it was not stored"""


@dataclass(frozen=True)
class Stored:
    """A sampled run on one benchmark."""

    benchmark: str
    run: str
    questions: Sequence[Answered]

    @property
    def num_samples(self) -> int:
        """Of the question with the fewest."""
        return min(len(question.answers) for question in self.questions)


def source(path: Path) -> Path:
    """Find the file that holds the samples meant by `--samples`, a checked one in a report."""
    if path.is_dir():
        artifacts.load(path, kind="report")
        path = path / "samples.parquet"
    if not path.is_file():
        raise UserError(f"no samples at {path}; give {_WANTED}")
    return path


def read(file: Path, run: str | None, workers: int) -> list[Stored]:
    """Read every benchmark of a sampled run; `run` names it where there are several."""
    if file.suffix == ".parquet":
        return _of_report(read_samples(file), file, run)
    if run is not None:
        raise UserError(f"{file} holds one run without a name: leave out --run {run}")
    return [Stored(file.stem, "", _of_jsonl(file, workers))]


def read_samples(file: Path) -> list[Sample]:
    """Read the rows of a samples.parquet; any other file is a UserError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return records.from_table(pq.read_table(file, partitioning=None), Sample)
    except (pa.ArrowInvalid, UserError) as error:
        raise UserError(f"{file} holds no samples of an evaluation: {error}") from error


def _of_report(samples: Sequence[Sample], file: Path, run: str | None) -> list[Stored]:
    sampled = list(dict.fromkeys(sample.run for sample in samples if sample.sample > 0))
    if not sampled:
        raise UserError(f"{file} holds one sample a question: evaluate with --methods majority")
    if run is None and len(sampled) > 1:
        raise UserError(f"{file} holds {len(sampled)} sampled runs: give --run {_one_of(sampled)}")
    run = run or sampled[0]
    if run not in sampled:
        raise UserError(f"no sampled run {run!r} in {file}: give --run {_one_of(sampled)}")
    taken = [sample for sample in samples if sample.run == run]
    return [
        Stored(name, run, grouped([sample for sample in taken if sample.benchmark == name], file))
        for name in dict.fromkeys(sample.benchmark for sample in taken)
    ]


def _one_of(runs: Sequence[str]) -> str:
    return " or ".join(repr(run) for run in runs)


def grouped(samples: Sequence[Sample], file: Path) -> list[Answered]:
    """Part samples by question; `file` is where they came from, for a message."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.question_id, []).append(sample)
    for name, group in groups.items():
        if len({sample.sample for sample in group}) < len(group):
            raise UserError(f"{file} holds a sample of question {name} twice: evaluate again")
    ordered = {name: sorted(group, key=lambda s: s.sample) for name, group in groups.items()}
    return [
        Answered(
            name,
            [sample.extracted for sample in group],
            [sample.is_correct for sample in group],
            [sample.total_tokens for sample in group],
            [sample.mean_logprob for sample in group],
        )
        for name, group in ordered.items()
    ]


def _of_jsonl(file: Path, workers: int) -> list[Answered]:
    rows = _rows(file)
    pairs = sorted(
        {(each.text, gold) for _, gold, given in rows for each in given if each.text is not None}
    )
    verdicts = dict(zip(pairs, answers.grade(pairs, workers=workers), strict=True))
    return [
        Answered(
            name,
            [None if each.text is None else answers.extract(each.text) for each in given],
            [each.text is not None and verdicts[each.text, gold] for each in given],
            [each.tokens for each in given],
            [each.logprob for each in given],
        )
        for name, gold, given in rows
    ]


@dataclass(frozen=True)
class _Given:
    text: str | None
    tokens: int
    logprob: float | None


def _rows(file: Path) -> list[tuple[str, str, list[_Given]]]:
    """Read (problem, gold answer, samples) of every line."""
    rows, seen = [], set()
    for number, line in enumerate(_lines(file), 1):
        row = _parsed(line, f"{file}, line {number}")
        if row[0] in seen:
            raise UserError(f"{file}, line {number}: problem_num {row[0]} is there twice: drop one")
        seen.add(row[0])
        rows.append(row)
    if not rows:
        raise UserError(f"{file} is empty; wanted a line for each problem")
    return rows


def _lines(file: Path) -> list[str]:
    try:
        return [line for line in file.read_text().splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not a text file; give {_WANTED}") from error


def _parsed(line: str, place: str) -> tuple[str, str, list[_Given]]:
    wanted = "wanted problem_num, gold_answer and all_answers = [[answer, tokens], ...]"
    try:
        row: dict[str, Any] = json.loads(line)
        given = [_given(*pair) for pair in row["all_answers"]]
        problem, gold = str(row["problem_num"]), str(row["gold_answer"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{place} is of another form ({error!r}): {wanted}") from error
    if not given or not all(type(each.tokens) is int and each.tokens >= 0 for each in given):
        raise UserError(f"{place} has no samples or a length that is no count of tokens: {wanted}")
    return problem, gold, given


def _given(text: Any, tokens: Any, logprob: float | None = None) -> _Given:
    """Take [answer, tokens], or with a third: the mean logprob of the tokens."""
    return _Given(
        None if text is None else str(text), tokens, None if logprob is None else float(logprob)
    )
