"""Text to token ids and back with a model folder's tokenizer.json, nothing added, nothing dropped.

transformers loads some tokenizers beside a Qwen2 config as another class and returns other ids;
the file itself is the truth, so it is read directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from s1_core.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

UNFINISHED = "\ufffd"


class Codec(Protocol):
    """Both directions between text and token ids."""

    def encode(self, text: str) -> tuple[int, ...]: ...

    def decode(self, ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class Text:
    """A Codec over a tokenizer file."""

    tokenizer: Tokenizer

    @classmethod
    def load(cls, folder: Path) -> Text:
        """Read `folder`/tokenizer.json.

        Raises:
            UserError: there is none.
        """
        from tokenizers import Tokenizer

        file = folder / "tokenizer.json"
        if not file.is_file():
            raise UserError(f"{folder} has no tokenizer.json: export the model again")
        return cls(Tokenizer.from_file(str(file)))

    def encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=False))


class Decoder:
    """Decodes a growing sequence; holds back characters whose bytes are not all there yet."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._ids: tuple[int, ...] = ()
        self._shown = ""

    def feed(self, ids: Sequence[int]) -> str:
        """Return the text that became certain with `ids`."""
        self._ids += tuple(ids)
        text = self._codec.decode(self._ids)
        if text.endswith(UNFINISHED):
            return ""
        new, self._shown = text[len(self._shown) :], text
        return new
