"""`just calibrate`: traces of a model, or stored ones, to calibration.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from s1_core import artifacts, cache, cli
from s1_core.artifacts import Draft
from s1_core.errors import UserError
from s1_core.records import Question
from s1_serve.evaluate.calibrate.config import CalibrateConfig
from s1_serve.evaluate.calibrate.horizon import LEAST_TRACES
from s1_serve.strategies import calibration
from s1_serve.strategies.calibration import CALIBRATION_VERSION, HOTTEST, Calibration

if TYPE_CHECKING:
    from s1_serve.evaluate.replay.stored import Answered
    from s1_serve.evaluate.run.sources import Opened
    from s1_serve.evaluate.samples import Sample

KIND = "calibration"


def main(config: CalibrateConfig) -> None:
    """Write the calibration, unless it is there already, and say what it found."""
    out = Path(config.out)
    found = _of_samples(config, out) if config.samples else _of_model(config, out)
    for line in _told(found):
        cli.say(line)
    cli.say(f"calibration: {out / calibration.FILE}")


def _of_samples(config: CalibrateConfig, out: Path) -> Calibration:
    """Calibrate from stored samples."""
    from s1_serve.evaluate.replay import stored

    file = stored.source(Path(str(config.samples)))
    identity = _identity(config, {"parents": {file.name: artifacts.sha256_of(file)}}, {})
    if not artifacts.is_current(out, **identity):
        with artifacts.create(out, **identity) as draft:
            with cli.working("reading and grading the samples"):
                benchmarks = stored.read(file, config.run, config.workers)
            questions = [question for one in benchmarks for question in one.questions]
            draft.write_text(calibration.FILE, _calibrated(questions, config).to_json())
    return calibration.read(out)


def _of_model(config: CalibrateConfig, out: Path) -> Calibration:
    """Calibrate by traces of a model, here or behind an endpoint."""
    from s1_serve.evaluate.__main__ import benchmarks, questions_of
    from s1_serve.evaluate.run.sources import opened

    asked = config.evaluation()
    artifacts_by_name = benchmarks(asked)
    source = opened(asked)
    parents = {name: one.sha256 for name, one in artifacts_by_name.items()}
    identity = _identity(config, {"parents": parents}, source.identity)
    if not artifacts.is_current(out, **identity):
        questions = {name: questions_of(one, asked) for name, one in artifacts_by_name.items()}
        with artifacts.create(out, **identity) as draft:
            _measure(draft, config, source, questions)
    return calibration.read(out)


def _identity(
    config: CalibrateConfig, parents: Mapping[str, Any], source: Mapping[str, Any]
) -> dict[str, Any]:
    told = artifacts.identity(config) | {"source": dict(source)}
    return {"kind": KIND, "config": told | {"calibration_version": CALIBRATION_VERSION}, **parents}


def _measure(
    draft: Draft,
    config: CalibrateConfig,
    source: Opened,
    questions: Mapping[str, Sequence[Question]],
) -> None:
    """Draw the traces and the entropies; what is on disk is not drawn again."""
    from s1_serve.evaluate.replay import stored
    from s1_serve.evaluate.run.sweep import Sweep
    from s1_serve.evaluate.samples import Sample

    folder = cache.folder(Path(config.out))
    measured, _ = Sweep(config.evaluation(), source, questions, folder).measure()
    rows = [sample for one in measured for sample in one.samples]
    draft.write("samples", rows, Sample)
    asked = [
        question for one in measured for question in stored.grouped(one.samples, Path(config.out))
    ]
    prompts = [question.question for ones in questions.values() for question in ones]
    heat = _heat(config, source, prompts, folder) if config.turn else {}
    found = _calibrated(asked, config, rows)
    draft.write_text(calibration.FILE, _heated(found, heat).to_json())


def _calibrated(
    questions: Sequence[Answered], config: CalibrateConfig, rows: Sequence[Sample] = ()
) -> Calibration:
    from s1_serve.evaluate.calibrate import horizon

    fewest = min(len(question.lengths) for question in questions)
    if fewest < LEAST_TRACES:
        raise UserError(f"a question has {fewest} traces: a calibration wants {LEAST_TRACES}")
    if not any(length for question in questions for length in question.lengths):
        raise UserError("the samples do not say how many tokens they have: no length, no horizon")
    grid = horizon.measured(questions, config.seed)
    is_mute = bool(rows) and not any(row.thinking_tokens or row.thinking for row in rows)
    nothing = [answer is None for question in questions for answer in question.answers]
    return horizon.calibration(
        grid,
        fmean(length for question in questions for length in question.lengths),
        thinks=config.thinks and not is_mute,
        num_questions=len(questions),
        num_traces=fewest,
        no_answer=fmean(nothing),
        cut=fmean(row.finish_reason == "length" for row in rows) if rows else None,
    )


def _heat(
    config: CalibrateConfig, source: Opened, prompts: Sequence[str], folder: Path
) -> dict[str, Any]:
    """Measure entropies; nothing where logprobs cannot be had, which is said."""
    from s1_serve.evaluate.calibrate import heat, turn

    measure = source.heat(config.turn_tokens, config.seed)
    chosen = list(prompts)[: config.turn_questions]
    if measure is None or not heat.gives_logprobs(measure, chosen[0]):
        cli.say("no temperature: there are no logprobs to be had here")
        return {}
    inputs = {"source": source.identity, "tokens": config.turn_tokens, "seed": config.seed}
    entropies = heat.measured(measure, chosen, config.temperatures, folder, inputs)
    found = turn.turning_point(config.temperatures, entropies)
    told = {"temperatures": config.temperatures, "entropies": entropies, "top": heat.NUM_TOP}
    return {"temperature": found, "facts": told}


def _heated(found: Calibration, heat: Mapping[str, Any]) -> Calibration:
    from s1_serve.evaluate.calibrate.turn import BEST_OF

    if heat.get("temperature") is None:
        return found
    return replace(
        found,
        temperature=heat["temperature"],
        best_of_temperature=min(HOTTEST, round(heat["temperature"] + BEST_OF, 6)),
        facts={**found.facts, "turn": heat["facts"]},
    )


def _told(found: Calibration) -> list[str]:
    facts = found.facts
    lines = [
        f"{facts['num_questions']} questions, {facts['num_traces']} traces each: {facts['why']}",
        f"family: {found.family}; {found.mean_tokens:,.0f} tokens a trace, "
        f"{100 * facts['no_answer']:.1f} % without an answer",
    ]
    if found.temperature is not None:
        lines.append(
            f"temperature (approximate, from {facts['turn']['top']} logprobs a token): "
            f"{found.temperature:g} for votes, {found.best_of_temperature:g} for a best of N"
        )
    return lines


if __name__ == "__main__":
    cli.run(CalibrateConfig, main, package="serve")
