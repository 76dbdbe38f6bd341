"""The encoded samples of a run and the tokenizer they were encoded with: one small artifact."""

from __future__ import annotations

from pathlib import Path

from s1_core import artifacts, chat, cli
from s1_core.errors import UserError
from s1_train import tokenizer
from s1_train.encoding import Samples, TokenizedExample, encode
from s1_train.runs.folder import RunFolder
from s1_train.runs.inputs import Inputs, Sample

KIND = "encoded"


def ensure(inputs: Inputs, folder: RunFolder) -> Samples:
    """Open the encoded samples of the run; encode first where that has not been done."""
    parents = inputs.identity.parents
    if not artifacts.is_current(folder.encoded, kind=KIND, config={}, parents=parents):
        with artifacts.create(folder.encoded, kind=KIND, config={}, parents=parents) as draft:
            _write(inputs, draft.path)
    return Samples(folder.encoded)


def _write(inputs: Inputs, out: Path) -> None:
    rows, config = inputs.samples(), inputs.config
    _provide_tokenizer(inputs, rows, out / RunFolder.TOKENIZER)
    words = tokenizer.load(out / RunFolder.TOKENIZER, chat.format_named(config.format))
    encoded = list(encode(rows, words, all_targets=config.targets == "all"))
    Samples.write(_fitting(encoded, config.block_size), out)


def _provide_tokenizer(inputs: Inputs, rows: list[Sample], out: Path) -> None:
    wanted = inputs.config.tokenizer
    if wanted.train:
        texts = ("".join(segment.text for segment in segments) for _, segments in rows)
        tokenizer.save(tokenizer.train(texts, wanted.vocab_size), out)
    elif wanted.phrases:
        listed = tokenizer.listed_phrases(inputs.data.path)
        text_format = chat.format_named(inputs.config.format)
        tokenizer.save(tokenizer.of_phrases(listed, text_format), out)
    else:
        source = inputs.base.folder if inputs.base else wanted.path
        assert source is not None, "TrainConfig asks for a tokenizer with --base none"
        tokenizer.copy(source, out)


def _fitting(encoded: list[TokenizedExample], block_size: int) -> list[TokenizedExample]:
    """Drop what is longer than a row or has nothing to learn; refuse when nothing is left."""
    short = [sample for sample in encoded if len(sample.input_ids) <= block_size]
    if not short:
        raise UserError(f"no sample fits block_size {block_size}; raise it or shorten the traces")
    kept = [sample for sample in short if sample.num_targets]
    if not kept:
        raise UserError("no sample has a target token; check --data and --targets")
    dropped = len(encoded) - len(short), len(short) - len(kept)
    if any(dropped):
        cli.console().print(
            f"dropped {dropped[0]} samples of more than {block_size} tokens"
            f" and {dropped[1]} without a target",
            highlight=False,
        )
    return kept
