"""Fine-tuning steps on samples of s1-like lengths: ours, a bare PyTorch loop, padding, and TRL.

TRL's arms are there when `trl` is installed. On a CPU it packs under a dense mask and so its packed
arm tells nothing of a GPU, where it has a kernel for packed rows as we do.
"""

import dataclasses
import functools
import importlib.util
from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence
from train import solo

from s1_train.config import ModelShape, OptimiserConfig, TrainConfig
from s1_train.encoding import IGNORE_INDEX, Samples, TokenizedExample
from s1_train.loader import ResumableLoader
from s1_train.module import FineTuning, LossNetwork
from s1_train.net import optimiser, weights
from s1_train.packing import Plan, Step

TITLE = "24 optimiser steps of 16 samples, 0.9M parameters (fp32, 1 process, 1 thread)"
PEER = "bare PyTorch loop, packed"
VOCAB, BATCH, STEPS = 512, 16, 24
REPEATS = 9  # on shared cores medians of 5 moved by 10 %
CHUNK = TrainConfig(data=Path(), out=Path()).loss_chunk


def arms() -> dict[str, Callable[[], object]]:
    """Every arm takes the same steps from the same weights; ours includes the Trainer's start."""
    torch.set_num_threads(1)
    samples = _samples()
    plan = Plan(mode="paper", batch_size=BATCH, block_size=1024, epochs=1, seed=0)
    steps = plan.steps(samples.lengths)
    peers = _peers(samples)
    solo.join_group()
    return {
        PEER: lambda: bare(samples, steps),
        "s1_train (Lightning, ddp)": lambda: ours(samples, steps),
        "bare PyTorch loop, padded": lambda: padded(samples, steps),
        **peers,
    }


def bare(samples: Samples, steps: list[Step]) -> None:
    """Take the steps with nothing around them."""
    network, opt = _network()
    for share in _loader(samples, steps):
        for micro in share.micro_batches:
            (network(micro) / share.num_targets).backward()
        _update(network, opt)


def padded(samples: Samples, steps: list[Step]) -> None:
    """Take the steps in passes of four samples, padded to the longest, as common scripts do."""
    network, opt = _network()
    network.network.set_attn_implementation("sdpa")
    for step in steps:
        chosen = [samples[index] for index in step.samples]
        num_targets = sum(sample.num_targets for sample in chosen)
        for start in range(0, BATCH, 4):
            part = chosen[start : start + 4]
            ids = _padded([sample.input_ids for sample in part], 0)
            labels = _padded([sample.labels for sample in part], IGNORE_INDEX)
            logits = network.network(input_ids=ids, use_cache=False).logits
            loss = cross_entropy(
                logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORE_INDEX, reduction="sum"
            )
            (loss / num_targets).backward()
        _update(network, opt)


def ours(samples: Samples, steps: list[Step]) -> None:
    """Take the steps as s1_train.fit does."""
    config = TrainConfig(data=Path(), out=Path(), strategy="ddp", optimiser=_recipe())
    torch.manual_seed(0)
    start = weights.Start(ModelShape(), VOCAB, None)
    solo.trainer(config).fit(FineTuning(start, config, len(steps)), _loader(samples, steps))


def _peers(samples: Samples) -> dict[str, Callable[[], object]]:
    """Prepare TRL's arms before there is a process group, which it would wrap its model for."""
    if importlib.util.find_spec("trl") is None:
        Console().print("trl is not installed: its arms are left out")
        return {}
    named = {"TRL SFTTrainer, padded": False, "TRL SFTTrainer, packed (bfd)": True}
    return {name: functools.partial(trained, trl(samples, packing=p)) for name, p in named.items()}


def trained(trainer: Any) -> None:
    """Take the steps as TRL does."""
    trainer.train()
    assert trainer.state.global_step == STEPS, "the same number of steps"


def trl(samples: Samples, *, packing: bool) -> Any:
    """Prepare TRL's trainer for the same samples, tokens and number of steps; set-up is not timed.

    Rows of the packed arm are as short as they can be for as many steps of whole rows: its
    dense mask costs with the length of a row.
    """
    import datasets
    import transformers
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    transformers.logging.set_verbosity_error()
    network = _network()[0].network
    network.set_attn_implementation("sdpa")
    rows = [
        {"input_ids": s.input_ids.tolist(), "labels": [IGNORE_INDEX, *s.labels[:-1].tolist()]}
        for s in samples
    ]
    data = datasets.Dataset.from_list(rows)
    length, size = _packed_layout(data, max(samples.lengths)) if packing else (None, 4)
    recipe = _recipe()
    config = SFTConfig(
        output_dir=mkdtemp(),
        max_length=length,
        packing=packing,
        per_device_train_batch_size=1 if packing else size,
        gradient_accumulation_steps=size if packing else BATCH // size,
        num_train_epochs=1,
        learning_rate=recipe.lr,
        adam_beta1=recipe.beta1,
        adam_beta2=recipe.beta2,
        weight_decay=recipe.weight_decay,
        lr_scheduler_type="constant",
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        logging_strategy="no",
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )
    trainer = SFTTrainer(
        model=network, args=config, train_dataset=data, processing_class=_tokenizer()
    )
    used = sum(map(len, trainer.train_dataset["input_ids"]))
    assert used == sum(samples.lengths), "the same tokens"
    trainer.remove_callback(transformers.PrinterCallback)
    return trainer


def _packed_layout(data: Any, longest: int) -> tuple[int, int]:
    """Give the shortest row and the rows a step that make STEPS steps, by TRL's own packing."""
    from trl import pack_dataset

    for length in range(longest, 4 * longest):
        rows = len(pack_dataset(data, length, "bfd"))
        if rows % STEPS == 0:
            return length, rows // STEPS
    raise AssertionError(f"no length of a row makes {STEPS} steps")


def _tokenizer() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = {f"t{n}": n for n in range(VOCAB)}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="t0")), eos_token="t0", pad_token="t0"
    )


def _samples() -> Samples:
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(4.4, 0.7, BATCH * STEPS), 16, 700).astype(int)
    folder = Path(mkdtemp())
    Samples.write(
        (
            TokenizedExample(
                str(n), rng.integers(0, VOCAB, length).astype(np.int32), np.arange(length) > 12
            )
            for n, length in enumerate(lengths)
        ),
        folder,
    )
    return Samples(folder)


def _loader(samples: Samples, steps: list[Step]) -> ResumableLoader:
    return ResumableLoader(samples, steps, rank=0, num_ranks=1, budget=8192)


def _recipe() -> OptimiserConfig:
    return dataclasses.replace(OptimiserConfig(), schedule="constant", warmup_fraction=0.0)


def _network() -> tuple[LossNetwork, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = LossNetwork(weights.build(ModelShape(), VOCAB, None), CHUNK).train()
    return network, optimiser.build(network.named_parameters(), _recipe())


def _update(network: LossNetwork, opt: torch.optim.Optimizer) -> None:
    clip_grad_norm_(network.parameters(), 1.0)
    opt.step()
    opt.zero_grad()


def _padded(rows: list[np.ndarray], value: int) -> torch.Tensor:
    tensors = [torch.from_numpy(row.astype(np.int64)) for row in rows]
    return pad_sequence(tensors, batch_first=True, padding_value=value)
