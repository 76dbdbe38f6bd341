"""`python -m s1_train.fit`: checks and prepares a run, launches its processes, writes its card.

Everything a user can have got wrong is found here, before torch is imported anywhere.
"""

from __future__ import annotations

from s1_core import chat, cli
from s1_train import tokenizer
from s1_train.config import TrainConfig
from s1_train.launch import launcher
from s1_train.packing import balance
from s1_train.runs import card, checkpoints, encoded
from s1_train.runs.folder import RunFolder, write_json
from s1_train.runs.inputs import Inputs
from s1_train.runs.job import Job


def main(config: TrainConfig) -> None:
    """Bring the run in `config.out` to its end, from wherever it stands."""
    inputs = Inputs.find(config)
    folder = RunFolder(config.out)
    if folder.is_finished(inputs.identity):
        cli.say(f"up to date: {folder.path}")
        return
    num_ranks = launcher.num_processes(config)
    if config.node_rank:
        cli.say(f"machine {config.node_rank} of {config.nodes}, led by {config.rendezvous}")
        launcher.run(folder, config, inputs.base_folder)
        return
    with folder.locked():
        folder.claim(inputs.identity, config.on_change)
        job, num_steps = prepare(inputs, folder, num_ranks)
        if job.resumed_step < num_steps:
            launcher.run(folder, config, inputs.base_folder)
        finish(folder, num_steps)


def prepare(inputs: Inputs, folder: RunFolder, num_ranks: int) -> tuple[Job, int]:
    """Write encoded samples and job; give the job and the number of steps of the whole run."""
    samples = encoded.ensure(inputs, folder)
    folder.checkpoints.mkdir(exist_ok=True)
    checkpoints.clear_remains(folder.checkpoints)
    good = checkpoints.newest(folder.checkpoints)
    if good:
        checkpoints.check_ranks(good, inputs.config.strategy, num_ranks)
    words = tokenizer.load(folder.tokenizer, chat.format_named(inputs.config.format))
    job = Job(
        config=inputs.config,
        parents=inputs.identity.parents,
        vocab_size=words.get_vocab_size(),
        resume=good.path.name if good else None,
        resumed_step=good.config["step"] if good else 0,
    )
    job.write(folder.job)
    inputs.write_config(folder.config)
    steps = job.steps(samples.lengths)
    since = f"from step {job.resumed_step} of {len(steps)}" if good else f"{len(steps)} steps"
    cli.say(
        f"{len(samples):,} samples, {sum(samples.lengths):,} tokens,"
        f" {sum(samples.num_targets):,} targets; {since} on {num_ranks} process(es),"
        f" {balance(steps, samples.lengths, num_ranks):.0%} busy by tokens"
    )
    return job, len(steps)


def finish(folder: RunFolder, num_steps: int) -> None:
    """Write the card and mark the run as finished."""
    last = checkpoints.newest(folder.checkpoints)
    assert last is not None and last.config["step"] == num_steps, "the last step saves"
    card.write(folder)
    write_json(
        folder.finished,
        {
            "step": num_steps,
            "loss": last.config["loss"],
            "checkpoint": str(last.path.relative_to(folder.path)),
            "sha256": last.sha256,
        },
    )
    cli.say(f"finished: {folder.path} ({num_steps} steps, loss {last.config['loss']:.4f})")


if __name__ == "__main__":
    cli.run(TrainConfig, main, package="train", recipe="tiny")
