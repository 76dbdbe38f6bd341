"""The exported folder is a whole model: for transformers, for an engine, and as the next base."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from transformers import AutoModelForCausalLM, AutoTokenizer

from integration.train.verbs import SCRATCH, done, metrics, run
from s1_core import artifacts, chat, parity
from s1_core.errors import UserError
from s1_train import export, tokenizer
from s1_train.config import ExportConfig
from s1_train.encoding import Samples

pytestmark = pytest.mark.multiprocess
S1 = chat.FORMATS["s1"]


def test_transformers_loads_it_with_the_same_ids(model: Path) -> None:
    ours, theirs = tokenizer.load(model, S1), AutoTokenizer.from_pretrained(model)
    text = "".join(part.text for part in chat.render(S1, "Étude: 12 + 3.5?\n\n  ok", "a b", "15.5"))
    assert theirs.encode(text, add_special_tokens=False) == ours.encode(text).ids
    messages = [{"role": "user", "content": "What is 2 + 3?"}]
    prompt = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert prompt == chat.generation_prompt(S1, "What is 2 + 3?")
    assert theirs.pad_token == chat.PAD and theirs.eos_token == chat.TURN_END


def test_logits_are_those_of_the_checkpoint(model: Path, trained: Path) -> None:
    (checkpoint,) = (trained / "checkpoints").glob("step-00000039")
    state = torch.load(checkpoint / "state.ckpt", weights_only=True)["state_dict"]
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[f"loss_network.network.{name}"].bfloat16().float()), name
    sample = Samples(trained / "encoded")[3]
    with torch.inference_mode():
        logits = network(input_ids=torch.tensor(sample.input_ids.tolist())[None]).logits[0]
    labels = torch.tensor(sample.labels.tolist())
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert loss < 3.5, "it has learnt something: ln(400) is 6"


def kept_by(strategy: str, run_folder: Path, work: Path) -> dict[str, Tensor]:
    """Read the fp32 weights of the last checkpoint with the library that wrote it."""
    state = max((run_folder / "checkpoints").glob("step-*")) / "state.ckpt"
    if strategy == "ddp":
        weights = torch.load(state, weights_only=True)["state_dict"]
    elif strategy == "fsdp2":
        dcp_to_torch_save(state, work / "whole.pt")
        weights = torch.load(work / "whole.pt", weights_only=True)["state_dict"]
    else:
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
        from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

        weights = get_fp32_state_dict_from_zero_checkpoint(str(state))
    prefix = "network." if strategy.startswith("zero") else "loss_network.network."
    return {name.removeprefix(prefix): value for name, value in weights.items()}


def check_export(run_folder: Path, work: Path, *, is_tied: bool) -> None:
    """Export a run, and compare files, network and logits with what its checkpoint holds."""
    out = work / "model"
    export.main(ExportConfig(run=run_folder, out=out))
    strategy = json.loads((run_folder / "recipe.json").read_text())["recipe"]["strategy"]
    kept = kept_by(strategy, run_folder, work)
    with safe_open(out / "model.safetensors", framework="pt") as file:
        assert ("lm_head.weight" in file.keys()) == (not is_tied)  # noqa: SIM118
    written = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
    checkpoint = AutoModelForCausalLM.from_config(written.config)
    checkpoint.load_state_dict({name: t.bfloat16().float() for name, t in kept.items()})
    for name, value in written.state_dict().items():
        assert torch.equal(value, checkpoint.state_dict()[name]), name
    ids = torch.tensor(Samples(run_folder / "encoded")[3].input_ids.tolist())[None]
    with torch.inference_mode():
        assert torch.equal(written(ids).logits, checkpoint.eval()(ids).logits)
    head, embedding = checkpoint.lm_head.weight, checkpoint.model.embed_tokens.weight
    assert torch.equal(head, embedding) == is_tied


def test_a_sharded_run_is_exported_as_its_checkpoint_is(sharded: Path, tmp_path: Path) -> None:
    check_export(sharded, tmp_path, is_tied=True)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", "zero2", "zero3"])
def test_an_untied_head_is_exported(strategy: str, s1k: Path, tmp_path: Path) -> None:
    flags = (f"--strategy={strategy}", "--model.tie_embeddings=false", "--max_steps=3")
    done("--data", s1k, "--out", tmp_path / "run", *SCRATCH, "--devices=2", *flags)
    check_export(tmp_path / "run", tmp_path, is_tied=False)


def test_manifest_and_generation_config_hold_the_same_ids(model: Path) -> None:
    artifact = artifacts.load(model, kind="model")
    generation = json.loads((model / "generation_config.json").read_text())
    assert artifact.config["stop_token_ids"] == generation["eos_token_id"]
    assert artifact.config["pad_token_id"] == generation["pad_token_id"]
    assert "repetition_penalty" not in generation
    assert (artifact.config["format"], artifact.config["step"]) == ("s1", 39)
    assert artifact.config["recipe"]["optimiser"]["lr"] == 3e-3
    assert set(artifact.parents) == {"s1k", "checkpoint"}
    assert artifact.config["control"] == artifact.config["recipe"]["control"] == "none"
    config = json.loads((model / "config.json").read_text())
    assert config["dtype"] == "bfloat16" and config["use_cache"] is True
    assert config["architectures"] == ["Qwen2ForCausalLM"]


def test_the_card_says_what_it_is_and_how_to_use_it(model: Path, trained: Path) -> None:
    card, parents = (model / "README.md").read_text(), artifacts.load(model).parents
    end = json.loads((trained / "finished.json").read_text())
    for row in (
        "# s1 model from scratch",
        f"| final loss | {end['loss']:.4f} |",
        "| optimiser steps | 39 |",
        f"| parent s1k | `{parents['s1k']}` |",
        f"| parent checkpoint | `{end['sha256']}` |",
        "| length control | none |",
        "| optimiser.lr | 0.003 |",
        "AutoModelForCausalLM.from_pretrained",
        "just serve --model",
        "There is no base model whose licence would apply",
    ):
        assert row in card, row


def test_a_current_model_is_left_alone_at_once(model: Path, trained: Path) -> None:
    began = time.monotonic()
    again = done("--run", trained, "--out", model, module="export")
    assert again.stderr.strip() == f"up to date: {model}"
    assert time.monotonic() - began < 3


def test_the_checkpoint_is_read_only_where_it_is_needed(
    model: Path, trained: Path, tmp_path: Path
) -> None:
    """An answer costs no hashes of a checkpoint; an export from an altered one is refused."""
    pruned = tmp_path / "run"
    shutil.copytree(trained, pruned)
    (state,) = pruned.glob("checkpoints/step-00000039/state.ckpt")
    with state.open("ab") as stream:
        stream.write(b"x")
    export.main(ExportConfig(run=pruned, out=model))
    with pytest.raises(UserError, match=r"state\.ckpt was altered"):
        export.main(ExportConfig(run=pruned, out=tmp_path / "model"))
    assert not (tmp_path / "model").exists()


def test_the_model_says_how_far_it_is_from_its_checkpoint(
    model: Path, trained: Path, tmp_path: Path
) -> None:
    """An export that does not say so, as earlier ones, is made again."""
    found = parity.read(model)
    assert found.max_difference <= found.tolerance and 0 < found.rounding < 1
    assert 0 < found.num_tokens <= 128
    earlier = tmp_path / "model"
    manifest = json.loads((model / "manifest.json").read_text())
    config, parents = manifest["config"], manifest["parents"]
    with artifacts.create(earlier, kind="model", config=config, parents=parents) as draft:
        draft.write_text("config.json", "{}")
    with pytest.raises(UserError, match=r"no parity\.json: export it again"):
        parity.read(earlier)
    export.main(ExportConfig(run=trained, out=earlier))
    assert artifacts.load(earlier).sha256 == artifacts.load(model).sha256


def test_an_unfinished_run_is_refused(tmp_path: Path) -> None:
    refused = run("--run", tmp_path, "--out", tmp_path / "model", module="export")
    assert refused.returncode == 2 and "no finished run" in refused.stderr


def test_the_export_is_the_base_of_the_next_run(model: Path, s1k: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    tuning = ("--batch_size=8", "--epochs=1", "--max_steps=3", "--optimiser.lr=1e-3")
    done("--data", s1k, "--out", folder, "--base", model, *tuning)
    assert float(metrics(folder)[0][1]) < 3.5, "training begins where the base stopped"
    parents = json.loads((folder / "recipe.json").read_text())["parents"]
    assert parents["base"] == artifacts.load(model).sha256
    assert SCRATCH[0] == "--base=none"
    exported = tmp_path / "model"
    done("--run", folder, "--out", exported, module="export")
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (exported / name).read_bytes() == (model / name).read_bytes()
