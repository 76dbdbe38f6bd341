"""The words and tables of the card, with the front matter that a dataset hub reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import Any

from s1_data.card.facts import Facts
from s1_data.config import BuildConfig
from s1_data.embedding.vectors import shape

FIGURE = "composition.png"
COLLECTED = {
    "local": "local files",
    "bank": "the generated bank",
    "hub": "the sources of s1 (arXiv 2501.19393, Table 7)",
}
STAGES = {
    "collect": "texts that can be questions",
    "decontaminate": "what no benchmark and no earlier source holds",
    "take": "the share that s1 takes of a source",
    "deduplicate": "the first of equal questions",
    "trace": "what the teacher answered",
    "quality": "whole rows without unwanted patterns",
    "difficulty": "what is not too easy",
    "domains": "what the judge gave a class",
    "near-duplicates": "what is unlike the rows drawn before",
    "select": "the rows drawn",
}
TEACHERS = {"bank": "the generated bank", "human": "human solutions"}
SELECTED = {
    "embedding": "Algorithm 1 of s1 over these domains: a domain uniformly, then a row of it with"
    " weight 2^-rank, rank 0 thinking longest.",
    "paper": "Algorithm 1 of s1 as printed (App. C.4), with its preselection.",
    "released": "The selection of s1 as its released code ran it: uniform over domains for the"
    " first 70 %, then by the domains of AIME and GPQA.",
    "random": "Uniformly at random among the rows of good quality (ablation 1K-random).",
    "diverse": "A domain uniformly, then a row of it uniformly (ablation 1K-diverse).",
    "longest": "The rows that think longest (ablation 1K-longest).",
    "full": "Every row that has a trace (ablation 59K-full).",
}


def card(facts: Facts) -> str:
    """Write the card."""
    config, lengths, unit = facts.config, facts.lengths, facts.unit
    teachers = " and ".join(TEACHERS.get(name, name) for name in facts.teachers)
    return f"""{_front_matter(len(facts.examples))}
# s1K: {len(facts.examples):,} questions with reasoning traces

Questions from {COLLECTED[config.sources.kind]}, traces from {teachers}, seed \
{config.seed}. {_difficulty(facts)}
Thinking: {sum(lengths):,} {unit} in all, mean {fmean(lengths):,.0f}, median \
{median(lengths):,.0f}, longest {max(lengths):,}.

![Funnel, lengths, sources and domains]({FIGURE})

## Funnel
{_table(("stage", "keeps", "before", "after", "left, by rule"), _funnel_rows(facts))}

Every row that left is in rejections.parquet with its rule.

## Sources
{_sources(facts)}

## Domains
{_domains(config)}

{_table(("domain", "questions", f"{unit} of thinking"), _domain_rows(facts))}

## Selection
{" ".join(filter(None, [SELECTED[config.selection.by], _near(config), *facts.notes]))}

{_diversity(facts)}

## Decontamination
{_contamination(facts)}
"""


def _front_matter(num_rows: int) -> str:
    size = next(
        (name for limit, name in ((1e3, "n<1K"), (1e4, "1K<n<10K")) if num_rows < limit),
        "10K<n<100K",
    )
    return f"""---
license: other
license_name: that-of-each-source
task_categories: [text-generation]
tags: [reasoning, test-time-scaling]
size_categories: [{size}]
configs:
- config_name: default
  data_files: examples.parquet
---"""


def _difficulty(facts: Facts) -> str:
    """Say by what questions were found too easy, and call a stand-in a stand-in."""
    config = facts.config
    share, rule = config.difficulty.drop_fraction, config.difficulty_rule
    judge = config.judge.model if config.difficulty.grader == "judge" else "math-verify"
    return {
        "attempts": f"Difficulty: questions that {' or '.join(facts.models)} answered right were"
        f" dropped, as graded by {judge}.",
        "solution_length": f"Difficulty: solution length, a stand-in; no model was asked. The"
        f" {share:.0%} of the questions with the shortest human solutions were dropped.",
        "metadata": f"Difficulty: `{config.difficulty.field}` of the metadata, a stand-in; no model"
        f" was asked. The {share:.0%} of the questions with the lowest were dropped.",
        "none": "Difficulty: not filtered.",
    }[rule]


def _near(config: BuildConfig) -> str:
    limit = config.diversity.near_duplicate
    if config.selection.by != "embedding":
        return ""
    if limit is None:
        return "Near-duplicates are kept."
    return f"Rows with cosine {limit} or more to a chosen row are skipped."


def _domains(config: BuildConfig) -> str:
    vectors = (
        "hashed TF-IDF + SVD vectors of the questions"
        if config.diversity.embedder == "hashed"
        else f"vectors of the questions by {shape(config.diversity)['embedder']}"
    )
    told = {
        "kmeans": f"Spherical k-means ({config.diversity.num_domains} clusters asked for) over"
        f" {vectors}; a domain is named by its number and the words that set it apart.",
        "msc-nearest": f"The nearest class of a given list, by {vectors}.",
        "llm": f"The class of a given list that {config.judge.model} picked.",
    }
    return told[config.domains_rule]


def _funnel_rows(facts: Facts) -> Iterable[tuple[Any, ...]]:
    for step in facts.funnel.steps:
        rules = ", ".join(f"{name}: {count:,}" for name, count in step.rules.items())
        about = STAGES[step.stage]
        yield step.stage, about, f"{step.before:,}", f"{step.after:,}", rules or "-"


def _sources(facts: Facts) -> str:
    """The shape of the paper's Table 7, with the licence of each source."""
    chosen = {name: (rows, thinking) for name, rows, thinking in facts.tally(facts.origins())}
    rows = []
    for source in facts.sources["sources"]:
        num, thinking = chosen.get(source["name"], (0, 0))
        mean = f"{thinking / num:,.0f}" if num else "-"
        counts = (f"{source[key]:,}" for key in ("collected", "taken"))
        rows.append((source["name"], *counts, f"{num:,}", mean, source["license"]))
    thinking_header = f"mean {facts.unit} of thinking"
    header = ("source", "collected", "taken", "selected", thinking_header, "licence")
    lines = [_table(header, rows)]
    if facts.sources["skipped"]:
        lines.append(f"Left out on request: {', '.join(facts.sources['skipped'])}.")
    types = [
        (name, f"{num:,}", f"{thinking:,}")
        for name, num, thinking in facts.tally([e.source_type for e in facts.examples])
    ]
    if len(types) > len(chosen):
        table = _table(("source type", "questions", f"{facts.unit} of thinking"), types)
        lines.append(f"<details><summary>By source type</summary>\n\n{table}\n\n</details>")
    return "\n\n".join(lines)


def _domain_rows(facts: Facts) -> Iterable[tuple[Any, ...]]:
    """The shape of the paper's Table 6."""
    found = facts.tally(facts.domains())
    for name, rows, thinking in found:
        yield name, f"{rows:,}", f"{thinking:,}"
    yield f"all {len(found)}", f"{len(facts.examples):,}", f"{sum(facts.lengths):,}"


def _diversity(facts: Facts) -> str:
    if not facts.measures:
        return "The selection is the whole pool: there is no diversity to compare."
    rows = [
        (
            f"{measure.name} ({measure.meaning})",
            f"{measure.value:.3f}",
            f"{measure.random_mean:.3f} [{measure.random_low:.3f}, {measure.random_high:.3f}]",
        )
        for measure in facts.measures
    ]
    table = _table(("measure, larger is more diverse", "selection", "random, 5 seeds"), rows)
    return f"Against random selections of the same size from the same pool:\n\n{table}"


def _contamination(facts: Facts) -> str:
    rule = facts.config.decontamination
    words = rule.shingle_words
    how = "equal normalised text" if rule.rule == "exact" else f"one shared run of {words} words"
    found = [line for line in facts.contamination if line["contaminated"]]
    clean = len(facts.contamination) - len(found)
    then = ", benchmarks first, then the sources before its own" if rule.across_sources else ""
    lines = [f"A question is contaminated by {how}{then}."]
    if found:
        rows = [
            (
                line["source"], line["against"], f"{line['total']:,}", f"{line['contaminated']:,}",
                f"{line['rate_percent']:.2f}", f"{line['remaining']:,}",
            )
            for line in found
        ]  # fmt: skip
        lines.append(
            _table(("source", "against", "total", "contaminated", "rate, %", "remaining"), rows)
        )
    lines.append(f"Pairs of a source and a benchmark that share nothing: {clean}.")
    lines += _examples(found)
    return "\n\n".join(lines)


def _examples(found: Sequence[Any]) -> list[str]:
    rows = [
        (line["source"], line["against"], pair["question_id"], pair["with"], f"`{pair['shingle']}`")
        for line in found
        for pair in line["examples"][:1]
    ]
    header = ("source", "against", "question", "shares with", "these words")
    table = _table(header, rows)
    return [f"<details><summary>Examples</summary>\n\n{table}\n\n</details>"] if rows else []


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    cells = [header, ["---"] * len(header), *rows]
    return "\n".join(
        "| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in cells
    )
