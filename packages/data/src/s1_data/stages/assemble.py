"""Rows to s1K: embed, label with domains, draw, and put examples, facts and card together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core.artifacts import Artifact, Draft
from s1_core.errors import UserError
from s1_core.records import Attempt, Example, Question, Trace
from s1_data import classes
from s1_data.card import figures, text
from s1_data.card.facts import Facts
from s1_data.classes import DomainClass
from s1_data.config import BuildConfig
from s1_data.embedding import domains, measures
from s1_data.embedding.neighbours import NearDuplicates
from s1_data.filters import grades
from s1_data.funnel import Funnel, Row
from s1_data.selection import methods
from s1_data.selection.candidates import Candidate, kind
from s1_data.selection.methods import Selection
from s1_data.stages.questions import CONTAMINATION, SOURCES, Origin, is_secret
from s1_data.stages.rendered import write_texts

if TYPE_CHECKING:
    from s1_data.embedding.vectors import Vectors

_NOTE = (
    "The bank's teacher answers {} after a mere look, nearly always rightly, and works the rest "
    "out. A student that copies the look without the skill underthinks there; what an extend "
    "gains on these families is underthinking cured, by construction of the traces."
)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The rows that the filters left, and what led to them."""

    rows: Sequence[Row]
    num_tokens: Mapping[str, int]
    """question id to length of the thinking"""
    asked: Artifact
    funnel: Funnel
    models: Sequence[str]
    """whose attempts said what is easy"""


def write(draft: Draft, config: BuildConfig, pool: Pool) -> str:
    """Write examples, card and facts; say in a few words what they are.

    Raises UserError, naming the knob to turn, when too few rows are left.
    """
    _refuse_fewer(config, len(pool.rows), pool.funnel)
    labelled = _labelled(config, pool)
    _refuse_fewer(config, len(labelled.rows), pool.funnel)
    drawn = methods.select(
        _candidates(config, pool, labelled),
        config.selection,
        config.seed,
        NearDuplicates(vectors=labelled.vectors, cosine=config.diversity.near_duplicate),
    )
    _count(drawn, labelled.rows, pool.funnel)
    _refuse_fewer(config, len(drawn.chosen), pool.funnel)
    examples = [labelled.example(index, pool.num_tokens) for index in drawn.chosen]
    draft.write("examples", examples, Example)
    write_texts(draft, config.selection.render, examples)
    pool.funnel.write(draft)
    _write_facts(draft, config, [labelled.rows[index][0] for index in drawn.chosen])
    facts = _facts(config, pool, labelled, drawn, examples)
    draft.write_text("README.md", text.card(facts))
    figures.draw(draft.path / text.FIGURE, facts)
    return f"{len(examples)} examples ({pool.funnel})"


@dataclass(frozen=True, kw_only=True)
class _Labelled:
    """Rows with the vector and the domain of each."""

    rows: Sequence[Row]
    vectors: Vectors
    labels: Sequence[int]
    names: Mapping[int, str]
    """label to domain"""

    def example(self, index: int, num_tokens: Mapping[str, int]) -> Example:
        question, trace = self.rows[index]
        return Example.of(
            question,
            trace,
            domain=self.names[self.labels[index]],
            thinking_tokens=num_tokens[question.id],
        )


def _labelled(config: BuildConfig, pool: Pool) -> _Labelled:
    """Give the rows vectors and domains.

    All questions asked are embedded and clustered, whatever the filters left: so a question has
    one domain under every selection, and the vectors on disk serve them all.
    """
    given = [] if config.domains_rule == "kmeans" else classes.read(classes.file_of(config))
    rows, picked = pool.rows, list[int]()
    if config.domains_rule == "llm":
        rows, picked = _judged(config, pool, given)
    asked = pool.asked.read("questions", Question)
    space = domains.space(
        [question.question for question in asked],
        replace(config.diversity, domains=config.domains_rule),
        config.seed,
        classes=given,
        nameless=_secret(pool.asked, asked),
        cache=Path(config.out) / "cache" / "vectors",
    )
    place = {question.id: number for number, question in enumerate(asked)}
    places = [place[question.id] for question, _ in rows]
    labels, names = picked, {number: found.name for number, found in enumerate(given)}
    if space.domains is not None:
        labels, names = [space.domains.labels[at] for at in places], dict(space.domains.names)
    return _Labelled(rows=rows, vectors=space.vectors[places], labels=labels, names=names)


def _secret(asked: Artifact, questions: Sequence[Question]) -> set[int]:
    """Number the questions whose words must not stand in a public card."""
    told = json.loads((asked.path / SOURCES).read_text())["sources"]
    published = {source["name"]: source["is_published"] for source in told}
    source = {origin.question_id: origin.source for origin in asked.read("origins", Origin)}
    return {
        number
        for number, question in enumerate(questions)
        if is_secret(question, source[question.id], published)
    }


def _judged(
    config: BuildConfig, pool: Pool, given: Sequence[DomainClass]
) -> tuple[list[Row], list[int]]:
    """Have the judge pick the domains; rows for which it picks none leave."""
    from s1_data.endpoint import judge

    asked = [question for question, _ in pool.rows]
    picked = judge.classify(asked, given, config.judge, judge.calls(config.out))
    rules = ["no domain" if label is None else None for label in picked]
    rows = pool.funnel.apply("domains", pool.rows, rules)
    return rows, [label for label in picked if label is not None]


def _candidates(config: BuildConfig, pool: Pool, labelled: _Labelled) -> list[Candidate]:
    verdicts = _verdicts(config, labelled.rows)
    return [
        Candidate(
            question_id=question.id,
            domain=label,
            thinking_tokens=pool.num_tokens[question.id],
            source_type=question.source_type,
            is_correct=verdicts.get(question.id),
        )
        for (question, _), label in zip(labelled.rows, labelled.labels, strict=True)
    ]


def _verdicts(config: BuildConfig, rows: Sequence[Row]) -> dict[str, bool]:
    """Grade the traces whose correctness a method looks at."""
    if not config.selection.needs.verdicts:
        return {}
    wanted = [row for row in rows if kind(row[0].source_type) is not None]
    attempts = [_attempt(trace) for _, trace in wanted]
    found = grades.grade(attempts, [question for question, _ in wanted], config)
    return {
        grade.question_id: grade.verdict == "right" for grade in found if grade.verdict != "none"
    }


def _attempt(trace: Trace) -> Attempt:
    return Attempt(
        question_id=trace.question_id,
        model=trace.model,
        text=trace.attempt,
        num_tokens=0,
        finish_reason="stop",
    )


def _count(drawn: Selection, rows: Sequence[Row], funnel: Funnel) -> None:
    """Tell the funnel who was set aside as a near-duplicate and who was never drawn."""
    near, chosen = set(drawn.near_duplicates), set(drawn.chosen)
    rules = ["near a chosen row" if i in near else None for i in range(len(rows))]
    rest = funnel.apply("near-duplicates", rows, rules)
    rules = [None if i in chosen else "not drawn" for i in range(len(rows)) if i not in near]
    funnel.apply("select", rest, rules)


def _refuse_fewer(config: BuildConfig, num_found: int, funnel: Funnel) -> None:
    wanted = config.selection.num_rows if config.selection.needs.num_rows else 1
    if num_found < wanted:
        raise UserError(
            f"{num_found} rows are left, selection.num_rows wants {wanted} ({funnel});"
            f" turn {funnel.knob()}, or lower --selection.num_rows"
        )


def _facts(
    config: BuildConfig,
    pool: Pool,
    labelled: _Labelled,
    drawn: Selection,
    examples: Sequence[Example],
) -> Facts:
    origins = {origin.question_id: origin.source for origin in pool.asked.read("origins", Origin)}
    found: Sequence[measures.Measure] = ()
    if len(drawn.chosen) < len(labelled.rows):
        found = measures.compare(
            labelled.vectors,
            drawn.chosen,
            num_domains=len(labelled.names),
            seed=config.seed,
        )
    return Facts(
        config=config,
        funnel=pool.funnel,
        examples=examples,
        models=pool.models,
        teachers=sorted({trace.model for _, trace in labelled.rows}),
        source_of=origins,
        sources=json.loads((pool.asked.path / SOURCES).read_text()),
        contamination=json.loads((pool.asked.path / CONTAMINATION).read_text()),
        measures=found,
        notes=drawn.notes,
    )


def _write_facts(draft: Draft, config: BuildConfig, chosen: list[Question]) -> None:
    """Write what a report on a model trained here must repeat: planted slips, short traces."""
    facts: dict[str, Any] = {}
    if config.teacher.kind == "bank":
        from s1_data import bank

        short = ", ".join(f.name for f in bank.families() if f.needs_only_a_look)
        facts = {
            "slip_rate": bank.slip_rate(chosen, config.seed),
            "note": _NOTE.format(short),
        }
    draft.write_text("facts.json", json.dumps(facts, indent=1) + "\n")
