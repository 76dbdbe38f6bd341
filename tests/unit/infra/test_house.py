"""The walls: what must hold between the files of the repository, whoever edits them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
REQUIREMENTS = ROOT / "infra" / "requirements"
RECIPES = set(re.findall(r"^([a-z][a-z-]*)[^=\n]*:(?!=)", (ROOT / "justfile").read_text(), re.M))
HEAVY = [
    "torch",
    "transformers",
    "lightning",
    "deepspeed",
    "datasets",
    "vllm",
    "bentoml",
    "faiss",
    "sklearn",
]
VERBS = sorted(
    set(re.findall(r"-m (s1_[a-z_.]+)", (ROOT / "justfile").read_text()))
    | {m for p in ROOT.glob("packages/core/configs/*.yaml") for m in
       re.findall(r"run: \[(s1_[a-z_.]+)", p.read_text())}
)  # fmt: skip


def pins(variant: str) -> dict[str, str]:
    lines = (REQUIREMENTS / f"{variant}.txt").read_text().splitlines()
    return dict(line.split(" ;")[0].strip().split("==") for line in lines if line.strip())


def canonical(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_every_direct_dependency_is_pinned(variant: str) -> None:
    pinned = pins(variant)
    wanted = {
        canonical(line)
        for line in (REQUIREMENTS / "common.in").read_text().splitlines()
        if line and not line.startswith("#")
    }
    for project in ROOT.glob("packages/*/pyproject.toml"):
        dependencies = tomllib.loads(project.read_text())["project"]["dependencies"]
        wanted |= {canonical(d) for d in dependencies} - {"s1-core"}
    assert wanted - pinned.keys() == set()
    assert all(re.fullmatch(r"[0-9][\w.+!]*", version) for version in pinned.values())


def test_the_cpu_file_holds_no_cuda_only_neighbour_of_torch() -> None:
    assert pins("cpu").keys().isdisjoint({"torchvision", "torchaudio", "torchcodec"})


@pytest.mark.parametrize("package", ["core", "data", "train", "serve"])
def test_packages_are_typed_and_their_init_holds_a_docstring_only(package: str) -> None:
    for init in (ROOT / "packages" / package / "src").rglob("__init__.py"):
        assert re.fullmatch(r'\s*(""".*?"""\s*)?', init.read_text(), re.S), init
    assert (ROOT / "packages" / package / "src" / f"s1_{package}" / "py.typed").exists()


def test_every_command_in_the_documents_is_a_recipe() -> None:
    for document in [
        ROOT / "README.md",
        ROOT / "infra" / "README.md",
        *ROOT.glob("packages/*/README.md"),
    ]:
        used = set(re.findall(r"\bjust ([a-z][a-z-]*)", document.read_text()))
        # "just" is a word too: only those in code count.
        in_code = set(re.findall(r"`[^`\n]*\bjust ([a-z][a-z-]*)", document.read_text()))
        assert in_code & used <= RECIPES, (document.name, in_code - RECIPES)


@pytest.mark.parametrize("module", VERBS)
def test_help_loads_no_heavy_library(module: str) -> None:
    script = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_module(sys.argv[0], run_name='__main__')\n"
        f"finally: print('loaded:', *[m for m in {HEAVY} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, module], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "loaded:"


FIRST_WORDS = {"s1_serve.release": ["create"]}


@pytest.mark.parametrize("module", VERBS)
@pytest.mark.parametrize("kind", ["flag", "yaml"])
def test_an_unknown_key_is_one_line_and_exit_2(module: str, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text("no_such_key_at_all: 1\n")
    words = ["--no_such_key_at_all", "1"] if kind == "flag" else ["--config", str(path)]
    command = [sys.executable, "-m", module, *FIRST_WORDS.get(module, []), *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no_such_key_at_all" in done.stderr
    assert "Traceback" not in done.stderr


def test_core_imports_nothing_heavy() -> None:
    names = [p.stem for p in (ROOT / "packages/core/src/s1_core").glob("[a-z]*.py")]
    code = f"import sys, importlib; [importlib.import_module('s1_core.' + n) for n in {names}];"
    code += f"print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_bears_a_banned_or_standard_name() -> None:
    banned = {"utils", "helpers", "common", "misc", "base", "manager", "handler"}
    for path in ROOT.glob("packages/*/src/**/*.py"):
        assert path.stem not in banned | (sys.stdlib_module_names - {"__main__"}), path


READS_CONFIGS_OF = {
    "core": ["s1_core.pipeline"],
    "data": ["s1_data.build"],
    "data/attempts": ["s1_data.teacher", "--questions", "q", "--out", "o"],
    "train": ["s1_train.fit"],
    "serve": ["s1_serve.evaluate"],
}


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("packages/*/configs/*.yaml")), ids=lambda p: f"{p.parts[-3]}/{p.stem}"
)
def test_every_shipped_config_parses_and_prints_itself(path: Path) -> None:
    package, kind = path.parts[-3], path.stem.partition("-")[0]
    verb = READS_CONFIGS_OF.get(f"{package}/{kind}", READS_CONFIGS_OF[package])
    command = [sys.executable, "-m", *verb, "--config", path.stem, "--print_config"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert yaml.safe_load(done.stdout).keys() >= yaml.safe_load(path.read_text()).keys()
