"""Every shipped recipe parses, and what contradicts itself is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import s1_train
from s1_core import artifacts
from s1_core.config_parser import parse
from s1_core.errors import UserError
from s1_train.config import TrainConfig, from_plain

PLACE = ("--data", "d", "--out", "o")
RECIPES = sorted((Path(s1_train.__file__).parents[2] / "configs").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses_and_comes_back_from_json(recipe: Path) -> None:
    config = parse(TrainConfig, ("--config", str(recipe), *PLACE), "train")
    assert from_plain(TrainConfig, artifacts.plain(config)) == config


def test_the_papers_recipe_is_the_papers() -> None:
    config = parse(TrainConfig, ("--config", "s1-32b", *PLACE), "train")
    assert (config.batch_size, config.epochs, config.block_size) == (16, 5, 32768)
    opt = config.optimiser
    assert (opt.lr, opt.beta1, opt.beta2, opt.weight_decay) == (1e-5, 0.9, 0.95, 1e-4)
    assert (opt.schedule, opt.warmup_fraction, opt.clip_norm) == ("cosine", 0.05, 1.0)
    assert config.precision == "bf16" and config.strategy == "fsdp2"


def test_where_the_work_is_done_is_no_part_of_the_recipe() -> None:
    here = TrainConfig(data=Path("a"), out=Path("b"), devices=1)
    there = TrainConfig(data=Path("c"), out=Path("d"), devices=2, base="none/such", log_every=1)
    assert artifacts.identity(here) == artifacts.identity(there)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--base=none",), "tokenizer.train"),
        (("--tokenizer.train=true",), "tokenizer.train"),
        (("--precision=bf16-true",), "precision"),
        (("--optimiser.lr=0",), "lr"),
        (("--batch_size=0",), "batch_size"),
        (("--model.num_heads=8",), "num_heads is 16"),
        (("--strategy=fsdp2", "--optimiser.name=muon"), "muon"),
        (("--optimizer.lr=1",), "optimiser.lr"),
    ],
)
def test_nonsense_is_refused(flags: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(TrainConfig, (*PLACE, *flags), "train")
