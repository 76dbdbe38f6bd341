"""What is asked about earlier answers, and how the replies are read. Owns all of these words.

Each prompt stands under the client's question. Texts of candidates are neutralised here, as the
template of another model may not do it, and shortened so that they fit: the end is kept, where
the answer is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from s1_core import chat
from s1_serve.strategies import ballots
from s1_serve.strategies.known import Result

MOST_CHARS = 16_000
"""of all candidates in one prompt: some 4,000 tokens"""
CUT = "[...] "
_VERDICT = re.compile(
    r"(?:\bverdict\b\W{0,8}|^[^\w\n]{0,8})(right|same|yes|wrong|different|no)\b[^\w\n]{0,8}$",
    re.IGNORECASE | re.MULTILINE,
)
_RANKING = re.compile(r"\branking\b\W{0,8}([^\n]{0,2000})", re.IGNORECASE)


def shown(result: Result, *, with_thinking: bool = False) -> str:
    """Give a candidate's text: its answer or tool calls, its thinking before them if wanted."""
    answer = result.answer.strip()
    if not answer and result.message.get("tool_calls"):
        answer = ballots.form("", result.message) or ""
    thinking = result.thinking.strip() if with_thinking else ""
    return f"{thinking}\n\n{answer}" if thinking else answer


def combine(candidates: Sequence[str], most_chars: int = MOST_CHARS) -> str:
    """Ask for one better solution from several (RSA, arXiv 2509.26626)."""
    return (
        f"Here are {len(candidates)} attempts at the task above. Any of them may be wrong or "
        "incomplete.\n\n"
        f"{_listed('Attempt', candidates, most_chars)}\n\n"
        "Check their steps against each other, keep what is right, repair what is wrong, and work "
        "out one better solution. If all of them go wrong, solve the task in another way. Give "
        "the whole answer, in the form that the task asks for."
    )


def improve(candidate: str, most_chars: int = MOST_CHARS) -> str:
    """Ask for a better solution than one that is given (RSA with one member)."""
    return (
        "Here is an attempt at the task above. It may be wrong or incomplete.\n\n"
        f"{_listed('Attempt', [candidate], most_chars)}\n\n"
        "Check it step by step, repair what is wrong, and improve it. If it cannot be repaired, "
        "solve the task in another way. Give the whole answer, in the form that the task asks for."
    )


def criticise(draft: str) -> str:
    """Ask what is wrong with a draft; the reply ends with a verdict."""
    return (
        "Here is a draft of an answer to the task above.\n\n"
        f"{_listed('Draft', [draft])}\n\n"
        "Look for mistakes: check each step and the result. Say briefly what is wrong and why. Do "
        "not write a new answer. End with one line: `Verdict: right` if nothing has to change, "
        "otherwise `Verdict: wrong`."
    )


def rewrite(draft: str, critique: str) -> str:
    """Ask for a new draft after a critique."""
    return (
        "Here is a draft of an answer to the task above, and what a reader says about it.\n\n"
        f"{_listed('Draft', [draft], MOST_CHARS // 2)}\n\n"
        f"{_listed('Critique', [critique], MOST_CHARS // 2)}\n\n"
        "Write the answer anew. Follow the critique where it is right, ignore it where it is not. "
        "Give the whole answer, in the form that the task asks for."
    )


def rank(candidates: Sequence[str]) -> str:
    """Ask for an order of candidates; the reply ends with their numbers, the best first."""
    return (
        f"Here are {len(candidates)} answers to the task above.\n\n"
        f"{_listed('Answer', candidates)}\n\n"
        "Judge which are right and complete. End with one line that lists all their numbers, the "
        "best answer first, for example `Ranking: 2, 1`."
    )


def fuse(candidates: Sequence[str]) -> str:
    """Ask for one answer from the best of several, the best first."""
    return (
        "Here are good answers to the task above, the best first.\n\n"
        f"{_listed('Answer', candidates)}\n\n"
        "Write one final answer that keeps what is best in each of them and leaves out what is "
        "wrong. Give it in the form that the task asks for."
    )


def same(one: str, other: str) -> str:
    """Ask whether two answers mean the same; the reply ends with a verdict."""
    return (
        "Here are two answers to the task above.\n\n"
        f"{_listed('Answer', [one, other])}\n\n"
        "Do they come to the same result, whatever their words? End with one line: "
        "`Verdict: same` or `Verdict: different`."
    )


def verdict(reply: str) -> bool | None:
    """Read the last verdict of a reply: right, same and yes are True; None where there is none."""
    found = _VERDICT.findall(reply)
    return found[-1].lower() in ("right", "same", "yes") if found else None


def ranking(reply: str, num: int) -> list[int]:
    """Read the order of candidates 1 to `num` as places from 0; empty where there is none.

    Numbers out of range and repetitions are passed over.
    """
    found = _RANKING.findall(reply)
    numbers = re.findall(r"\d{1,6}", found[-1]) if found else []
    return list(dict.fromkeys(int(n) - 1 for n in numbers if 1 <= int(n) <= num))


def _listed(name: str, texts: Sequence[str], most_chars: int = MOST_CHARS) -> str:
    """Write texts under numbered headings; a single one has no number."""
    room = max(most_chars // len(texts), len(CUT) + 1)
    titles = [f"{name} {n}" if len(texts) > 1 else name for n in range(1, len(texts) + 1)]
    shorts = [_shortened(chat.neutralise(text), room) for text in texts]
    return "\n\n".join(f"{t}:\n{s or '(empty)'}" for t, s in zip(titles, shorts, strict=True))


def _shortened(text: str, most_chars: int) -> str:
    return text if len(text) <= most_chars else CUT + text[len(CUT) - most_chars :]
