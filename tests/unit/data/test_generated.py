"""The bank is known by its source code: every module it is made of has to be hashed."""

import re
from pathlib import Path

import s1_data
from s1_data.sources import generated

ROOT = Path(s1_data.__file__).parent


def modules_behind(name: str) -> set[str]:
    """List the files of s1_data that a file imports, itself and theirs included."""
    found = re.findall(r"^from s1_data\.(\w+) import", (ROOT / name).read_text(), re.M)
    return {name}.union(*(modules_behind(f"{module}.py") for module in found))


def test_every_module_of_the_bank_is_hashed() -> None:
    assert modules_behind("bank.py") == set(generated.SOURCE_FILES)
    assert generated.parents().keys() == {"bank"}
