"""`python -m s1_train.fit`: checks and prepares a run, launches its processes, draws the curve.

Everything a user can have got wrong is found here, before torch is imported anywhere.
"""

from __future__ import annotations

from s1_core import artifacts, chat, cli
from s1_core.errors import UserError
from s1_core.records import Example
from s1_train import tokenizer
from s1_train.config import TrainConfig
from s1_train.encoding import (
    Document,
    Samples,
    TokenizedExample,
    document_segments,
    encode,
    segments_of,
)
from s1_train.net import weights
from s1_train.packing import balance
from s1_train.runs import checkpoints, curve, launch
from s1_train.runs.folder import Identity, RunFolder, write_json
from s1_train.runs.job import Job

Sample = tuple[str, tuple[chat.Segment, ...]]


def main(config: TrainConfig) -> None:
    """Bring the run in `config.out` to its end, from wherever it stands."""
    data = artifacts.load(config.data)
    base = weights.find(config.base, config.base_revision)
    identity = identify(config, data, base)
    folder = RunFolder(config.out)
    if folder.is_finished(identity):
        _say(f"up to date: {folder.path}")
        return
    with folder.locked():
        folder.claim(identity, config.on_change)
        job, num_steps = prepare(config, data, base, folder, identity)
        if job.resumed_step < num_steps:
            num_ranks = launch.num_processes(config)
            launch.run(folder, num_ranks, config.stop_grace_s)
        finish(folder, num_steps)


def identify(
    config: TrainConfig, data: artifacts.Artifact, base: weights.BaseModel | None
) -> Identity:
    """Name the recipe and the inputs that decide what this run becomes."""
    recipe = artifacts.identity(config)
    if base is None:
        recipe["base"] = weights.NO_BASE
    else:
        recipe["base"] = base.name
        del recipe["model"], recipe["tokenizer"]
    parents = {data.kind: data.sha256} | ({"base": base.sha256} if base else {})
    if config.tokenizer.path is not None:
        parents["tokenizer"] = tokenizer.fingerprint(config.tokenizer.path)
    return Identity(recipe, parents)


def prepare(
    config: TrainConfig,
    data: artifacts.Artifact,
    base: weights.BaseModel | None,
    folder: RunFolder,
    identity: Identity,
) -> tuple[Job, int]:
    """Write tokenizer, encoded samples and job; give the job and the number of its steps."""
    text_format = chat.format_named(config.format)
    if not artifacts.is_current(
        folder.encoded, kind="encoded", config={}, parents=identity.parents
    ):
        _encode(config, data, base, folder, identity)
    samples = Samples(folder.encoded)
    folder.checkpoints.mkdir(exist_ok=True)
    checkpoints.clear_remains(folder.checkpoints)
    good = checkpoints.newest(folder.checkpoints)
    words = tokenizer.load(folder.tokenizer, text_format)
    job = Job(
        config=config,
        parents=identity.parents,
        base=str(base.folder.resolve()) if base else None,
        vocab_size=words.get_vocab_size(),
        resume=good.path.name if good else None,
        resumed_step=good.config["step"] if good else 0,
    )
    job.write(folder.job)
    steps = job.steps(samples.lengths)
    _announce(
        job, samples, len(steps), balance(steps, samples.lengths, launch.num_processes(config))
    )
    return job, len(steps)


def _encode(
    config: TrainConfig,
    data: artifacts.Artifact,
    base: weights.BaseModel | None,
    folder: RunFolder,
    identity: Identity,
) -> None:
    text_format = chat.format_named(config.format)
    rows = _samples(data, text_format)
    if config.tokenizer.train:
        texts = ("".join(segment.text for segment in segments) for _, segments in rows)
        tokenizer.save(tokenizer.train(texts, config.tokenizer.vocab_size), folder.tokenizer)
    elif config.tokenizer.phrases:
        listed = tokenizer.listed_phrases(data.path)
        tokenizer.save(tokenizer.of_phrases(listed, text_format), folder.tokenizer)
    else:
        source = base.folder if base else config.tokenizer.path
        assert source is not None, "TrainConfig asks for a tokenizer with --base none"
        tokenizer.copy(source, folder.tokenizer)
    words = tokenizer.load(folder.tokenizer, text_format)
    encoded = list(encode(rows, words, all_targets=config.targets == "all"))
    kept = _fitting(encoded, config.block_size)
    with artifacts.create(
        folder.encoded, kind="encoded", config={}, parents=identity.parents
    ) as draft:
        Samples.write(kept, draft.path)


def _samples(data: artifacts.Artifact, text_format: chat.Format) -> list[Sample]:
    if data.kind == "s1k":
        examples = data.read("examples", Example)
        return [(row.question_id, segments_of(row, text_format)) for row in examples]
    if data.kind == "documents":
        return [(row.id, document_segments(row)) for row in data.read("documents", Document)]
    raise UserError(f"{data.path} holds {data.kind!r}, wanted 's1k' or 'documents'; fix --data")


def _fitting(encoded: list[TokenizedExample], block_size: int) -> list[TokenizedExample]:
    """Drop what is longer than a row or has nothing to learn; refuse when nothing is left."""
    short = [sample for sample in encoded if len(sample.input_ids) <= block_size]
    if len(short) < len(encoded):
        _say(f"dropped {len(encoded) - len(short)} samples of more than {block_size} tokens")
    if not short:
        raise UserError(f"no sample fits block_size {block_size}; raise it or shorten the traces")
    kept = [sample for sample in short if sample.num_targets]
    if len(kept) < len(short):
        _say(f"dropped {len(short) - len(kept)} samples without a target token")
    if not kept:
        raise UserError("no sample has a target token; check --data and --targets")
    return kept


def finish(folder: RunFolder, num_steps: int) -> None:
    """Draw the curve and mark the run as finished."""
    last = checkpoints.newest(folder.checkpoints)
    assert last is not None and last.config["step"] == num_steps, "the last step saves"
    curve.draw(folder.metrics, folder.curve, title=f"{folder.path.name}: {num_steps} steps")
    write_json(
        folder.finished,
        {
            "step": num_steps,
            "loss": last.config["loss"],
            "checkpoint": str(last.path.relative_to(folder.path)),
            "sha256": last.sha256,
        },
    )
    _say(f"finished: {folder.path} ({num_steps} steps, loss {last.config['loss']:.4f})")


def _announce(job: Job, samples: Samples, num_steps: int, busy: float) -> None:
    where = f"from step {job.resumed_step} of {num_steps}" if job.resume else f"{num_steps} steps"
    _say(
        f"{len(samples):,} samples, {sum(samples.lengths):,} tokens,"
        f" {sum(samples.num_targets):,} targets; {where}; rank balance {busy:.0%}"
    )


def _say(text: str) -> None:
    cli.console().print(text, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    cli.run(TrainConfig, main, package="train")
