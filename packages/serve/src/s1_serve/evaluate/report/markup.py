"""How the page is marked up: its style, tables, numbers. Whatever a user wrote is escaped here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

STYLE = """
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:#1c1c1c;background:#fff;max-width:62rem;
margin:2rem auto;padding:0 1rem;overflow-wrap:anywhere}
h1{font-size:1.6rem;line-height:1.25;margin-bottom:.2rem}
h2{font-size:1.2rem;margin-top:2.2rem;margin-bottom:.4rem}h3{font-size:1rem;margin-bottom:.2rem}
.about,.under{color:#555}.under{font-size:.9rem;margin-top:.3rem}
.figure{max-width:44rem}.figure svg{width:100%;height:auto;display:block}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums}
th,td{padding:.25rem .45rem;border-bottom:1px solid #e2e2e2;text-align:right;vertical-align:bottom;
overflow-wrap:normal}
td{white-space:nowrap}th{font-weight:600;min-width:3.4rem}
.name{text-align:left;padding-left:0}
.wide{overflow-x:auto}
.better{color:#2d7d46}.worse{color:#b3261e}
.know{background:#fff7e0;border-left:4px solid #c9921b;padding:.4rem 1rem;margin:1rem 0}
.know ul,.said{padding-left:1.2rem}.know ul{margin:.2rem 0}
pre{white-space:pre-wrap;background:#f6f6f4;padding:.7rem;font-size:.8rem}
mark{background:#ffe2a8}
@media(max-width:30rem){body{margin:1rem auto;padding:0 .8rem}h1{font-size:1.35rem}}
"""
NOTHING = "–"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], num_names: int = 1) -> str:
    """Write a table of text that scrolls within the page; its first columns are names."""
    top = _row("th", head, num_names)
    body = "".join(_row("td", row, num_names) for row in rows)
    return f"<div class='wide'><table>{top}{body}</table></div>"


def listed(lines: Sequence[str], kind: str = "said") -> str:
    """Write sentences as a list."""
    return f"<ul class='{kind}'>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def number(value: float | None, form: str = ".1f") -> str:
    """Write a number; a dash where there is none."""
    return NOTHING if value is None else f"{value:{form}}"


def percent(share: float | None) -> str:
    """Write a share as a percentage."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def interval(bounds: Sequence[float] | None, form: str = ".1f") -> str:
    """Write an interval of a mean."""
    return NOTHING if bounds is None else f"[{bounds[0]:{form}}, {bounds[1]:{form}}]"


def scored(cell: Mapping[str, Any] | None) -> str:
    """Write an accuracy and its interval."""
    if cell is None or cell["accuracy"] is None:
        return NOTHING
    return f"{cell['accuracy']:.1f} {interval(cell['interval'])}"


def change(gap: Mapping[str, float] | None) -> str:
    """Write a difference and its interval."""
    if gap is None:
        return NOTHING
    return f"{gap['mean']:+.1f} [{gap['lo']:+.1f}, {gap['hi']:+.1f}]"


def kept(is_kept: bool | None) -> str:
    """Write whether a run kept its limit."""
    return NOTHING if is_kept is None else "yes" if is_kept else "NO"


def string(extend_with: str | None) -> str:
    """Name an extend string in a cell."""
    if extend_with is None:
        return "no extend"
    return f'"{extend_with}"' if extend_with else '"" (no text)'


def _row(tag: str, cells: Sequence[str], num_names: int) -> str:
    """Colour a verdict, which also stands in words."""
    kinds = [
        "name" if at < num_names else text if text in ("better", "worse") else ""
        for at, text in enumerate(cells)
    ]
    inner = (
        f"<{tag} class='{kind}'>{escape(text)}</{tag}>"
        if kind
        else f"<{tag}>{escape(text)}</{tag}>"
        for kind, text in zip(kinds, cells, strict=True)
    )
    return f"<tr>{''.join(inner)}</tr>"
