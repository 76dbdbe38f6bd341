"""The encoded samples of a run and the tokenizer they were encoded with: one small artifact."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from s1_core import artifacts, chat, cli
from s1_core.errors import UserError
from s1_train import tokenizer
from s1_train.encoding import Samples, TokenizedExample, encode
from s1_train.net import weights
from s1_train.runs.folder import RunFolder, write_json
from s1_train.runs.inputs import Inputs

KIND = "encoded"
DROPPED = "dropped.json"


@dataclass(frozen=True)
class Dropped:
    """How many samples training does not see, and why."""

    too_long: int
    without_target: int


def ensure(inputs: Inputs, folder: RunFolder) -> Samples:
    """Open the encoded samples of the run; encode first where that has not been done."""
    parents = inputs.identity.parents
    if not artifacts.is_current(folder.encoded, kind=KIND, config={}, parents=parents):
        with artifacts.create(folder.encoded, kind=KIND, config={}, parents=parents) as draft:
            _write(inputs, draft.path)
    return Samples(folder.encoded)


def _write(inputs: Inputs, out: Path) -> None:
    config = inputs.config
    _provide_tokenizer(inputs, out / RunFolder.TOKENIZER)
    if inputs.base:  # the export wants its shape, on whichever machine and whenever it runs
        (out / RunFolder.BASE).mkdir()
        shutil.copy(inputs.base.folder / weights.CONFIG, out / RunFolder.BASE)
    words = tokenizer.load(out / RunFolder.TOKENIZER, chat.format_named(config.format))

    def num_tokens(text: str) -> int:
        return len(words.encode(text, add_special_tokens=False).ids)

    rows = inputs.samples(num_tokens)
    kept, dropped = fitting(
        list(encode(rows, words, all_targets=config.targets == "all")), config.block_size
    )
    Samples.write(kept, out)
    write_json(out / DROPPED, asdict(dropped))
    if dropped.too_long or dropped.without_target:
        cli.console().print(
            f"dropped {dropped.too_long} samples of more than {config.block_size} tokens"
            f" and {dropped.without_target} without a target",
            highlight=False,
        )


def _provide_tokenizer(inputs: Inputs, out: Path) -> None:
    wanted = inputs.config.tokenizer
    if wanted.train:
        texts = ("".join(segment.text for segment in row) for _, row in inputs.samples())
        tokenizer.save(tokenizer.train(texts, wanted.vocab_size), out)
    elif wanted.phrases:
        listed = tokenizer.listed_phrases(inputs.data.path)
        text_format = chat.format_named(inputs.config.format)
        tokenizer.save(tokenizer.of_phrases(listed, text_format), out)
    else:
        source = inputs.base.folder if inputs.base else wanted.path
        assert source is not None, "TrainConfig asks for a tokenizer with --base none"
        tokenizer.copy(source, out)


def fitting(
    encoded: Sequence[TokenizedExample], block_size: int
) -> tuple[list[TokenizedExample], Dropped]:
    """Drop what is longer than a row or has nothing to learn; refuse when nothing is left."""
    if not encoded:
        raise UserError("the data holds no samples; build it again or name another --data")
    short = [sample for sample in encoded if len(sample.input_ids) <= block_size]
    if not short:
        shortest = min(len(sample.input_ids) for sample in encoded)
        raise UserError(
            f"no sample fits block_size {block_size}, the shortest has {shortest} tokens;"
            " raise it or shorten the traces"
        )
    kept = [sample for sample in short if sample.num_targets]
    if not kept:
        raise UserError("no sample has a target token; check --data and --targets")
    return kept, Dropped(len(encoded) - len(short), len(short) - len(kept))
