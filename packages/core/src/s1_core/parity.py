"""How far an exported model is from its checkpoint, as the model folder itself says: parity.json.

Written by the export, judged before a release. Refuses a folder that says nothing, or nonsense.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from s1_core import records
from s1_core.errors import UserError

FILE = "parity.json"


@dataclass(frozen=True, kw_only=True)
class Parity:
    """Differences of logits in fp32, over all tokens of a sample of the training data."""

    num_tokens: int
    max_difference: float
    """largest between the folder and the checkpoint rounded as the folder is"""
    rounding: float
    """largest between the rounded checkpoint and the exact one: what bf16 costs"""
    tolerance: float
    """what the export allowed `max_difference` to be"""

    @property
    def text(self) -> str:
        """Write the file; two digits, since more depend on the number of threads."""
        values = {
            name: float(f"{value:.2g}") if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }
        return json.dumps(values, indent=1, sort_keys=True) + "\n"


def read(folder: Path) -> Parity:
    """Read what a model folder says; a UserError where it says nothing that can be judged."""
    file = folder / FILE
    if not file.is_file():
        raise UserError(f"{folder} holds no {FILE}: export it again")
    found = records.from_json(file.read_text(), Parity)
    if not all(type(value) in (int, float) for value in asdict(found).values()):
        raise UserError(f"{file} holds something that is no number: export it again")
    return found
