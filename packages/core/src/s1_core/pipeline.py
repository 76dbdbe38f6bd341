"""Run a list of verbs one after the other: `just demo`.

Owns the order and the wiring of a line, which is data (configs/*.yaml). It imports no verb:
each runs as `python -m`, skips itself when its output is current, and resumes by itself.
"""

import dataclasses
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from s1_core import cli
from s1_core.errors import Interrupted
from s1_core.processes import die_with_parent


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One verb of the line; `{out}` in an argument stands for the output folder."""

    name: str
    run: list[str]
    """module and arguments, as typed behind `python -m`"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PipelineConfig:
    """A line from raw questions to a report.

    out: folder that receives one folder an artifact.
    steps: the verbs in order.
    until: stop after the step of this name ("" = run them all).
    """

    steps: list[Step]
    out: Path = Path("artifacts/demo")
    until: str = ""

    def __post_init__(self) -> None:
        names = [step.name for step in self.steps]
        if self.until and self.until not in names:
            raise ValueError(f"until is {self.until!r}; the steps are {', '.join(names)}")


def run_step(step: Step, out: Path) -> int:
    """Run one verb as a process of its own and return its exit code.

    SIGTERM and Ctrl-C reach the verb, which is given the time it needs to save its work.
    """
    arguments = [word.replace("{out}", str(out)) for word in step.run]
    # A session of its own: Ctrl-C in a terminal reaches us alone, and the verb hears it once.
    child = subprocess.Popen(
        [sys.executable, "-m", *arguments], start_new_session=True, preexec_fn=die_with_parent
    )
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            child.send_signal(signal.SIGTERM)


def main(config: PipelineConfig) -> int:
    """Run the steps; return the exit code of the first that did not end with 0."""
    console, begun = cli.console(), time.monotonic()
    steps = config.steps
    if config.until:
        steps = steps[: [step.name for step in steps].index(config.until) + 1]
    timings: list[tuple[str, float]] = []
    for number, step in enumerate(steps, 1):
        console.print(f"[bold]{number}/{len(steps)} {step.name}[/bold]", highlight=False)
        started = time.monotonic()
        code = run_step(step, config.out)
        timings.append((step.name, time.monotonic() - started))
        if code:
            return _stopped(step, code, console)
    shares = ", ".join(f"{name} {seconds:.0f}" for name, seconds in timings)
    total = time.monotonic() - begun
    console.print(f"{config.out}: done in {total:.0f} s ({shares})", highlight=False)
    return 0


def _stopped(step: Step, code: int, console: Any) -> int:
    """Translate how a verb ended into our own exit code, with what to do next."""
    if code in (-signal.SIGTERM, -signal.SIGINT, Interrupted.exit_code):
        raise Interrupted(f"stopped in step '{step.name}'; the same command goes on from there")
    if code < 0:
        console.print(f"step '{step.name}' was killed by {signal.Signals(-code).name}")
        return 1
    return code


if __name__ == "__main__":
    cli.run(PipelineConfig, main, package="core")
