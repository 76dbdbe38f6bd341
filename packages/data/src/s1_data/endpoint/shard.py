"""One of n parts of the questions: which questions it has, and what its files are called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from s1_core.errors import UserError


@dataclass(frozen=True)
class Shard:
    """Part `index` of `count`; 0 of 1 is the whole."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Shard:
        """Read "i/n", None as the whole; anything else is a UserError."""
        if text is None:
            return cls()
        found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        if found is None or int(found[1]) >= int(found[2]):
            raise UserError(f"shard is {text!r}, wanted i/n with 0 <= i < n")
        return cls(int(found[1]), int(found[2]))

    @property
    def is_whole(self) -> bool:
        """Say whether nothing is left to other shards."""
        return self.count == 1

    @property
    def name(self) -> str:
        """Name its file in a folder that all shards share."""
        return f"{self.index}-of-{self.count}"

    def holds(self, question_id: str) -> bool:
        """Say whether a question is its own; exactly one of the n shards says yes."""
        return int(question_id, 16) % self.count == self.index

    def path(self, out: Path) -> Path:
        """Place its artifact beside that of the whole."""
        return out if self.is_whole else out.with_name(f"{out.name}.shard-{self.name}")


WHOLE = Shard()
