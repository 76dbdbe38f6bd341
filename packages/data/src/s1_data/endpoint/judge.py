"""What a judge is asked: whether an attempt is right, and what class a question is of (spec 1.4).

Owns both prompts and the strict rules by which a reply counts as a verdict. Never sends a
question without a reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from s1_core import cli
from s1_core.records import Question
from s1_data.classes import DomainClass
from s1_data.endpoint import asking
from s1_data.endpoint.asking import Failure, Inquiry, Prompt
from s1_data.endpoint.config import JudgeConfig
from s1_data.endpoint.replies import Reply

VERDICTS = {"Yes": True, "No": False}
VERDICT_TOKENS, CLASS_TOKENS = 400, 50
"""of a reply, where nothing is known yet"""

GRADING = """\
You are given a problem, an attempt at it and the correct answer. Decide whether the attempt is
right.

- Where the answer is a number, an expression, a choice or a name, the attempt is right if its
  final answer means the same as the correct answer, however it is written, and if it commits to
  that one answer. How it got there does not matter.
- Where the problem asks for a proof, an explanation or a program, judge the reasoning: the
  attempt is right if it is complete, holds no error that matters and agrees with the correct
  answer. It need not go the same way.
- An attempt that breaks off before it reaches an answer is not right.

Explain your decision briefly. Then end with one more line that holds a single word and nothing
else: Yes if the attempt is right, No if it is not."""

CLASSIFYING = """\
{question}

Which one of these classes of mathematics, science and other fields does the question above
belong to? Do not answer the question itself.

{classes}

If several fit, take the one whose methods the solution rests on most. End your reply with the
two digits of the class and nothing behind them."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """An attempt to be judged against a reference; without one it has no verdict."""

    question_id: str
    question: str
    attempt: str
    reference: str | None


def calls(out: str) -> Path:
    """Name the folder below an output folder that remembers what a judge was asked."""
    return Path(out) / "cache" / "judge"


def grade(cases: Sequence[Case], config: JudgeConfig, folder: Path) -> list[bool | None]:
    """Say of each case whether the attempt is right; None without a reference or a verdict.

    `folder` remembers the calls. How many stayed without a verdict is told in one line.
    """
    asked = [case for case in cases if _has_reference(case)]
    outcomes = iter(asking.ask(_grading(asked, config, folder)))
    found = [next(outcomes) if _has_reference(case) else None for case in cases]
    _tell(found, "gradings ended without a verdict")
    return [_verdict(outcome) if isinstance(outcome, Reply) else None for outcome in found]


def plan_grades(cases: Sequence[Case], config: JudgeConfig, folder: Path) -> asking.Plan:
    """Estimate the calls that `grade` has left."""
    asked = [case for case in cases if _has_reference(case)]
    return asking.plan(_grading(asked, config, folder), VERDICT_TOKENS)


def classify(
    questions: Sequence[Question],
    classes: Sequence[DomainClass],
    config: JudgeConfig,
    folder: Path,
) -> list[int | None]:
    """Number of each question the class that the judge picks, None where it picks none."""
    places = {found.code: number for number, found in enumerate(classes)}
    found = asking.ask(_classifying(questions, classes, config, folder))
    _tell(found, "questions were given no class")
    return [places[_code(outcome)] if isinstance(outcome, Reply) else None for outcome in found]


def plan_classes(
    questions: Sequence[Question], classes: Sequence[DomainClass], config: JudgeConfig, folder: Path
) -> asking.Plan:
    """Estimate the calls that `classify` has left."""
    return asking.plan(_classifying(questions, classes, config, folder), CLASS_TOKENS)


def _grading(cases: Sequence[Case], config: JudgeConfig, folder: Path) -> Inquiry:
    system = config.system or GRADING
    prompts = [
        Prompt(question_id=case.question_id, text=_sections(case), system=system) for case in cases
    ]
    return _inquiry(prompts, config, folder, _no_verdict)


def _classifying(
    questions: Sequence[Question], classes: Sequence[DomainClass], config: JudgeConfig, folder: Path
) -> Inquiry:
    codes = {found.code for found in classes}
    listed = "\n\n".join(f"{found.code} {found.text}" for found in classes)
    prompts = [
        Prompt(
            question_id=question.id,
            text=CLASSIFYING.format(question=question.question, classes=listed),
        )
        for question in questions
    ]

    def no_class(reply: Reply) -> str | None:
        if _code(reply) in codes and reply.finish_reason != "length":
            return None
        return f"the reply ends in {_code(reply)!r}, which is no class"

    return _inquiry(prompts, config, folder, no_class)


def _inquiry(
    prompts: Sequence[Prompt], config: JudgeConfig, folder: Path, accept: asking.Accept
) -> Inquiry:
    return Inquiry(
        prompts=prompts,
        config=config,
        folder=folder,
        accept=accept,
        max_asks=config.max_retries + 1,
        role="judge",
    )


def _has_reference(case: Case) -> bool:
    return bool(case.reference and case.reference.strip())


def _sections(case: Case) -> str:
    return (
        f"# Problem\n\n{case.question}\n\n# Attempt\n\n{case.attempt}\n\n"
        f"# Correct answer\n\n{case.reference}"
    )


def _last_line(reply: Reply) -> str:
    return reply.text.strip().rpartition("\n")[2].strip()


def _verdict(reply: Reply) -> bool | None:
    return VERDICTS.get(_last_line(reply)) if reply.finish_reason != "length" else None


def _no_verdict(reply: Reply) -> str | None:
    if _verdict(reply) is not None:
        return None
    return f"the last line is {_last_line(reply)[:80]!r}, neither Yes nor No"


def _code(reply: Reply) -> str:
    return reply.text.strip()[-2:]


def _tell(found: Sequence[Reply | Failure | None], what: str) -> None:
    missing = [outcome for outcome in found if isinstance(outcome, Failure)]
    if missing:
        line = f"{len(missing)} of {len(found)} {what}; the last: {missing[-1].reason}"
        cli.say(line)
