"""What was found, in plain sentences: a fall as a fall, and noise never as a gain.

Better and worse are words of the paired interval and the sign test; all else is not
distinguishable, or the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby, pairwise
from statistics import fmean
from typing import Any

from s1_serve.evaluate.config import BUDGET, EXTENDS, MAJORITY, REJECTION, EvaluateConfig
from s1_serve.evaluate.report.comparisons import BETTER, LEVEL, UNCLEAR, WORSE, compare
from s1_serve.evaluate.report.runs import Results, Run, credits, not_enforced, takes_all
from s1_serve.evaluate.report.scores import FAMILIES
from s1_serve.evaluate.report.strategies import FEWER, MORE, is_majority
from s1_serve.evaluate.samples import Measured

SAME = "graded the same on every question"
NOT_TAKEN = "no verdict, as answers that were not taken count as wrong"
EQUAL = {"equal_total": "tokens", "equal_sequential": "tokens one after another"}
"""the comparisons of a strategy, and what both sides of each spend as much of"""


def statements(
    found: Results,
    compared: Sequence[Run],
    strategies: Sequence[Run],
    sources: Sequence[Mapping[str, Any]],
    config: EvaluateConfig,
) -> list[str]:
    """Say in words what the figures of one benchmark show."""
    lines = [not_enforced(one) for one in found.measured if not one.is_enforced]
    scored = [row for row in found.rows if row["accuracy"] is not None]
    if scored and not any(row["accuracy"] for row in scored):
        number = scored[0]["num_questions"]
        return [*lines, f"No run answers any of {_counted(number, 'question')} right."]
    lines += _on_budgets(found, config)
    lines += _on_extends([row for row in compared if row["extend_with"] == config.extend_with])
    lines += _on_arms(compared, config.extend_with)
    lines += _on_prompts(found, config)
    lines += _on_rejection([found.row(one) for one in found.by(REJECTION)])
    lines += _on_votes(found, config)
    lines += _on_strategies(strategies)
    return lines + _on_sources(sources, config.extend_with)


def on_training(facts: Mapping[str, Any] | None) -> list[str]:
    """Repeat what the training data says of its traces: planted slips, and its own note."""
    rate, note = (facts or {}).get("slip_rate"), (facts or {}).get("note")
    if rate is None and not note:
        return []
    known = "unknown" if rate is None else f"{100 * rate:.1f} %"
    lines = [f"Share of training traces with a planted slip: {known}."]
    return lines + ([note] if note else [])


def arm(string: str) -> str:
    """Name an extend string at the start of a sentence."""
    return f'"{string}"' if string else "The empty string"


def shown(difference: Mapping[str, float]) -> str:
    """Write a difference with its interval."""
    mean, lo, hi = (difference[name] for name in ("mean", "lo", "hi"))
    if is_same(difference):
        return SAME
    return f"{mean:+.1f} points [{lo:+.1f}, {hi:+.1f}]"


def is_same(difference: Mapping[str, float]) -> bool:
    """Say whether no question earned another credit: with any flip, resamples differ."""
    return difference["mean"] == difference["lo"] == difference["hi"] == 0


def _on_budgets(found: Results, config: EvaluateConfig) -> list[str]:
    """Compare the largest maximum to the smallest, and name every fall between neighbours."""
    budgets = found.by(BUDGET)
    if len(budgets) < 2:
        return []
    first, last = budgets[0], budgets[-1]
    top = max(map(found.row, budgets), key=lambda row: row["accuracy"])
    line = (
        f"Accuracy is {_percent(first)} at a maximum of {first.setting.max} thinking tokens and "
        f"{_percent(last)} at {last.setting.max} ({_change(last, first, config.seed)}); at most "
        f"{top['accuracy']:.1f} %, reached at {top['max']}."
    )
    falls = [
        f"from {one.setting.max} to {after.setting.max} ({_change(after, one, config.seed)})"
        for one, after in pairwise(budgets)
        if sum(after.correct) < sum(one.correct)
    ]
    return [line + (f" It falls {', '.join(falls)}." if falls else " It never falls.")]


def _on_extends(rows: Sequence[Run]) -> list[str]:
    """Say what each count of extends changes; once for neighbours of which the same is said."""
    lines = []
    for text, group in groupby(rows, _effect):
        same = list(group)
        counts = [str(row["extends"]) for row in same]
        named = " and ".join([", ".join(counts[:-1])] * (len(counts) > 1) + counts[-1:])
        lines.append(f"{arm(same[0]['extend_with'])} x {named}{text}")
    return lines


def _effect(row: Run) -> str:
    if not row["mean_used_extends"]:
        return " was never used: no answer tried to end its thinking before the maximum."
    if is_same(row["difference"]):
        return f": {_told(row, 'no extend')}."
    became_right = _counted(row["wrong_to_right"], "wrong answer")
    became_wrong = _counted(row["right_to_wrong"], "right one")
    return f": {_told(row, 'no extend')}; {became_right} became right, {became_wrong} wrong."


def _on_arms(compared: Sequence[Run], wait: str) -> list[str]:
    """Say, where the string under test does best, what each control arm does at that count."""
    tested = [row for row in compared if row["extend_with"] == wait]
    if not tested:
        return []
    best = max(tested, key=lambda row: row["accuracy"])["extends"]
    return [
        f"{arm(row['extend_with'])} x {best}: {_told(row, 'no extend')}. {arm(wait)} less this: "
        f"{shown(row['against_test_string'])}."
        for row in compared
        if row["extend_with"] != wait and row["extends"] == best
    ]


def _on_prompts(found: Results, config: EvaluateConfig) -> list[str]:
    """Compare, for each control by prompt, the run that thought longest to the shortest one."""
    lines = []
    for method, name in FAMILIES.items():
        thought = {
            one.setting.label: mean
            for one in found.by(method)
            if (mean := found.row(one)["mean_thinking_tokens"]) is not None
        }
        runs = sorted(
            (one for one in found.by(method) if one.setting.label in thought),
            key=lambda one: thought[one.setting.label],
        )
        if method != BUDGET and len(runs) > 1:
            is_whole = takes_all([found.row(one) for one in runs])
            verdict = _change(runs[-1], runs[0], config.seed) if is_whole else NOT_TAKEN
            lines.append(_on_ends(name, runs[0], runs[-1], thought, verdict))
    return lines


def _on_ends(
    name: str, least: Measured, most: Measured, thought: Mapping[str, float], verdict: str
) -> str:
    few, many = (
        f"{_percent(one)} with {thought[one.setting.label]:.0f} thinking tokens "
        f"({one.setting.label})"
        for one in (least, most)
    )
    return f"{name[0].upper()}{name[1:]}: {few}, {many}: {verdict}."


def _on_rejection(rows: Sequence[Run]) -> list[str]:
    told = ", ".join(
        f"{100 * row['accepted']:.1f} % at {row['max']} ("
        + (f"{row['accuracy_of_taken']:.1f} % of these right; " if row["accepted"] else "")
        + f"{row['mean_tries']:.1f} tries)"
        for row in rows
    )
    return [f"Answers that rejection sampling took: {told}; the others are wrong."] if rows else []


def _on_votes(found: Results, config: EvaluateConfig) -> list[str]:
    """Compare the largest vote to the smallest, and set it beside the best single trace."""
    if not found.by(MAJORITY):
        return []
    (sampled,) = found.by(MAJORITY)
    first, last = min(config.votes), max(config.votes)
    votes = {row["samples_per_question"]: row for row in found.rows if row["method"] == MAJORITY}
    vote = votes[last]
    line = (
        f"A majority of {last} samples: {vote['accuracy']:.1f} % for "
        f"{vote['mean_total_tokens']:.0f} tokens a question"
    )
    if first < last:
        many, few = (credits(sampled, size, config.tie) for size in (last, first))
        line += f"; {_told(compare(many, few, config.seed), f'a majority of {first}')}"
    singles = [found.row(one) for method in (BUDGET, EXTENDS) for one in found.by(method)]
    if singles:
        best = max(singles, key=lambda row: (row["accuracy"], -row["mean_total_tokens"]))
        line += (
            f"; the best single trace ({best['run']}, chosen on these questions): "
            f"{best['accuracy']:.1f} % for "
            f"{best['mean_total_tokens']:.0f}"
        )
    return [f"{line}."]


def _on_strategies(rows: Sequence[Run]) -> list[str]:
    """Say which strategies are told apart from a majority that costs as much, and what they cost.

    Those that chance would tell apart anyway are counted beside them.
    """
    if not any(row[axis] for row in rows for axis in EQUAL):
        is_alone = any(not is_majority(row["run"]) for row in rows)
        return ["No majority was run, so no strategy is compared to one."] if is_alone else []
    lines = [
        f"{row['run']}: {row['accuracy']:.1f} % for {row['mean_total_tokens']:.0f} tokens a "
        f"question, {row['mean_sequential_tokens']:.0f} one after another; "
        f"{'; '.join(_on_equal(row[axis], tokens) for axis, tokens in EQUAL.items())}."
        for row in rows
        if any(row[axis] and _is_told(row[axis]) for axis in EQUAL)
    ]
    return lines + [line for axis, tokens in EQUAL.items() for line in _on_axis(rows, axis, tokens)]


def _is_told(held: Mapping[str, Any]) -> bool:
    return held["verdict"] in (BETTER, WORSE)


def _on_equal(held: Mapping[str, Any], tokens: str) -> str:
    if held["beyond"]:
        return f"{held['beyond']} {tokens} than any majority here, so no verdict"
    return _told(held, f"a majority of as many {tokens}")


def _on_axis(rows: Sequence[Run], axis: str, tokens: str) -> list[str]:
    """Count the verdicts of one comparison, and name the strategies that it has none for."""
    lines = []
    compared = [row[axis] for row in rows if row[axis] and row[axis]["verdict"]]
    if compared:
        counted = _counted(len(compared), "strategy", "strategies")
        lines.append(
            f"Of {counted} compared to a majority of as many {tokens} "
            f"{sum(map(_is_told, compared))} can be told from it; by chance alone at most "
            f"{LEVEL * len(compared):.1f}."
        )
    for beyond in (FEWER, MORE):
        names = [row["run"] for row in rows if row[axis] and row[axis]["beyond"] == beyond]
        if names:
            lines.append(
                f"No verdict at as many {tokens}, as they cost {beyond} than any majority here: "
                f"{'; '.join(names)}."
            )
    return lines


def _on_sources(rows: Sequence[Mapping[str, Any]], wait: str) -> list[str]:
    """Say in which sources the extends are better than none, where both were run."""
    told = [row for row in rows if row["verdict"]]
    if len(told) < 2:
        return []
    gains = [row for row in told if row["verdict"] == BETTER]
    named = ", ".join(
        f"{row['source']} ({row['free']:.0f} to {row['extended']:.0f} %)" for row in gains
    )
    return [
        f"{arm(wait)} x {told[0]['extends']} is better than no extend in {len(gains)} of "
        f"{len(told)} sources (by chance alone at most {LEVEL / 2 * len(told):.1f})"
        f"{f': {named}' if named else ''}."
    ]


def _counted(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def _percent(one: Measured) -> str:
    return f"{100 * fmean(one.correct):.1f} %"


def _change(one: Measured, before: Measured, seed: int) -> str:
    return _told(compare(one.correct, before.correct, seed))


def _told(row: Mapping[str, Any], other: str = "") -> str:
    """Write a difference and its verdict, on `other` where that is named."""
    if is_same(row["difference"]):
        return f"{SAME} as {other}" if other else SAME
    verdict = row["verdict"]
    link = f" {'from' if verdict == UNCLEAR else 'than'} {other}" if other else ""
    return f"{shown(row['difference'])}, {verdict}{link}"
