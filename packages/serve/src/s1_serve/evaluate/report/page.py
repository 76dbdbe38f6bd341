"""report.html: one file that needs no network, from report.json, its figures and a few answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from s1_core.records import Question
from s1_serve.evaluate.config import EXTENDS
from s1_serve.evaluate.report import grids, markup
from s1_serve.evaluate.report.comparisons import LEVEL
from s1_serve.evaluate.report.figures.panels import TITLES
from s1_serve.evaluate.report.remarks import remarks
from s1_serve.evaluate.samples import Measured, Sample

LONGEST_SHOWN = 4000
"""characters of thinking; what lies in the middle of a longer one is left out"""

Report = Mapping[str, Any]


def page(
    report: Report,
    figures: Mapping[str, bytes],
    measured: Sequence[Measured],
    questions: Mapping[str, Sequence[Question]],
) -> str:
    """Write the page; `figures` are files by name, `questions` those of each benchmark."""
    names = escape(", ".join(dict.fromkeys(row["benchmark"] for row in report["runs"])))
    parts = [
        f"<h1>Thinking and accuracy on {names}</h1>",
        _about(report),
        _know(report),
        "<h2>In words</h2>" + _words(report),
        *(_figure(name, figures) for name in TITLES),
        *(_grid(grid) for grid in grids.grids(report)),
        *_examples(report, measured, questions),
    ]
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width,initial-scale=1'>"
    )
    body = "\n".join(parts)
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}<title>s1: {names}</title>"
        f"<style>{markup.STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _about(report: Report) -> str:
    asked = ", ".join(f"{one['num_questions']} of {one['name']}" for one in report["benchmarks"])
    seeds = ", ".join(f"{name} {value}" for name, value in (report.get("seeds") or {}).items())
    text = (
        f"Questions: {asked}; greedy unless sampled. Model {_model(report['model'])}; "
        f"{_engine(report['engine'])}. Intervals are 95 %, from a bootstrap over questions"
        f"{f'; seeds: {seeds}' if seeds else ''}. Better and worse are said where the interval of "
        f"the difference leaves out 0 and the flips pass a sign test (p < {LEVEL})."
    )
    return f"<p class='about'>{escape(text)}</p>"


def _model(card: Report) -> str:
    """Name a model by its manifest, and by the server that gave it."""
    sha = (card.get("manifest_sha256") or "")[:12]
    names = [sha, card.get("name"), card.get("endpoint") and f"at {card['endpoint']}"]
    return f"{' '.join(str(name) for name in names if name)} (format {card['format']})"


def _engine(engine: Report | None) -> str:
    """Name an engine; a server may keep its own to itself."""
    if not engine:
        return "its engine is not known"
    named = " ".join(str(engine[name]) for name in ("name", "version") if engine.get(name))
    return ", ".join([named, *(str(engine[n]) for n in ("dtype", "device") if engine.get(n))])


def _know(report: Report) -> str:
    lines = remarks(report)
    if not lines:
        return ""
    return f"<div class='know'><b>To know before reading</b>{markup.listed(lines)}</div>"


def _words(report: Report) -> str:
    """Give each of several benchmarks its own list, without its name in every sentence."""
    left = list(report["statements"])
    names = dict.fromkeys(f"{row['benchmark']}: " for row in report["runs"])
    parts = []
    for name in names if len(names) > 1 else ():
        own = [line for line in left if line.startswith(name)]
        left = [line for line in left if line not in own]
        told = markup.listed([line.removeprefix(name) for line in own])
        parts.append(f"<h3>{escape(name.removesuffix(': '))}</h3>{told}")
    return "".join(parts) + markup.listed(left)


def _figure(name: str, figures: Mapping[str, bytes]) -> str:
    if f"{name}.svg" not in figures:
        return ""
    title, svg = escape(TITLES[name], quote=True), figures[f"{name}.svg"].decode()
    return f"<h2>{title}</h2><div class='figure' role='img' aria-label='{title}'>{svg}</div>"


def _grid(grid: grids.Grid) -> str:
    under = f"<p class='under'>{escape(grid.under)}</p>" if grid.under else ""
    told = markup.table(grid.head, grid.rows, grid.num_names)
    return f"<h2>{escape(grid.title)}</h2>{under}{told}"


def _examples(
    report: Report, measured: Sequence[Measured], questions: Mapping[str, Sequence[Question]]
) -> Iterable[str]:
    """Show on each benchmark the first answer that an extend made right, and wrong.

    Nothing of a benchmark whose questions must not be published: a trace repeats its question.
    """
    wait = report["extend_with"]
    if not report["extends"]:
        return
    yield "<h2>Answers that an extend changed</h2>"
    hidden = {one["name"] for one in report["benchmarks"] if not one.get("is_published", True)}
    shown = [
        text
        for name, asked in questions.items()
        for text in ([_hidden(name)] if name in hidden else _pairs(name, asked, measured, wait))
    ]
    yield "".join(shown) or "<p>None: no answer changed.</p>"


def _hidden(benchmark: str) -> str:
    name = escape(benchmark)
    return f"<p>{name}: not shown: this benchmark's questions are not republished.</p>"


def _pairs(
    benchmark: str, questions: Sequence[Question], measured: Sequence[Measured], wait: str
) -> Iterable[str]:
    runs = {
        one.setting.extends: {sample.question_id: sample for sample in one.samples}
        for one in measured
        if one.setting.method == EXTENDS and one.benchmark == benchmark and one.is_enforced
        if one.setting.extend_with == wait or not one.setting.extends
    }
    if len(runs) < 2 or 0 not in runs:
        return
    none, fewest = runs[0], runs[min(runs.keys() - {0})]
    for gained in (True, False):
        for question in questions:
            before, after = none[question.id], fewest[question.id]
            if (before.is_correct, after.is_correct) == (not gained, gained):
                yield _example(question, after, wait)
                break


def _example(question: Question, sample: Sample, wait: str) -> str:
    thinking = escape(_shortened(sample.thinking))
    if wait:
        thinking = thinking.replace(escape(wait), f"<mark>{escape(wait)}</mark>")
    turned = "wrong to right" if sample.is_correct else "right to wrong"
    return (
        f"<p>{escape(sample.benchmark)}: from {turned} (gold answer "
        f"{escape(question.answer or '')}): {escape(question.question)}</p>"
        f"<pre>{thinking}\n\n{escape(_shortened(sample.answer))}</pre>"
    )


def _shortened(text: str) -> str:
    left_out = len(text) - LONGEST_SHOWN
    if left_out <= 0:
        return text
    half = LONGEST_SHOWN // 2
    return f"{text[:half]}\n[... {left_out} characters ...]\n{text[-half:]}"
