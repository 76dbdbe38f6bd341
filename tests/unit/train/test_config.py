"""Every shipped recipe parses, and what contradicts itself is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import yaml

import s1_train
from s1_core import artifacts
from s1_core.config_parser import parse
from s1_core.errors import UserError
from s1_train.config import TrainConfig, from_plain
from s1_train.net.optimiser import lr_factor
from s1_train.packing import Plan
from s1_train.runs.inputs import Inputs

PLACE = ("--data", "d", "--out", "o")
RECIPES = sorted((Path(s1_train.__file__).parents[2] / "configs").glob("*.yaml"))


def recipe(name: str, *flags: str) -> TrainConfig:
    return parse(TrainConfig, ("--config", name, *flags), "train")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_says_where_it_reads_and_writes_and_comes_back(path: Path) -> None:
    config = recipe(path.stem)
    assert config.data.parts[0] == config.out.parts[0] == "artifacts"
    assert config.out.parts[-1] == "run" and config.data.name in ("s1k", "steps")
    assert from_plain(TrainConfig, artifacts.plain(config)) == config


def test_no_two_recipes_write_to_one_place() -> None:
    places = [recipe(path.stem).out for path in RECIPES]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", ["s1-32b", "s1-32b-tcc", "s1-32b-scc", "s1-7b", "s1-1.5b"])
def test_the_papers_recipe_is_the_papers(name: str) -> None:
    """Appendix D of the paper; 315 steps and 16 of warm-up are those of its released run."""
    config = recipe(name)
    assert (config.batch_size, config.epochs, config.block_size) == (16, 5, 32768)
    opt = config.optimiser
    assert (opt.lr, opt.beta1, opt.beta2, opt.weight_decay) == (1e-5, 0.9, 0.95, 1e-4)
    assert (opt.schedule, opt.warmup_fraction, opt.clip_norm) == ("cosine", 0.05, 1.0)
    assert config.precision == "bf16" and config.strategy == "fsdp2" and config.mode == "paper"
    plan = Plan(mode="paper", batch_size=16, block_size=config.block_size, epochs=5, seed=42)
    steps = plan.steps([100] * 1000)
    assert len(steps) == 315 and len(steps[62].rows) == 1000 - 62 * 16
    factors = [lr_factor(step, 315, opt) for step in range(316)]
    assert factors[0] == 0 and factors[15] == 15 / 16 and factors[16] == max(factors) == 1
    assert factors[315] == pytest.approx(0, abs=1e-12)


def changed(name: str, variant: str) -> dict[str, Any]:
    """List what a variant of a recipe says otherwise."""
    one, other = (dataclasses.asdict(recipe(name)) for name in (name, variant))
    return {key: other[key] for key in one if one[key] != other[key] and key != "out"}


@pytest.mark.parametrize("name", ["s1-32b", "tiny"])
def test_variants_differ_in_length_control_alone(name: str) -> None:
    unit = {"step_unit": "line"} if name == "tiny" else {}
    assert changed(name, f"{name}-tcc") == {"control": "tokens"}
    assert changed(name, f"{name}-scc") == {"control": "steps", "format": "s1-steps"} | unit


def test_s1_1_is_s1_on_other_traces_in_shorter_rows() -> None:
    other = {"block_size": 20_000, "data": Path("artifacts/s1k-1.1/s1k")}
    assert changed("s1-32b", "s1.1-32b") == other


def test_the_smaller_models_differ_in_the_base_alone() -> None:
    assert changed("s1-32b", "s1-7b").keys() == {"base", "base_revision"}
    assert changed("s1-7b", "s1-1.5b").keys() == {"base", "base_revision"}


@pytest.mark.parametrize("print_flag", ["--print_config", "--print-config"])
def test_what_is_printed_is_the_recipe_under_the_flags(
    print_flag: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    flags = ("--optimiser.lr=3e-4", "--loggers=tensorboard,mlflow", "--out", "elsewhere")
    with pytest.raises(SystemExit) as ended:
        recipe("tiny", *flags, print_flag)
    assert ended.value.code in (0, None)
    printed = tmp_path / "printed.yaml"
    printed.write_text(capsys.readouterr().out)
    assert yaml.safe_load(printed.read_text())["optimiser"]["lr"] == 3e-4
    assert recipe(str(printed)) == recipe("tiny", *flags)
    assert recipe(str(printed)) != recipe("tiny")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_configuration_kept_with_a_run_is_one_for_config(path: Path, tmp_path: Path) -> None:
    config = recipe(path.stem, "--optimiser.lr=3e-7", "--loggers=mlflow", "--seed=7")
    data = artifacts.Artifact(Path(), "s1k", {}, {}, "0", ())
    Inputs(config, data, None).write_config(tmp_path / "config.yaml")
    assert recipe(str(tmp_path / "config.yaml")) == config


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
        (("--control=steps",), "format s1-steps"),
        (("--format=s1-steps",), "control steps"),
        (("--control=words",), "control"),
        (("--loggers=tensorboard,comet",), "unknown loggers.*comet.*tensorboard, mlflow, wandb"),
        (("--max_loss_ratio=1",), "max_loss_ratio"),
    ],
)
def test_nonsense_is_refused(flags: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        parse(TrainConfig, (*PLACE, *flags), "train")
