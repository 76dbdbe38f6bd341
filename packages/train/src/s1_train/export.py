"""`python -m s1_train.export`: the last checkpoint of a run as a Hugging Face folder.

Owns what the manifest of a model artifact says, and the order of the work: config, weights, texts,
parity. Memory holds one output file and one block of the network, whatever the model's size.
"""

from __future__ import annotations

import ctypes
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import artifacts, chat, cli
from s1_core.errors import UserError
from s1_core.parity import FILE as PARITY
from s1_core.parity import Parity
from s1_train import tokenizer
from s1_train.config import ExportConfig
from s1_train.encoding import Samples
from s1_train.runs import checkpoints
from s1_train.runs.folder import Identity, RunFolder, read_json
from s1_train.runs.inputs import STEPS
from s1_train.runs.job import Job

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_SAMPLE = 128
"""tokens whose logits are compared; with 152,064 entries they take 78 MB"""

_M_MMAP_THRESHOLD = -3


def main(config: ExportConfig) -> None:
    """Export unless the model is there already."""
    run = FinishedRun.open(config.run)
    identity: dict[str, Any] = {"kind": run.kind, "config": run.manifest, "parents": run.parents}
    is_current = artifacts.is_current(config.out, **identity)
    if is_current and (Path(config.out) / PARITY).is_file():  # earlier exports did not leave it
        cli.say(f"up to date: {config.out}")
        return
    state = run.verified_state()
    _return_freed_memory()
    with artifacts.create(config.out, **identity) as draft:
        found = _write(draft, run, state, config.shard_mb)
        draft.write_text(PARITY, found.text)
    moved = f"rounding moves logits by {found.rounding:.2g}"
    cli.say(f"exported: {config.out} (step {run.step}; {moved})")


@dataclass(frozen=True)
class FinishedRun:
    """A run and how it ended, as it says itself: nothing large is read."""

    folder: RunFolder
    identity: Identity
    job: Job
    checkpoint: str
    sha256: str
    step: int
    loss: float

    @staticmethod
    def open(path: Path) -> FinishedRun:
        """Read it; a run that has not ended is a UserError."""
        folder = RunFolder(path)
        identity = folder.identity()
        if identity is None or not folder.finished.is_file():
            raise UserError(
                f"{folder.path} holds no finished run; run s1_train.fit to its end first"
            )
        end = read_json(folder.finished)
        return FinishedRun(
            folder=folder,
            identity=identity,
            job=Job.read(folder.job),
            checkpoint=end["checkpoint"],
            sha256=end["sha256"],
            step=end["step"],
            loss=end["loss"],
        )

    @property
    def is_reward(self) -> bool:
        """Say whether it learnt to score steps, not to answer."""
        return STEPS in self.identity.parents

    @property
    def kind(self) -> str:
        """Name the artifact that it becomes."""
        return "reward" if self.is_reward else "model"

    @property
    def parents(self) -> dict[str, str]:
        """Name what the model was made from, by manifest hash."""
        return self.identity.parents | {"checkpoint": self.sha256}

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Say what the manifest says of the model: format, length control, ids, origin, recipe."""
        config = self.job.config
        words = tokenizer.load(self.folder.tokenizer, chat.format_named(config.format))
        labels = {"label_ids": list(tokenizer.label_ids(words))} if self.is_reward else {}
        return {
            "format": config.format,
            "control": config.control,
            **labels,
            "base": self.identity.recipe["base"],
            "base_revision": config.base_revision,
            "step": self.step,
            "recipe": self.identity.recipe,
            **artifacts.plain(tokenizer.token_ids(words)),
        }

    def verified_state(self) -> Path:
        """Check the hashes of the checkpoint and give the state in it."""
        found = artifacts.load(self.folder.path / self.checkpoint, kind=checkpoints.KIND)
        if found.sha256 != self.sha256:
            raise UserError(f"{found.path} is not the checkpoint this run ended with; train again")
        return found.path / checkpoints.STATE


def _write(draft: artifacts.Draft, run: FinishedRun, state: Path, shard_mb: int) -> Parity:
    """Write and check the model; give what the check found."""
    from s1_train.model import parity, reward, shards, skeleton, tensors, texts

    weights = tensors.of_checkpoint(state)
    network = skeleton.build(run.job.config.model, run.job.vocab_size, run.folder.base)
    skeleton.check(network, weights.shapes)
    names = skeleton.written_names(network)
    architecture = type(network).__name__
    if run.is_reward:
        weights = scored = reward.WithScores(weights, network, run.manifest["label_ids"])
        names, architecture = [*names, *scored.names], reward.ARCHITECTURE
    _write_config(draft, network, architecture, run.manifest)
    shards.write(weights, names, draft.path, shard_mb)
    sample = Samples(run.folder.encoded)[0].input_ids[:_SAMPLE]
    with cli.working("export, comparing logits"):
        found = parity.check(network, weights, draft.path, sample)
    texts.write(draft, run.folder.tokenizer, run.manifest, _facts(run))
    return found


def _write_config(
    draft: artifacts.Draft, network: PreTrainedModel, architecture: str, manifest: dict[str, Any]
) -> None:
    """Write config.json, with the ids of the manifest."""
    network.config.save_pretrained(draft.path)
    config = read_json(draft.path / "config.json") | {
        "architectures": [architecture],
        "dtype": "bfloat16",
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": manifest["eos_token_id"],
        "pad_token_id": manifest["pad_token_id"],
    }
    draft.write_text("config.json", json.dumps(config, indent=1, sort_keys=True) + "\n")


def _return_freed_memory() -> None:
    """Have glibc hand memory back when a tensor is freed.

    It keeps pieces below 32 MB for later: 120 MB of them with a model of 250M parameters.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # there is none in another libc
        mallopt(_M_MMAP_THRESHOLD, 1 << 20)


def _facts(run: FinishedRun) -> dict[str, Any]:
    hashes = {f"parent {name}": f"`{sha256}`" for name, sha256 in sorted(run.parents.items())}
    return {"final loss": f"{run.loss:.4f}", **hashes}


if __name__ == "__main__":
    cli.run(ExportConfig, main, package="train")
