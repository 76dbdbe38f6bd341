"""report.html: one file that needs no network, from report.json, its figures and a few answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from s1_core.records import Question
from s1_serve.evaluate.samples import Sample
from s1_serve.evaluate.settings import EXTENDS

STYLE = """
body{font:16px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff;max-width:58rem;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin-bottom:.2rem}h2{font-size:1.2rem;margin-top:2.2rem}
.about{color:#555}.figure svg{width:100%;height:auto}
table{border-collapse:collapse;width:100%;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .5rem;border-bottom:1px solid #e2e2e2;text-align:right}
td{white-space:nowrap}
th:first-child,td:first-child{text-align:left}.wide{overflow-x:auto}
.better{color:#2d7d46}.worse{color:#b3261e}
.numbers{display:flex;gap:2rem;flex-wrap:wrap;margin:1rem 0}
.numbers b{display:block;font-size:1.5rem}
pre{white-space:pre-wrap;background:#f6f6f4;padding:.7rem;font-size:.8rem;overflow-wrap:anywhere}
mark{background:#ffe2a8}
"""

Report = Mapping[str, Any]


def page(
    report: Report,
    figures: Mapping[str, str],
    samples: Sequence[Sample],
    questions: Sequence[Question],
) -> str:
    """Write the page; `figures` maps a title to SVG text."""
    parts = [
        f"<h1>Thinking and accuracy on {escape(report['benchmark']['name'])}</h1>",
        _about(report),
        _numbers(report),
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in report["statements"]) + "</ul>",
        *(
            f"<h2>{escape(title)}</h2><div class='figure'>{figure}</div>"
            for title, figure in figures.items()
        ),
        "<h2>Extends against none</h2>" + _compared(report),
        "<h2>By source</h2>" + _sources(report),
        "<h2>All runs</h2>" + _runs(report),
        "<h2>Answers that an extend changed</h2>" + _examples(report, samples, questions),
    ]
    head = "<meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
    title = f"<title>s1: {escape(report['benchmark']['name'])}</title>"
    body = "\n".join(parts)
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}{title}<style>{STYLE}</style></head>"
        f"<body>\n{body}\n</body></html>\n"
    )


def _about(report: Report) -> str:
    engine, model = report["engine"], report["model"]
    text = (
        f"{report['benchmark']['num_questions']} questions, greedy unless sampled. Model "
        f"{model['manifest_sha256'][:12]} (format {model['format']}); {engine['name']} "
        f"{engine['version']}, {engine['dtype']}, {engine['device']}. Intervals are 95 %, from a "
        "bootstrap over questions."
    )
    return f"<p class='about'>{escape(text)}</p>"


def _numbers(report: Report) -> str:
    found = report["metrics"]
    shown = {
        "Performance: best accuracy": _number(found["performance"], " %"),
        "Scaling: points per doubling of thinking": _number(found["scaling"], "", "+.1f"),
        "Control: runs within their maximum": _number(found["control"], " %", ".0f"),
    }
    cells = (f"<div><b>{value}</b>{escape(name)}</div>" for name, value in shown.items())
    return f"<div class='numbers'>{''.join(cells)}</div>"


def _number(value: float | None, unit: str, form: str = ".1f") -> str:
    return "not defined" if value is None else f"{value:{form}}{unit}"


def _compared(report: Report) -> str:
    head = (
        "extend string", "extends", "accuracy", "change", "95 % interval", "verdict",
        "wrong > right", "right > wrong", "test string less this", "extends used",
        "thinking tokens",
    )  # fmt: skip
    return _table(head, [_compared_cells(row) for row in report["extends"]])


def _compared_cells(row: Mapping[str, Any]) -> list[str]:
    change = row["difference"]
    return [
        escape(f'"{row["extend_with"]}"'),
        str(row["extends"]),
        f"{row['accuracy']:.1f}",
        f"{change['mean']:+.1f}",
        f"[{change['lo']:+.1f}, {change['hi']:+.1f}]",
        f"<span class='{row['verdict']}'>{row['verdict']}</span>",
        str(row["wrong_to_right"]),
        str(row["right_to_wrong"]),
        _against(row["against_test_string"]),
        f"{row['mean_used_extends']:.2f}",
        f"{row['mean_thinking_tokens']:.1f}",
    ]


def _against(change: Mapping[str, float] | None) -> str:
    if change is None:
        return ""
    return f"{change['mean']:+.1f} [{change['lo']:+.1f}, {change['hi']:+.1f}]"


def _sources(report: Report) -> str:
    """Show where the gain is, and where there is none."""
    extends = report["sources"][0]["extends"]
    head = ("source", "questions", "maximum 0", "no extend", f"extends {extends}", "change")
    rows = [
        [
            escape(row["source"]),
            str(row["num_questions"]),
            "" if row["at_once"] is None else f"{row['at_once']:.1f}",
            f"{row['free']:.1f}",
            f"{row['extended']:.1f}",
            f"{row['extended'] - row['free']:+.1f}",
        ]
        for row in report["sources"]
    ]
    return _table(head, rows)


def _runs(report: Report) -> str:
    head = (
        "run", "accuracy", "95 % interval", "thinking tokens", "all tokens", "in limit",
        "no answer", "only in thinking", "answer cut", "natural end / at maximum / neither",
    )  # fmt: skip
    return _table(head, [_run_cells(row) for row in report["runs"]])


def _run_cells(row: Mapping[str, Any]) -> list[str]:
    found, ends = row["extraction"], row["ends"]
    lo, hi = row["interval"]
    return [
        escape(run_name(row)),
        f"{row['accuracy']:.1f}",
        f"[{lo:.1f}, {hi:.1f}]",
        f"{row['mean_thinking_tokens']:.1f}",
        f"{row['mean_total_tokens']:.1f}",
        "yes" if row["control_ok"] else "NO",
        *(f"{100 * found[kind]:.1f} %" for kind in ("none", "thinking_only", "cut")),
        " / ".join(str(ends[end]) for end in ("natural", "budget", "length")),
    ]


def run_name(row: Mapping[str, Any]) -> str:
    """Name a run in a few words."""
    if row["method"] == "budget":
        return f"maximum {row['max']}"
    if row["method"] == "extends":
        return f'"{row["extend_with"]}" x {row["extends"]}' if row["extends"] else "no extend"
    return "direct (base)" if row["method"] == "direct" else str(row["method"])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return f"<div class='wide'><table><tr>{top}</tr>{body}</table></div>"


def _examples(report: Report, samples: Sequence[Sample], questions: Sequence[Question]) -> str:
    """Show the first answer that one extend made right, and the first that it made wrong."""
    if not report["extends"]:
        return "<p>No run with extends.</p>"
    wait = report["extends"][0]["extend_with"]
    counts = sorted(row["extends"] for row in report["extends"] if row["extend_with"] == wait)
    runs = {
        extends: {
            s.question_id: s
            for s in samples
            if (s.method, s.extends, s.extend_with) == (EXTENDS, extends, wait)
        }
        for extends in [0, *counts[:1]]
    }
    shown = []
    for gained in (True, False):
        for question in questions:
            pair = [run[question.id] for run in runs.values()]
            if [s.is_correct for s in pair] == [not gained, gained]:
                shown.append(_example(question, pair[-1], wait))
                break
    return "".join(shown) or "<p>None: no answer changed.</p>"


def _example(question: Question, sample: Sample, wait: str) -> str:
    thinking = escape(sample.thinking)
    if wait:
        thinking = thinking.replace(escape(wait), f"<mark>{escape(wait)}</mark>")
    turned = "wrong to right" if sample.is_correct else "right to wrong"
    return (
        f"<p>From {turned} (gold answer {escape(question.answer or '')}): "
        f"{escape(question.question)}</p><pre>{thinking}\n\n{escape(sample.answer)}</pre>"
    )
