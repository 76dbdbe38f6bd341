"""The installer refuses, in one line with the mend, a machine it cannot serve."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).resolve().parents[3] / "infra" / "requirements" / "install.py"


@pytest.fixture
def install() -> ModuleType:
    spec = importlib.util.spec_from_file_location("s1_install", SCRIPT)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refusal(module: ModuleType, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as stopped:
        module.check_machine()
    assert stopped.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def test_this_machine_passes(install: ModuleType) -> None:
    install.check_machine()


def test_wrong_python(install: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(install.sys, "version_info", (3, 9, 2))
    assert "3.11 or 3.12" in refusal(install, capsys)


def test_no_compiler(install: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    assert "apt-get install g++" in refusal(install, capsys)


def test_no_disk(install: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(install, "MIN_DISK_GB", 10**9)
    assert "GB of disk free" in refusal(install, capsys)


def test_no_memory(install: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(install, "MIN_MEMORY_GB", 10**9)
    assert "GB of memory" in refusal(install, capsys)


def test_unsupported_platform(install: ModuleType, monkeypatch, capsys) -> None:
    monkeypatch.setattr(install.sys, "platform", "darwin")
    assert "Linux on x86-64" in refusal(install, capsys)


def test_variant_is_chosen_by_the_machine_and_overruled_by_hand(
    install: ModuleType, monkeypatch, tmp_path: Path, capsys
) -> None:
    monkeypatch.delenv("S1_VARIANT", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert install.variant() == "cpu"
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!{sys.executable}\nprint('GPU 0: a card')\n")
    tool.chmod(0o755)
    assert install.variant() == "gpu"
    monkeypatch.setenv("S1_VARIANT", "cpu")
    assert install.variant() == "cpu"
    monkeypatch.setenv("S1_VARIANT", "tpu")
    with pytest.raises(SystemExit):
        install.variant()
    assert "cpu or gpu" in capsys.readouterr().err


def test_the_sources_pip_knows_are_passed_on(
    install: ModuleType, monkeypatch, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("PIP_FIND_LINKS", f"{wheels} {tmp_path / 'absent'}")
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    words = install.pip_sources()
    pairs = list(zip(words[::2], words[1::2], strict=True))
    assert ("--find-links", str(wheels)) in pairs
    assert ("--index-url", "https://mirror.example/simple") in pairs
    assert not any("absent" in value for _, value in pairs)


def test_the_stamp_changes_with_the_pins(install: ModuleType, tmp_path: Path) -> None:
    one, two = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("torch==2.13.0\n")
    two.write_text("torch==2.13.1\n")
    assert install.stamp(one) == install.stamp(one)
    assert install.stamp(one) != install.stamp(two)
