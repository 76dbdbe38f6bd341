"""The parts of the export, each against the library whose format it reads or writes."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, Qwen2ForCausalLM

from s1_core import artifacts
from s1_core.errors import S1Error, UserError
from s1_core.parity import Parity, read
from s1_train.config import ModelShape
from s1_train.model import parity, shards, skeleton
from s1_train.model.tensors import ModelFolder
from s1_train.model.zero import ZeroPartitions

SMALL: dict[str, Any] = {
    "vocab_size": 99,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "pad_token_id": 0,
}
SAMPLE = np.arange(3, 24, dtype=np.int32)
IDS = torch.from_numpy(SAMPLE).long()[None]


def random_network(kind: str, **fields: Any) -> Any:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **SMALL | fields)).eval()


def folder_of(network: Any, folder: Path) -> Path:
    network.save_pretrained(folder)
    return folder


def exact(folder: Path) -> Callable[[list[str]], dict[str, Tensor]]:
    return partial(ModelFolder(folder).read, dtype=torch.float32)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("qwen2", {"tie_word_embeddings": True}),
        ("qwen2", {"tie_word_embeddings": False}),
        ("qwen3", {"head_dim": 16}),
        ("llama", {}),
        ("gpt2", {}),
    ],
    ids=["qwen2, tied", "qwen2, untied", "qwen3", "llama", "gpt2"],
)
def test_logits_block_by_block_are_those_of_the_whole(
    kind: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    folder = folder_of(random_network(kind, **fields), tmp_path)
    network = skeleton.of_folder(folder)
    left_over = []

    def read(names: list[str]) -> dict[str, Tensor]:
        left_over.append(sum(p.numel() for p in network.parameters() if not p.is_meta))
        return exact(folder)(names)

    found = parity.logits(network, read, IDS)
    with torch.inference_mode():
        whole = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(IDS).logits
    assert torch.allclose(found, whole, atol=1e-6) and found.std() > 0.01
    assert len(left_over) >= 5 and set(left_over) == {0}, "one block at a time"


def test_a_weight_used_outside_its_block_is_said() -> None:
    class Direct(Qwen2ForCausalLM):
        def forward(self, input_ids: Tensor, **rest: Any) -> Any:
            hidden = self.model(input_ids, **rest).last_hidden_state
            return SimpleNamespace(logits=torch.nn.functional.linear(hidden, self.lm_head.weight))

    network = Direct(AutoConfig.for_model("qwen2", **SMALL)).eval()
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(S1Error, match="Direct cannot be computed block by block"):
        parity.logits(network, lambda names: {name: weights[name] for name in names}, IDS)


@pytest.fixture
def checked(tmp_path: Path) -> tuple[Callable[[], Parity], Path]:
    """Write the bf16 of a network; give the check of it against the fp32, and the folder."""
    checkpoint = folder_of(random_network("qwen2"), tmp_path / "fp32")
    network = skeleton.build(ModelShape(), 99, checkpoint)
    written = tmp_path / "written"
    network.config.save_pretrained(written)
    tensors = ModelFolder(checkpoint)
    shards.write(tensors, skeleton.written_names(network), written, shard_mb=1)
    return partial(parity.check, network, tensors, written, SAMPLE), written


def test_the_check_passes_and_says_how_far_rounding_moves_a_logit(
    checked: tuple[Callable[[], Parity], Path],
) -> None:
    check, written = checked
    found = check()
    assert found.max_difference <= found.tolerance < found.rounding < 1e-1
    assert found.num_tokens == len(SAMPLE)
    (written / "parity.json").write_text(found.text)
    assert read(written).rounding == pytest.approx(found.rounding, rel=0.05)


def test_another_weight_or_config_is_refused(checked: tuple[Callable[[], Parity], Path]) -> None:
    check, written = checked
    config, weights = written / "config.json", written / "model.safetensors"
    good = config.read_text()
    config.write_text(good.replace('"rms_norm_eps": 1e-06', '"rms_norm_eps": 1e-02'))
    assert config.read_text() != good
    with pytest.raises(S1Error, match=r"logits differ .* nothing was exported"):
        check()
    config.write_text(good)
    changed = load_file(weights)
    changed["model.layers.1.mlp.up_proj.weight"][0] += 0.1
    save_file(changed, weights, metadata={"format": "pt"})
    with pytest.raises(S1Error, match=r"logits differ .* nothing was exported"):
        check()


def test_files_of_a_bounded_size_hold_the_model_of_one_file(tmp_path: Path) -> None:
    base = artifacts.embedded()
    tensors = ModelFolder(base)
    for name, shard_mb in (("one", 100), ("several", 1)):
        (tmp_path / name).mkdir()
        shards.write(tensors, list(tensors.shapes), tmp_path / name, shard_mb)
        (tmp_path / name / "config.json").write_bytes((base / "config.json").read_bytes())
    assert [path.name for path in sorted((tmp_path / "one").iterdir())] == [
        "config.json",
        "model.safetensors",
    ]
    files = sorted((tmp_path / "several").glob("*.safetensors"))
    assert [path.name for path in files] == [
        f"model-{n:05d}-of-{len(files):05d}.safetensors" for n in range(1, len(files) + 1)
    ]
    assert len(files) > 1 and all(path.stat().st_size < 1.01e6 for path in files)
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files), "anybody may read them"
    one, several = (
        AutoModelForCausalLM.from_pretrained(tmp_path / name) for name in ("one", "several")
    )
    assert one.dtype == torch.bfloat16
    for name, value in several.state_dict().items():
        assert torch.equal(value, one.state_dict()[name]), name


def test_a_base_other_than_it_was(tmp_path: Path) -> None:
    base = folder_of(random_network("qwen2"), tmp_path / "base")
    network = skeleton.build(ModelShape(), 99, base)
    other = folder_of(random_network("qwen2", intermediate_size=64), tmp_path / "other")
    with pytest.raises(UserError, match=r"mlp\.gate_proj\.weight.* are not those of the network"):
        skeleton.check(network, ModelFolder(other).shapes)
    skeleton.check(network, ModelFolder(base).shapes)


def test_a_model_whose_files_use_other_names_is_refused(tmp_path: Path) -> None:
    kind = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
    base = folder_of(random_network("qwen3_moe", **kind), tmp_path)
    network = skeleton.build(ModelShape(), 99, base)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match="qwen3_moe lie in files under other names"):
        skeleton.check(network, shapes)


SHAPES = [
    {"network.a": torch.Size([7, 5]), "network.b": torch.Size([3])},
    {"network.c": torch.Size([2, 2, 3]), "network.d": torch.Size([1]), "network.e": (11, 3)},
]
PADDINGS = [[1, 0], [0, 7, 3]]


def write_zero(folder: Path, stage: int, num_ranks: int) -> Path:
    """Lay out random weights as DeepSpeed does, in groups, for any number of processes."""
    inside = folder / "checkpoint"
    inside.mkdir(parents=True)
    (folder / "latest").write_text("checkpoint")
    groups = [{name: torch.Size(shape) for name, shape in group.items()} for group in SHAPES]
    sizes = [[shape.numel() for shape in group.values()] for group in groups]
    state: dict[str, Any] = {"zero_stage": stage, "partition_count": num_ranks}
    if stage == 2:
        state["param_alignment_paddings"] = PADDINGS
        totals = [sum(s) + sum(p) for s, p in zip(sizes, PADDINGS, strict=True)]
        unit = 2 * num_ranks
        lengths, key = [unit * math.ceil(t / unit) // num_ranks for t in totals], vectors_key(2)
    else:
        parts = [math.ceil(size / num_ranks) for group in sizes for size in group]
        lengths, key = [sum(parts[:3]), sum(parts[3:])], vectors_key(3)  # not where a group ends
    for rank in range(num_ranks):
        state[key] = [torch.randn(length) for length in lengths]
        name = f"zero_pp_rank_{rank}_mp_rank_00"
        torch.save({"optimizer_state_dict": dict(state)}, inside / f"{name}_optim_states.pt")
        described = {"buffer_names": [], "module": {}, "param_shapes": groups, "shared_params": {}}
        if stage == 3 or rank == 0:
            model = name if stage == 3 else "mp_rank_00"
            torch.save(described, inside / f"{model}_model_states.pt")
    return folder


def vectors_key(stage: int) -> str:
    return "single_partition_of_fp32_groups" if stage == 2 else "fp32_flat_groups"


@pytest.mark.parametrize("num_ranks", [1, 3, 12])
@pytest.mark.parametrize("stage", [2, 3])
def test_zero_partitions_are_read_as_deepspeed_reads_them(
    stage: int, num_ranks: int, tmp_path: Path
) -> None:
    torch.manual_seed(num_ranks)
    folder = write_zero(tmp_path, stage, num_ranks)
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    wanted = get_fp32_state_dict_from_zero_checkpoint(str(folder))
    partitions = ZeroPartitions(folder)
    found = partitions.read(reversed(list(partitions.shapes)), torch.float32)
    assert {f"network.{name}" for name in found} == wanted.keys() == set().union(*SHAPES)
    for name, value in found.items():
        assert torch.equal(value, wanted[f"network.{name}"]), name
    (rounded,) = partitions.read(["e"], torch.bfloat16).values()
    assert torch.equal(rounded, found["e"].bfloat16())
