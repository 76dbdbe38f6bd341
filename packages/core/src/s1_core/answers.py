"""Find the final answer in a text, compare two answers, and give each a form to vote on.

Owns every rule of answer normalisation (spec 6, its traps fixed). What strings and fractions can
decide never loads math-verify; `grade` runs the rest in processes that can be killed.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from fractions import Fraction

from s1_core import chat

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{|\\boxed\s+([^$\n]+)")
_LABEL = re.compile(
    r"answer[*_\s]*:[*_\s]*"
    r"|(?:answer|(?:correct|right|best)\s+(?:option|choice))\s+is(?!\s+(?:not|(?:in)?correct)\b)"
    r"[*_\s]*:?\s*(?:(?:therefore|thus|indeed|simply)\b[,\s]*)?"
    r"|^[#*_ ]*(?:final )?answer[#*_ ]*$\s*",
    re.IGNORECASE | re.MULTILINE,
)
_COMMENT = re.compile(
    r"(?:(?<=\$)|(?<=\\\))|(?<=\d))\.\s+[A-Z]|[\s,;(](?:because|since)\s|[,;(]\s?as\s"
)
_DISPLAY = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|(\\begin\{(\w+)\}.+?\\end\{\4\})", re.DOTALL)
_WRAPPERS = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox|operatorname)\s*\{([^{}]*)\}")
_NUMBER = re.compile(r"([-+]?)(\d{1,60}(?:\.\d{0,60})?|\.\d{1,60})(?:/(\d{1,60}))?")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:(?:,|\{,\})\d{3})+(?:\.\d+)?")
_GROUPS = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:\.\d+)?")
_APART = re.compile(r"\d\s+\d|,\s")
_MEASURED = re.compile(
    r"((?:[-+\\$\d.,/ {}]|[dt]?frac){0,40}[\d}])\s+"
    r"(?!.*\b(?:pi|million|billion|trillion|thousand|hundred|dozen|percent|or|and|to|not|mod|plus"
    r"|minus|times|over|choose|factorial|squared|cubed|half|halves|thirds?|quarters?)\b)"
    r"(?:[a-z]{3,}|[ckm]m|kg|ft|lb)(?:[ -][a-z]{2,}|/[a-z]+)*(?:\^\{?[23]\}?)?",
    re.IGNORECASE,
)
_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|(\d))\s*(?:\{([^{}]*)\}|(\d))")
_MIXED = re.compile(r"([-+]?)(\d{1,60})(?:\s*(\\[dt]?frac.+)|\s+(\d{1,60}/\d{1,60}))")
_CHOICE = re.compile(
    r"(?:[Oo]ption|[Cc]hoice)?\s*\(?([A-Ja-e])(?:\)|[.:)]\s.*|[.:]|\)?\s[-–—]\s[^\W\d_]{3,}.*)?",
    re.DOTALL,
)
_WORDS = re.compile(r"[^\W\d_]{2,}(?:[ '-][^\W\d_]+)*")
_NOISE = re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![a-zA-Z])|\\[,;:]|~")
_MATH_SIGN, _NO_SPACE, _MINUS = (
    re.compile(part) for part in (r"(?<!\\)(?:\$|\\[()\[\]])", r"\\!\s*", r"−|^[–—](?=[\d.])")
)
_PLAIN_PI = re.compile(r"(?<![\\a-zA-Z])pi(?![a-zA-Z])")
_PLAIN_ROOT = re.compile(r"(?<![\\a-zA-Z])sqrt\(([^()]*)\)")
_MAX_LINE, _MAX_FORMULA, _MAX_ANSWER = 300, 1000, 5000


def extract(text: str, *, is_cut: bool = False) -> str | None:
    """Find the final answer: the last box, else behind the last "Answer:", else a short text.

    Looks behind the answer delimiter where there is one. None when nothing can be the answer. Of a
    text that was cut off only a box that closes counts: "Answer: 1" may have become 123.
    """
    part = _answer_part(text).strip()
    boxed = _last_box(part, is_cut=is_cut)
    if boxed is not None:
        return boxed.strip() or None
    if is_cut:
        return None
    labels = list(_LABEL.finditer(part))
    if labels:
        return _first_expression(part[labels[-1].end() :]) or None
    return part if part and len(part) <= _MAX_LINE and "\n\n" not in part else None


def normalise(answer: str) -> str:
    """Give equal answers equal strings, as far as that goes without algebra.

    Numbers become reduced fractions without a unit, choices capitals, words lower case, sets
    sorted.
    """
    if len(answer) > _MAX_ANSWER:
        return " ".join(answer.split())
    text = _tidied(answer)
    measured = _MEASURED.fullmatch(text)
    number = _number(measured[1] if measured else text)
    if number is not None:
        return str(number)
    choice = _CHOICE.fullmatch(text)
    if choice:
        return choice[1].upper()
    if _WORDS.fullmatch(text):
        return text.casefold()
    elements = _elements(text)
    if elements:
        return ",".join(sorted(normalise(element) for element in elements))
    return re.sub(r"\s+(?!\d)|(?<!\d)\s+", "", _FRACTION.sub(_as_quotient, text))


def is_correct(text_or_answer: str, gold: str) -> bool:
    """Say whether an answer, or the final answer of a text, equals the gold answer.

    Algebra may take long on hostile input outside of the main thread: use `grade` for bulk.
    """
    answer = extract(text_or_answer)
    if answer is None:
        return False
    verdict = decide(answer, gold)
    return are_equivalent(answer, gold) if verdict is None else verdict


def grade(
    pairs: Sequence[tuple[str, str]], *, workers: int = 2, timeout_s: float = 5.0
) -> list[bool]:
    """Grade (text, gold) pairs; what needs algebra runs in processes, killed after timeout_s.

    A pair that runs out of time or memory is wrong.
    """
    answers = [extract(text) for text, _ in pairs]
    verdicts = [
        False if answer is None else decide(answer, gold)
        for answer, (_, gold) in zip(answers, pairs, strict=True)
    ]
    hard = [index for index, verdict in enumerate(verdicts) if verdict is None]
    if hard:
        from s1_core import grading

        asked = [(answers[index] or "", pairs[index][1]) for index in hard]
        for index, found in zip(hard, grading.run(asked, workers, timeout_s), strict=True):
            verdicts[index] = found
    return [bool(verdict) for verdict in verdicts]


def decide(answer: str, gold: str) -> bool | None:
    """Compare without algebra; None where only algebra can tell."""
    gold = extract(gold) or gold
    one, other = normalise(answer), normalise(gold)
    if one == other:
        return True
    if max(len(one), len(other)) > _MAX_FORMULA or not one or not other:
        return False
    return False if _is_plain(one) and _is_plain(other) else None


def are_equivalent(answer: str, gold: str, *, limit_s: int | None = 5) -> bool:
    """Compare by algebra (math-verify): expressions, sets, intervals, equations, matrices.

    The limit works by SIGALRM: it holds in the main thread only, and not within one C call.
    """
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

    logging.getLogger("math_verify").setLevel(logging.ERROR)
    limit = limit_s if threading.current_thread() is threading.main_thread() else None
    targets = [LatexExtractionConfig(), ExprExtractionConfig()]
    found, wanted = (
        parse(f"${_formula(text)}$", extraction_config=targets, parsing_timeout=limit)
        for text in (answer, extract(gold) or gold)
    )
    return bool(verify(wanted, found, timeout_seconds=limit))


def _answer_part(text: str) -> str:
    """Cut to what follows the answer delimiter, else the last turn marker and its line."""
    starts = {fmt.answer_start for fmt in chat.FORMATS.values()}
    found = [(text.rfind(start), start) for start in starts if start in text]
    if found:
        position, start = max(found)
        text = text[position + len(start) :]
    elif chat.TURN_START in text:
        text = text.rpartition(chat.TURN_START)[2].partition("\n")[2]
    for end in (chat.TURN_END, chat.END_OF_TEXT):
        text = text.partition(end)[0]
    return text


def _last_box(text: str, *, is_cut: bool) -> str | None:
    """Read the last \\boxed or \\fbox by matching braces; one that never closes is passed over."""
    boxes = list(_BOX.finditer(text))
    opened: list[int] = []
    closed: dict[int, int] = {}
    for brace in re.finditer(r"[{}]", text if boxes else ""):
        if brace[0] == "{":
            opened.append(brace.end())
        elif opened:
            closed[opened.pop()] = brace.start()
    for box in reversed(boxes):
        if box[1] is not None and not (is_cut and box.end() == len(text)):
            return box[1]
        if box.end() in closed:
            return text[box.end() : closed[box.end()]]
    return None


def _first_expression(text: str) -> str:
    """Read what follows a label: a displayed formula, else the first line that is not empty.

    The line ends where a sentence or a reason begins.
    """
    text = text.strip()
    display = _DISPLAY.match(text)
    if display:
        return next(group for group in display.groups() if group).strip()
    line = text.partition("\n")[0].strip()
    comment = _COMMENT.search(line)
    return line[: comment.start()].rstrip(" ,;(") or line if comment else line


def _tidied(answer: str) -> str:
    """Strip what never changes the meaning: mathematics signs, markup, spacing, a final stop."""
    text = _MATH_SIGN.sub("", _NO_SPACE.sub("", answer))
    text = _NOISE.sub(" ", text).strip().strip("*_`").rstrip(".,; ")
    text = _WRAPPERS.sub(r" \1 ", text).strip()
    text = _MINUS.sub("-", text.rstrip(".,; ").strip("*").strip())
    return re.sub(r"\s+", " ", text)


def _number(text: str) -> Fraction | None:
    """Read an integer, decimal or quotient of them, LaTeX fractions and thousands included."""
    mixed = _MIXED.fullmatch(text)
    if mixed and (part := _number(mixed[3] or mixed[4])) is not None:
        value = int(mixed[2]) + part
        return -value if mixed[1] == "-" else value
    compact = _FRACTION.sub(_as_quotient, text.replace("\\$", "").strip())
    if _APART.search(compact) and not _GROUPS.fullmatch(compact):
        return None
    compact = compact.replace(" ", "")
    compact = re.sub(r"([-+]?)\(([^(),]*)\)", r"\1\2", compact)
    if _THOUSANDS.fullmatch(compact):
        compact = compact.replace("{,}", "").replace(",", "")
    number = _NUMBER.fullmatch(compact)
    if not number or (number[3] and not int(number[3])):
        return None
    value = Fraction(number[2]) / int(number[3] or 1)
    return -value if number[1] == "-" else value


def _as_quotient(fraction: re.Match[str]) -> str:
    parts = [fraction[1] or fraction[2] or "", fraction[3] or fraction[4] or ""]
    parts = [part.replace(",", "") if _THOUSANDS.fullmatch(part) else part for part in parts]
    return "({}/{})".format(*(part if part.isalnum() else f"({part})" for part in parts))


def _elements(text: str) -> list[str]:
    """Part a set in braces or a bare list; nothing where brackets make the order count."""
    braced = re.fullmatch(r"\\?\{(.*?)\\?\}", text)
    inner = braced[1] if braced else re.sub(r"\s*,?\s+(?:and|or)\s+", ",", text)
    if re.search(r"[()\[\]{}]", inner) or (not braced and "," not in inner):
        return []
    return [element for element in inner.split(",") if element.strip()]


def _is_plain(normal: str) -> bool:
    """Say whether a normal form is a number, one letter or words: nothing algebra could equate."""
    return bool(_NUMBER.fullmatch(normal) or len(normal) == 1 or _WORDS.fullmatch(normal))


def _formula(text: str) -> str:
    """Dress an answer for math-verify: no math signs, set braces escaped, and/or as commas."""
    text = _PLAIN_ROOT.sub(r"\\sqrt{\1}", _PLAIN_PI.sub(r"\\pi ", text))
    text = re.sub(r"\s*,?\s+(?:and|or)\s+", ", ", text.strip().strip("$*").removesuffix("."))
    text = re.sub(r"\$\s*,\s*\$", ", ", text)
    braced = re.fullmatch(r"\{(.*,.*)\}", text)
    return f"\\{{{braced[1]}\\}}" if braced else text
