"""The bank is known by its source code: every module it is made of has to be hashed."""

import re
from pathlib import Path

import s1_data.bank
from s1_data.bank import fingerprint

ROOT = Path(str(s1_data.bank.__file__)).parent


def modules_behind(name: str) -> set[str]:
    """List the files of the bank that a file imports, itself and theirs included."""
    found = re.findall(r"^from s1_data\.bank\.(\w+) import", (ROOT / name).read_text(), re.M)
    return {name}.union(*(modules_behind(f"{module}.py") for module in found))


def test_every_module_of_the_bank_is_hashed() -> None:
    assert modules_behind("generator.py") == set(fingerprint.SOURCE_FILES)
    assert fingerprint.parents().keys() == {"bank"}
