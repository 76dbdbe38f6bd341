"""The exported folder is a whole model: for transformers, for an engine, and as the next base."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from integration.train.verbs import SCRATCH, done, metrics, run
from s1_core import artifacts, chat
from s1_train import tokenizer
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


def test_manifest_and_generation_config_hold_the_same_ids(model: Path) -> None:
    artifact = artifacts.load(model, kind="model")
    generation = json.loads((model / "generation_config.json").read_text())
    assert artifact.config["stop_token_ids"] == generation["eos_token_id"]
    assert artifact.config["pad_token_id"] == generation["pad_token_id"]
    assert "repetition_penalty" not in generation
    assert (artifact.config["format"], artifact.config["step"]) == ("s1", 39)
    assert artifact.config["recipe"]["optimiser"]["lr"] == 3e-3
    assert set(artifact.parents) == {"s1k", "checkpoint"}
    assert "bfloat16" in (model / "config.json").read_text()


def test_a_current_model_is_left_alone_at_once(model: Path, trained: Path) -> None:
    began = time.monotonic()
    again = done("--run", trained, "--out", model, module="export")
    assert again.stderr.strip() == f"up to date: {model}"
    assert time.monotonic() - began < 3


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
