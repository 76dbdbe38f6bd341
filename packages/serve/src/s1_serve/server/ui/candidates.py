"""How a strategy's run looks on the page: its progress, its counts, its candidates side by side.

Pure: the `tts` objects of a stream in, HTML out, every text escaped.
"""

from __future__ import annotations

import html
from typing import Any

Json = dict[str, Any]
_LONG, _LINES = 80, 4
"""An answer with more characters or lines than these is folded"""
_MOST_VOTES, _LONGEST_VOTE = 5, 24


def progress(run: Json) -> str:
    """Say in one line how far a run has come."""
    done = run["progress"]
    line = f"{_states(done)}, {done['tokens']:,} tokens"
    best = run.get("best")
    return line if best is None else f"{line}; shown: candidate {best}"


def counts(run: Json, seconds: float, winner: str = "") -> str:
    """Tell what a run cost and why it answered so; `winner` says how its thinking ended."""
    tokens = run["tokens"]
    policy = run.get("policy_reason") or ""
    why = run["stopped"] + ("; less than was asked for" if run.get("degraded") else "")
    rows = {
        "Samples": _states(run),
        "Tokens": f"{tokens['total']:,} in all, {tokens['sequential']:,} one after another, "
        f"{tokens['aborted']:,} aborted, {tokens['verifier']:,} by verifiers",
        "Votes": _votes(run),
        "Winner": f"{run['selected']}: {winner}" if winner else "",
        "Stopped": why,
        "Policy": "" if policy in run["stopped"] else policy,
        "Time": f"{seconds:.1f} s, {tokens['total'] / max(seconds, 1e-9):.0f} tokens/s",
    }
    lines = (f"<dt>{name}</dt><dd>{html.escape(said)}</dd>" for name, said in rows.items() if said)
    return f"<dl>{''.join(lines)}</dl>"


def cards(run: Json | None) -> str:
    """Put the candidates side by side, the winner first."""
    found = (run or {}).get("candidates")
    if run is None or not found:
        return ""
    ordered = sorted(found, key=lambda card: bool(card["id"] != run["selected"]))
    items = "".join(_card(card, is_winner=card["id"] == run["selected"]) for card in ordered)
    title = f"<h2>Candidates ({len(found)})</h2>"
    return f'{title}<ul class="s1-cards" tabindex="0" aria-label="Candidates">{items}</ul>'


def _card(card: Json, *, is_winner: bool) -> str:
    state = str(card.get("state") or "")
    mark = "<strong>winner</strong>" if is_winner else f"<span>{html.escape(state)}</span>"
    tokens, thinking = (card.get(name) or 0 for name in ("tokens", "thinking_tokens"))
    figures = [f"{tokens:,} tokens", f"{thinking:,} thinking"]
    if card.get("score") is not None:
        figures.append(f"score {card['score']:.3g}")
    kinds = f"s1-card s1-{html.escape(state)}" + (" s1-winner" if is_winner else "")
    head = f"<header><b>{html.escape(str(card['id']))}</b>{mark}</header>"
    said = card.get("answer") or card.get("failure") or ""
    return (
        f'<li class="{kinds}">{head}{_folded(said, card.get("vote") or "")}'
        f"<footer>{''.join(f'<span>{figure}</span>' for figure in figures)}</footer></li>"
    )


def _folded(answer: str, vote: str) -> str:
    """Show an answer; a long one by what it votes for, or its beginning, until it is opened."""
    answer = answer.strip()
    if not answer:
        return '<div class="s1-none">no answer</div>'
    head = "\n".join(answer[:_LONG].splitlines()[:_LINES])
    if head == answer:
        return f'<div class="s1-said">{html.escape(answer)}</div>'
    head = _short(vote) if vote else f"{head} …"
    return (
        f'<details class="s1-said"><summary><span>{html.escape(head)}</span></summary>'
        f"{html.escape(answer)}</details>"
    )


def _states(counted: Json) -> str:
    states = ["started", "finished", "aborted", *(["failed"] if counted.get("failed") else [])]
    return ", ".join(f"{counted[state]} {state}" for state in states)


def _votes(run: Json) -> str:
    votes = list((run.get("votes") or {}).items())
    if not votes:
        return ""
    said = [f"{_short(answer)} × {weight:.3g}" for answer, weight in votes[:_MOST_VOTES]]
    if len(votes) > _MOST_VOTES:
        said.append(f"{len(votes) - _MOST_VOTES} more")
    margin = run.get("margin")
    return ", ".join(said) + ("" if margin is None else f"; leads by {margin:.0%}")


def _short(answer: str) -> str:
    line = " ".join(answer.split()) or "(empty)"
    return line if len(line) <= _LONGEST_VOTE else line[: _LONGEST_VOTE - 1] + "…"
