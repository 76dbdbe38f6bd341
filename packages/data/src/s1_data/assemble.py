"""Rows to examples: embed, label, draw, and put the fields of s1K together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from s1_core.errors import UserError
from s1_core.records import Example, Question, Trace
from s1_data import diversity, domains, selection
from s1_data.config import BuildConfig
from s1_data.funnel import Funnel, Row
from s1_data.selection import Candidate, Selection


def examples(
    config: BuildConfig, rows: Sequence[Row], num_tokens: Mapping[str, int], funnel: Funnel
) -> list[Example]:
    """Return exactly `selection.num_rows` examples in the order drawn.

    `num_tokens` maps a question id to the length of its thinking. Raises UserError, naming the
    knob to turn, when too few rows are left.
    """
    _refuse_fewer(config, len(rows), funnel)
    texts = [question.question for question, _ in rows]
    vectors = diversity.embed(texts, config.diversity, config.seed)
    labels = domains.cluster(vectors, config.diversity.num_domains, config.seed)
    pool = [
        Candidate(question_id=question.id, domain=label, thinking_tokens=num_tokens[question.id])
        for (question, _), label in zip(rows, labels, strict=True)
    ]
    drawn = selection.select(
        pool,
        num_rows=config.selection.num_rows,
        seed=config.seed,
        is_near=selection.near(vectors, config.diversity.near_duplicate),
    )
    _count(drawn, rows, funnel)
    _refuse_fewer(config, len(drawn.chosen), funnel)
    names = domains.names(texts, labels)
    return [_example(*rows[i], names[i], pool[i].thinking_tokens) for i in drawn.chosen]


def _count(drawn: Selection, rows: Sequence[Row], funnel: Funnel) -> None:
    """Tell the funnel who was set aside as a near-duplicate and who was never drawn."""
    near, chosen = set(drawn.near_duplicates), set(drawn.chosen)
    rules = ["near a chosen row" if i in near else None for i in range(len(rows))]
    rest = funnel.apply("near-duplicates", rows, rules)
    rules = [None if i in chosen else "not drawn" for i in range(len(rows)) if i not in near]
    funnel.apply("select", rest, rules)


def _refuse_fewer(config: BuildConfig, num_found: int, funnel: Funnel) -> None:
    wanted = config.selection.num_rows
    if num_found < wanted:
        raise UserError(
            f"{num_found} rows are left, selection.num_rows wants {wanted} ({funnel});"
            f" turn {funnel.knob()}, or lower --selection.num_rows"
        )


def _example(question: Question, trace: Trace, domain: str, num_tokens: int) -> Example:
    return Example(
        question_id=question.id,
        question=question.question,
        solution=question.solution,
        cot_type=question.cot_type,
        source_type=question.source_type,
        metadata=question.metadata,
        cot=None,
        thinking_trajectories=(trace.thinking,),
        attempt=trace.attempt,
        answer=question.answer,
        domain=domain,
        thinking_tokens=num_tokens,
    )
