"""Everything s1_train.fit and s1_train.export can be told. Imports no torch: `--help` is quick.

What shapes the weights is the recipe and is stored with the run; what only places the work
(`RUN_ONLY`) may change from one resume to the next.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from s1_core.errors import require

ConfigT = TypeVar("ConfigT")
LOGGERS = ("tensorboard", "mlflow", "wandb")
_HEAD_SIZES = (32, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """A Qwen2 model from scratch; read only with `--base none`."""

    hidden_size: int = 128
    intermediate_size: int = 344
    num_layers: int = 4
    num_heads: int = 4
    num_kv_heads: int = 4
    max_positions: int = 4096
    rope_theta: float = 10_000.0
    tie_embeddings: bool = True

    def __post_init__(self) -> None:
        require(self.hidden_size % self.num_heads == 0, "model.num_heads must divide hidden_size")
        require(self.num_heads % self.num_kv_heads == 0, "model.num_kv_heads must divide num_heads")
        size = self.hidden_size // self.num_heads
        require(
            size in _HEAD_SIZES,
            f"model.hidden_size / num_heads is {size}; vLLM on a CPU fails unless it is one of"
            f" {', '.join(map(str, _HEAD_SIZES))}",
        )


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """Which tokenizer goes beside a model from scratch; otherwise it is the base model's own."""

    train: bool = False
    """learn a byte-level BPE on the texts of --data"""
    vocab_size: int = 4096
    """with train: entries, special tokens included"""
    phrases: bool = False
    """hold every byte and the phrases listed in phrases.json of --data, and nothing else"""
    path: Path | None = None
    """otherwise: folder holding the tokenizer of a model from scratch"""

    def __post_init__(self) -> None:
        require(self.vocab_size >= 300, "tokenizer.vocab_size must be at least 300 (256 bytes)")
        require(self.num_sources <= 1, "tokenizer.train, phrases and path exclude each other")

    @property
    def num_sources(self) -> int:
        """Count the ways named here to come by a tokenizer."""
        return self.train + self.phrases + (self.path is not None)


@dataclass(frozen=True, kw_only=True)
class OptimiserConfig:
    """AdamW, or Muon for the hidden matrices with AdamW for the rest; one schedule for both."""

    name: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-5
    """peak learning rate of AdamW"""
    muon_lr: float = 0.02
    beta1: float = 0.9
    beta2: float = 0.95
    weight_decay: float = 1e-4
    muon_momentum: float = 0.95
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup_fraction: float = 0.05
    """share of all steps, rounded up"""
    final_fraction: float = 0.0
    """learning rate at the last step, as a share of the peak"""
    clip_norm: float = 1.0

    def __post_init__(self) -> None:
        require(self.lr > 0 and self.muon_lr > 0, "optimiser.lr and muon_lr must be above 0")
        require(0 <= self.warmup_fraction < 1, "optimiser.warmup_fraction must be in [0, 1)")
        require(0 <= self.final_fraction <= 1, "optimiser.final_fraction must be in [0, 1]")
        require(self.clip_norm > 0, "optimiser.clip_norm must be above 0")


@dataclass(frozen=True, kw_only=True)
class CheckpointConfig:
    """When progress is saved and how much of it is kept."""

    every_steps: int = 50
    every_minutes: float = 10.0
    keep: int = 2

    def __post_init__(self) -> None:
        require(self.every_steps > 0, "checkpoints.every_steps must be at least 1")
        require(self.every_minutes > 0, "checkpoints.every_minutes must be above 0")
        require(self.keep > 0, "checkpoints.keep must be at least 1")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Fine-tune a base model, or train one from scratch, on an s1k artifact."""

    RUN_ONLY: ClassVar[tuple[str, ...]] = (
        "data", "base", "out", "on_change", "nodes", "node_rank", "rendezvous", "devices",
        "micro_tokens", "loss_chunk", "checkpoints", "activation_checkpointing", "log_every",
        "loggers", "stop_grace_s", "join_timeout_s", "max_loss_ratio",
    )  # fmt: skip

    data: Path
    """the s1k artifact"""
    out: Path
    """folder of the run; the same command goes on where it stopped"""
    base: str = "embedded"
    """embedded | a model folder | a Hugging Face model name | none (from scratch)"""
    base_revision: str | None = None
    """commit of a Hugging Face model"""
    on_change: Literal["refuse", "restart"] = "refuse"
    """what to do when --out holds a run of another recipe or other data"""
    format: str = "s1"
    """text format, one of s1_core.chat"""
    control: Literal["none", "tokens", "steps"] = "none"
    """sentence behind each question that says how long to think: the trace's tokens or steps,
    rounded up to a power of two (paper, section 5.2: token- and step-conditional control)"""
    step_unit: Literal["paragraph", "line"] = "paragraph"
    """what one step of a trace is, where steps are counted"""
    targets: Literal["completion", "all"] = "completion"
    """tokens that carry loss: from the thinking header on, or every token"""
    mode: Literal["paper", "packed"] = "paper"
    """what a row of a batch is: one sample, or samples packed to block_size tokens"""
    batch_size: int = 16
    """rows an optimiser step, over all processes"""
    block_size: int = 32_768
    """longest sample; longer ones are dropped and counted"""
    epochs: int = 5
    max_steps: int = 0
    """stop after this many optimiser steps; 0 = all of them"""
    seed: int = 42
    precision: Literal["fp32", "bf16"] = "fp32"
    """type of the computation; weights and optimiser state always stay in fp32"""
    strategy: Literal["ddp", "fsdp2", "zero2", "zero3"] = "fsdp2"
    """ddp: whole state on every process; fsdp2: sharded by torch; zero2, zero3: DeepSpeed"""
    nodes: int = 1
    """machines that run this same command, each with its own node_rank"""
    node_rank: int = 0
    """number of this machine, from 0; machine 0 prepares the run and draws its card"""
    rendezvous: str = ""
    """host:port on machine 0 where the machines meet; needed with several nodes"""
    devices: int = 0
    """processes a node; 0 = every GPU, or at most two on a machine without one, as far as
    their number over all nodes divides batch_size"""
    micro_tokens: int = 8192
    """tokens a process takes through the model at a time; a longer row goes alone"""
    loss_chunk: int = 1024
    """targets whose logits exist at a time"""
    activation_checkpointing: bool = False
    """compute activations anew in the backward pass: less memory for a third more work"""
    max_loss_ratio: float = 10.0
    """stop when the loss of a step is this many times the median of the last 20"""
    loggers: tuple[str, ...] = ("tensorboard",)
    """any of tensorboard, mlflow, wandb; metrics.csv is always written"""
    log_every: int = 20
    """steps between two lines when there is no terminal"""
    stop_grace_s: float = 120.0
    """time for a checkpoint after SIGTERM; where only some processes hear it, torch gives the
    others 30 s once the first have saved and gone"""
    join_timeout_s: float = 900.0
    """time for all machines to come; machine 0 comes once data, base model and checkpoint are
    checked, which takes minutes where a checkpoint has hundreds of GB"""
    model: ModelShape = field(default_factory=ModelShape)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    checkpoints: CheckpointConfig = field(default_factory=CheckpointConfig)

    def __post_init__(self) -> None:
        require(self.batch_size > 0, "batch_size must be at least 1")
        require(self.block_size > 1, "block_size must be at least 2")
        require(self.epochs > 0, "epochs must be at least 1")
        require(
            self.max_steps >= 0 and self.devices >= 0, "max_steps and devices cannot be below 0"
        )
        require(self.log_every > 0 and self.micro_tokens > 0, "log_every, micro_tokens: at least 1")
        require(
            (self.tokenizer.num_sources == 1) == (self.base == "none"),
            "tokenizer.train, phrases or path belongs to --base none, and only to it",
        )
        require(self.loss_chunk > 0, "loss_chunk must be at least 1")
        require(self.max_loss_ratio > 1, "max_loss_ratio must be above 1")
        unknown = sorted(set(self.loggers) - set(LOGGERS))
        require(not unknown, f"unknown loggers {unknown}; valid are {', '.join(LOGGERS)}")
        require(0 <= self.node_rank < self.nodes, "node_rank must be in [0, nodes)")
        require(
            self.nodes == 1 or _is_address(self.rendezvous),
            "several nodes need --rendezvous host:port, a free port on machine 0, not"
            f" {self.rendezvous!r}",
        )
        require(
            (self.control == "steps") == (self.format == "s1-steps"),
            "control steps belongs to format s1-steps, and only to it",
        )
        require(
            self.strategy == "ddp" or self.optimiser.name == "adamw",
            "muon needs whole matrices; use strategy ddp with it",
        )


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """Write a model artifact from a finished run."""

    run: Path
    """folder that s1_train.fit wrote"""
    out: Path
    """folder of the model artifact"""
    shard_mb: int = 4096
    """largest safetensors file, in MB; about as much memory is needed besides"""

    def __post_init__(self) -> None:
        require(self.shard_mb > 0, "shard_mb must be at least 1")


def from_plain(cls: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Rebuild a configuration from the JSON that `artifacts.plain` made of it."""
    hints = get_type_hints(cls)
    names = [item.name for item in fields(cls)]  # type: ignore[arg-type]
    return cls(**{name: _typed(hints[name], values[name]) for name in names})


def _typed(hint: Any, value: Any) -> Any:
    if isinstance(hint, type) and is_dataclass(hint):
        return from_plain(hint, value)
    if isinstance(value, list):
        return tuple(value)
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return Path(value) if Path in parts and value is not None else value
