"""`just traces`: questions put to a model behind an endpoint -> traces/, or attempts/ to grade.

Calls are remembered in <out's parent>/cache/<out's name>/calls, which all shards share, so a
killed or capped run goes on. A question without a useful reply is a failure with its reason;
delete the artifact to ask those again, what was answered is not paid for twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from s1_core import artifacts, chat, cli
from s1_core.artifacts import Artifact, Draft
from s1_core.errors import UserError
from s1_core.records import Attempt, Question, Trace
from s1_data.endpoint import asking
from s1_data.endpoint.asking import Failure, Inquiry, Plan, Prompt
from s1_data.endpoint.config import AskConfig, EndpointConfig
from s1_data.endpoint.replies import THINK, Reply
from s1_data.endpoint.shard import WHOLE, Shard
from s1_data.stages.stage import Stage

Task = Literal["traces", "attempts"]
Row = Trace | Attempt

RECORDS: dict[str, type[Trace] | type[Attempt]] = {"traces": Trace, "attempts": Attempt}
CUT = "cut at max_tokens"
SHAPING = tuple(
    entry.name for entry in fields(EndpointConfig) if entry.name not in EndpointConfig.RUN_ONLY
)
"""the options of an endpoint that shape what it says"""


@dataclass(frozen=True, kw_only=True)
class Job:
    """Which questions are put to whom, for what, and where the artifact of the whole will be."""

    questions: Artifact
    config: EndpointConfig
    out: Path
    task: Task = "traces"
    shard: Shard = WHOLE

    @property
    def identity(self) -> dict[str, Any]:
        """Say what identifies the artifact; the kind of a shard keeps it from passing for all."""
        teacher = {name: getattr(self.config, name) for name in SHAPING}
        whole = {"task": self.task, "teacher": teacher}
        return {
            "kind": self.task if self.shard.is_whole else f"{self.task}-shard",
            "config": whole if self.shard.is_whole else whole | {"shard": self.shard.name},
            "parents": {"questions": self.questions.sha256},
        }

    @property
    def stage(self) -> Stage:
        """Name the artifact of the job and what it will hold."""
        return Stage(out=self.shard.path(self.out), **self.identity)

    def inquiry(self) -> Inquiry:
        """Lay out its part of the questions, each once."""
        rows = {row.id: row for row in self.questions.read("questions", Question)}
        prompts = [
            Prompt(question_id=row.id, text=row.question, system=self.config.system)
            for row in rows.values()
            if self.shard.holds(row.id)
        ]
        return Inquiry(
            prompts=prompts,
            config=self.config,
            folder=self.out.parent / "cache" / self.out.name / "calls",
            shard=self.shard,
            accept=_flaw if self.task == "traces" else lambda reply: None,
        )


def main(config: AskConfig) -> None:
    """Write the artifact of the questions or of one shard of them, or tell what it would take."""
    job = Job(
        questions=artifacts.load(config.questions, kind="questions"),
        config=config.teacher,
        out=Path(config.out),
        task=config.task,
        shard=Shard.parse(config.shard),
    )
    if config.dry_run:
        line = f"{config.task} by {config.teacher.model}: {plan(job)}"
        cli.say(line)
    else:
        ensure(job)


def ensure_traces(questions: Artifact, config: EndpointConfig, out: Path) -> Artifact:
    """Return the traces artifact at `out`, asking for what is missing; UserError as in `ask`."""
    return ensure(Job(questions=questions, config=config, out=out))


def current_traces(questions: Artifact, config: EndpointConfig, out: Path) -> Artifact | None:
    """Return the traces artifact at `out` if `ensure_traces` would leave it as it is."""
    stage = Job(questions=questions, config=config, out=out).stage
    return artifacts.load(stage.out) if stage.is_current() else None


def plan_traces(questions: Artifact, config: EndpointConfig, out: Path) -> Plan:
    """Estimate what `ensure_traces` has left to do; calls nobody."""
    return plan(Job(questions=questions, config=config, out=out))


def ensure(job: Job) -> Artifact:
    """Return the artifact of a job, asking for what is missing."""

    def write(draft: Draft) -> str:
        inquiry = job.inquiry()
        outcomes = asking.ask(inquiry)
        rows: list[Row] = []
        failures: list[Failure] = []
        for prompt, outcome in zip(inquiry.prompts, outcomes, strict=True):
            row = _row(job, prompt.question_id, outcome)
            failures.append(row) if isinstance(row, Failure) else rows.append(row)
        return write_rows(draft, job.task, rows, failures, may_all_fail=not job.shard.is_whole)

    return job.stage.ensure(write)


def plan(job: Job) -> Plan:
    """Estimate what `ensure` has left to do; calls nobody."""
    inquiry = job.inquiry()
    if job.stage.is_current():
        return Plan(num_prompts=len(inquiry.prompts))
    return asking.plan(inquiry)


def write_rows(
    draft: Draft,
    task: str,
    rows: Sequence[Row],
    failures: Sequence[Failure],
    *,
    may_all_fail: bool = False,
) -> str:
    """Write the files of an artifact and say what they hold.

    By question id, so that shards merge to the bytes of one run. UserError where all failed.
    """
    if failures and not rows and not may_all_fail:
        raise UserError(
            f"none of {len(failures)} questions got one of the {task}, the last:"
            f" {failures[-1].reason}; turn the options of --teacher"
        )
    draft.write(task, sorted(rows, key=_id), RECORDS[task])
    draft.write("failures", sorted(failures, key=_id), Failure)
    return f"{len(rows)} {task}" + (f", {len(failures)} failed" if failures else "")


def _id(row: Row | Failure) -> str:
    return row.question_id


def _flaw(reply: Reply) -> str | None:
    """Say what a reply lacks to be a trace; cut ones are no fault of the model's kind."""
    if reply.finish_reason == "length":
        return None
    if not reply.thinking:
        return "a reply without thinking"
    return None if reply.text else f"a reply without an answer ({reply.finish_reason})"


def _row(job: Job, question_id: str, outcome: Reply | Failure) -> Row | Failure:
    if isinstance(outcome, Failure):
        return outcome
    if job.task == "attempts":
        return _attempt(question_id, job.config.model, outcome)
    if outcome.finish_reason == "length":
        return Failure(question_id, CUT)
    return Trace(
        question_id=question_id,
        thinking=outcome.thinking,
        attempt=outcome.text,
        model=job.config.model,
    )


def _attempt(question_id: str, model: str, reply: Reply) -> Attempt:
    text, num_tokens = _whole_text(reply), reply.completion_tokens
    return Attempt(
        question_id=question_id,
        model=model,
        text=text,
        # A server that counts nothing leaves the usual guess of four bytes a token.
        num_tokens=len(text.encode()) // 4 if num_tokens is None else num_tokens,
        finish_reason=reply.finish_reason,
    )


def _whole_text(reply: Reply) -> str:
    """Put the thinking back before the answer, marked, so that only the answer is graded."""
    if not reply.thinking:
        return reply.text
    if not reply.text:
        return f"{THINK.thinking_start}\n{reply.thinking}"
    _, *generated, _, _ = chat.render(THINK, "", reply.thinking, reply.text)
    return "".join(segment.text for segment in generated)


if __name__ == "__main__":
    cli.run(AskConfig, main, package="data")
