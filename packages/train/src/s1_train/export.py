"""`python -m s1_train.export`: the last checkpoint of a run as a Hugging Face folder.

Owns the form of a model artifact: bf16 safetensors, tokenizer, chat template, generation config,
card, and in the manifest the ids an engine needs. Refuses a folder whose logits are not those
of the checkpoint.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import artifacts, chat, cli
from s1_core.errors import S1Error, UserError
from s1_train import tokenizer
from s1_train.config import ExportConfig, TrainConfig
from s1_train.encoding import Samples
from s1_train.net import weights
from s1_train.runs import checkpoints
from s1_train.runs.folder import Identity, RunFolder, read_json
from s1_train.runs.job import Job

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

TOLERANCE = 1e-4
"""largest difference of logits in fp32 between the folder and the rounded checkpoint"""


def main(config: ExportConfig) -> None:
    """Export unless the model is there already."""
    folder = RunFolder(config.run)
    identity, checkpoint = _finished(folder)
    job = Job.read(folder.job)
    manifest = describe(job.config, identity, folder, checkpoint)
    parents = identity.parents | {"checkpoint": checkpoint.sha256}
    if artifacts.is_current(config.out, kind="model", config=manifest, parents=parents):
        _say(f"up to date: {config.out}")
        return
    with artifacts.create(config.out, kind="model", config=manifest, parents=parents) as draft:
        rounding = _write_network(job, checkpoint.path, folder, draft.path)
        _write_texts(draft, folder, manifest)
    _say(
        f"exported: {config.out} (step {manifest['step']}; rounding moves logits by {rounding:.2g})"
    )


def _finished(folder: RunFolder) -> tuple[Identity, artifacts.Artifact]:
    identity = folder.identity()
    if identity is None or not folder.finished.is_file():
        raise UserError(f"{folder.path} holds no finished run; run s1_train.fit to its end first")
    name = read_json(folder.finished)["checkpoint"]
    return identity, artifacts.load(folder.path / name, kind=checkpoints.KIND)


def describe(
    config: TrainConfig, identity: Identity, folder: RunFolder, checkpoint: artifacts.Artifact
) -> dict[str, Any]:
    """Say what the manifest says of the model: format, ids, origin, recipe."""
    words = tokenizer.load(folder.tokenizer, chat.format_named(config.format))
    return {
        "format": config.format,
        "base": identity.recipe["base"],
        "base_revision": config.base_revision,
        "step": checkpoint.config["step"],
        "recipe": identity.recipe,
        **artifacts.plain(tokenizer.token_ids(words)),
    }


def _write_network(job: Job, checkpoint: Path, folder: RunFolder, out: Path) -> float:
    """Write config and weights, check them, and say how far rounding to bf16 moves a logit."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    base = Path(job.base) if job.base else None
    network = weights.build(job.config.model, job.vocab_size, base)
    network.load_state_dict(_state(checkpoint / checkpoints.STATE))
    sample = Samples(folder.encoded)[0]
    exact = _logits(network, sample.input_ids)
    _cast(network, torch.bfloat16)
    network.config.use_cache = True
    try:
        network.save_pretrained(out)
    except SafetensorError as error:  # not an OSError, also where the disk is full
        raise UserError(
            f"cannot write to {out.parent}: {error}; mend that and run again"
        ) from error
    _cast(network, torch.float32)
    rounded = _logits(network, sample.input_ids)
    written = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    difference = float((_logits(written, sample.input_ids) - rounded).abs().max())
    if not difference <= TOLERANCE:
        raise S1Error(
            f"the exported logits differ from the checkpoint's by {difference:.2g},"
            f" wanted at most {TOLERANCE}; nothing was exported"
        )
    return float((exact - rounded).abs().max())


def _cast(network: PreTrainedModel, dtype: torch.dtype) -> None:
    """Cast the weights alone: rotary frequencies in bf16 would move every logit."""
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype)
    network.config.dtype = dtype


def _state(path: Path) -> dict[str, Tensor]:
    import torch

    prefix = "loss_network.network."
    state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]
    return {name.removeprefix(prefix): value for name, value in state.items()}


def _logits(network: PreTrainedModel, input_ids: Any) -> Tensor:
    import torch

    ids_1N = torch.from_numpy(input_ids.astype("int64"))[None]
    with torch.inference_mode():
        logits: Tensor = network(input_ids=ids_1N, cu_seqlens=(0, ids_1N.shape[1])).logits
    return logits


def _write_texts(draft: artifacts.Draft, folder: RunFolder, manifest: dict[str, Any]) -> None:
    """Write tokenizer, chat template, generation config and card, and check the tokenizer."""
    text_format = chat.format_named(manifest["format"])
    tokenizer.copy(folder.tokenizer, draft.path)
    draft.write_text("chat_template.jinja", chat.chat_template(text_format))
    generation = {
        "do_sample": False,
        "eos_token_id": manifest["stop_token_ids"],
        "pad_token_id": manifest["pad_token_id"],
    }
    draft.write_text("generation_config.json", json.dumps(generation, indent=1) + "\n")
    config = read_json(draft.path / "config.json")
    config |= {"bos_token_id": None, "eos_token_id": manifest["eos_token_id"]}
    config |= {"pad_token_id": manifest["pad_token_id"]}
    draft.write_text("config.json", json.dumps(config, indent=1, sort_keys=True) + "\n")
    draft.write_text("README.md", _card(manifest))
    _check_tokenizer(draft.path, text_format)


def _check_tokenizer(model: Path, text_format: chat.Format) -> None:
    """Refuse a folder that transformers would tokenize otherwise than training did."""
    from transformers import AutoTokenizer

    text = chat.generation_prompt(text_format, "How many r in raspberry? 12 + 3.5 = x\n\n  ok")
    ours = tokenizer.load(model, text_format).encode(text, add_special_tokens=False).ids
    theirs = AutoTokenizer.from_pretrained(model).encode(text, add_special_tokens=False)
    if list(ours) != list(theirs):
        raise S1Error(
            "transformers gives other token ids than the tokenizer used in training;"
            " a model of type qwen2 needs a byte-level BPE with Qwen2's word rule"
        )


def _card(manifest: dict[str, Any]) -> str:
    recipe = manifest["recipe"]
    flat = {
        **{key: value for key, value in recipe.items() if not isinstance(value, dict)},
        **{f"optimiser.{key}": value for key, value in recipe["optimiser"].items()},
    }
    rows = "\n".join(f"| {key} | {value} |" for key, value in sorted(flat.items()))
    return (
        f"# s1 model from {manifest['base']}\n\n"
        f"Supervised fine-tuning on an s1k artifact, {manifest['step']} optimiser steps; text"
        f" format `{manifest['format']}`. manifest.json names the parents by hash. The chat"
        " template opens the thinking; an engine may force its length.\n\n"
        f"| recipe | |\n|---|---|\n{rows}\n"
    )


def _say(text: str) -> None:
    cli.console().print(text, highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    cli.run(ExportConfig, main, package="train")
