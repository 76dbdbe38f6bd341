"""The tokenizer beside a model: the base model's own files, a BPE trained on the texts, or phrases.

Works on tokenizer.json through `tokenizers`, so that encoding needs neither torch nor
transformers. Refuses a tokenizer that lacks the control tokens of the text format.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import chat, steps
from s1_core.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PHRASES = "phrases.json"
FILES = ("tokenizer.json", "tokenizer_config.json")
# transformers rebuilds any tokenizer beside a Qwen2 model with this rule, whatever is in its
# tokenizer.json (5.19, tokenization_qwen2.py): another one here would give other ids there.
_QWEN2_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class TokenIds:
    """The ids an engine needs, read from the tokenizer once and stored in the model's manifest."""

    pad_token_id: int
    eos_token_id: int
    stop_token_ids: tuple[int, ...]


def train(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Learn a byte-level BPE of `vocab_size` entries, special tokens last as in Qwen's."""
    from tokenizers import models
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    tokenizer = _byte_level(models.BPE())
    trainer = BpeTrainer(
        vocab_size=vocab_size - len(chat.SPECIAL_TOKENS),
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    _add_special(tokenizer)
    return tokenizer


def of_phrases(phrases: Iterable[str], text_format: chat.Format) -> Tokenizer:
    """Hold every byte, `phrases` and the format's own words as tokens, and merge nothing.

    Digits and the letters of any other word stay single tokens. The phrases are added tokens:
    transformers keeps those, but would drop a BPE's `ignore_merges` (5.19).
    """
    from tokenizers import AddedToken, models
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    tokenizer = _byte_level(
        models.BPE(vocab={char: i for i, char in enumerate(alphabet)}, merges=[])
    )
    words = dict.fromkeys([*phrases, *_format_words(text_format)])
    tokenizer.add_tokens(
        [
            AddedToken(word, special=False, normalized=False, single_word=word.isalpha())
            for word in words
        ]
    )
    _add_special(tokenizer)
    return tokenizer


def listed_phrases(folder: Path) -> list[str]:
    """Read phrases.json of a data artifact."""
    path = folder / PHRASES
    if not path.is_file():
        raise UserError(f"{folder} lists no phrases; use tokenizer.train, or data with {PHRASES}")
    return [str(phrase) for phrase in json.loads(path.read_text())]


def _byte_level(model: Any) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, normalizers
    from tokenizers import pre_tokenizers as pre

    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre.Sequence(
        [
            pre.Split(Regex(_QWEN2_WORDS), behavior="isolated"),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _add_special(tokenizer: Tokenizer) -> None:
    from tokenizers import AddedToken

    special = [AddedToken(token, special=True, normalized=False) for token in chat.SPECIAL_TOKENS]
    tokenizer.add_special_tokens(special)


def _format_words(text_format: chat.Format) -> list[str]:
    """List what stands between the control tokens of a prompt, and the words of the answer."""
    control = re.compile("|".join(map(re.escape, chat.SPECIAL_TOKENS)))
    marked = chat.generation_prompt(text_format, "") + text_format.answer_start
    labels = (text_format.cut_suffix.strip(), chat.answer_text("").strip())
    return [word for word in (*control.split(marked), *labels) if word.strip()]


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a trained tokenizer so that transformers and vLLM load it with the same ids."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": chat.TURN_END,
        "pad_token": chat.PAD,
        "unk_token": None,
        "bos_token": None,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 1 << 20,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")


def copy(source: Path, folder: Path) -> None:
    """Take over the tokenizer files of a base model."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if not (source / name).is_file():
            raise UserError(f"{source} holds no {name}; name a folder with a whole tokenizer")
        shutil.copyfile(source / name, folder / name)


def load(folder: Path, text_format: chat.Format) -> Tokenizer:
    """Open tokenizer.json; a control token of the format that is not one id is a UserError."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    chat.check_tokens(
        text_format, lambda text: list(tokenizer.encode(text, add_special_tokens=False).ids)
    )
    for token in (chat.PAD, chat.END_OF_TEXT):
        _id(tokenizer, token)
    return tokenizer


def token_ids(tokenizer: Tokenizer) -> TokenIds:
    """Derive the ids for padding, the end of a turn, and every stop."""
    end = _id(tokenizer, chat.TURN_END)
    return TokenIds(_id(tokenizer, chat.PAD), end, (end, _id(tokenizer, chat.END_OF_TEXT)))


def label_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """Derive the ids that a reward model chooses from, that of wrong steps first."""
    return tuple(single_id(tokenizer, label) for label in steps.LABELS)


def single_id(tokenizer: Tokenizer, text: str) -> int:
    """Encode what has to be one token."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    if len(ids) != 1:
        raise UserError(
            f"the tokenizer splits {text!r} into {len(ids)} ids, steps want one; use another base"
        )
    return int(ids[0])


def _id(tokenizer: Tokenizer, token: str) -> int:
    found = tokenizer.token_to_id(token)
    if found is None:
        raise UserError(f"the tokenizer has no {token}; use one with Qwen's special tokens")
    return int(found)


def fingerprint(folder: Path) -> str:
    """Identify a tokenizer folder by the content of its files."""
    digest = hashlib.sha256()
    for name in FILES:
        if not (folder / name).is_file():
            raise UserError(f"{folder} holds no {name}; name a folder with a whole tokenizer")
        digest.update((folder / name).read_bytes())
    return digest.hexdigest()
