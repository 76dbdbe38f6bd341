"""A tiny BERT with random weights: pooling, batches, chunks on disk, and what cannot be loaded."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from s1_core.errors import UserError
from s1_data.config import DiversityConfig
from s1_data.embedding import encoder, vectors

if TYPE_CHECKING:
    from s1_data.embedding.vectors import Vectors

WORDS = [
    "a", "angle", "apples", "area", "circle", "divides", "find", "how", "integer", "is", "many",
    "number", "prime", "sum", "the", "what",
]  # fmt: skip
TEXTS = [" ".join(WORDS[(i * j) % len(WORDS)] for j in range(1, 3 + i % 7)) for i in range(22)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    target = tmp_path_factory.mktemp("encoder")
    special = {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3}
    vocabulary = special | {word: number for number, word in enumerate(WORDS, start=4)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(target)  # fmt: skip
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=12,
        )
    ).save_pretrained(target)  # fmt: skip
    return target


@pytest.fixture
def config(folder: Path) -> DiversityConfig:
    return DiversityConfig(embedder=str(folder), batch_size=4)


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(encoder, "CHUNK", 8)
    yield


def by_hand(folder: Path, text: str, pooling: str) -> Vectors:
    """One text alone: no batch, no padding, no mask."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder).eval()(input_ids=ids).last_hidden_state[0]
    found = (hidden[0] if pooling == "cls" else hidden.mean(dim=0)).numpy()
    return found / np.linalg.norm(found)  # type: ignore[no-any-return]


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_a_text_in_a_batch_gets_the_vector_it_gets_alone(
    folder: Path, config: DiversityConfig, pooling: str
) -> None:
    config = dataclasses.replace(config, pooling=pooling)  # type: ignore[arg-type]
    rows = vectors.embed(TEXTS, config, 0)
    assert rows.dtype == np.float32
    assert rows.shape == (len(TEXTS), 16)
    for index in (0, 6, 13, 21):
        assert rows[index] == pytest.approx(by_hand(folder, TEXTS[index], pooling), abs=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_size_of_a_batch_changes_rounding_only(
    config: DiversityConfig, batch_size: int
) -> None:
    other = vectors.embed(TEXTS, dataclasses.replace(config, batch_size=batch_size), 0)
    assert other == pytest.approx(vectors.embed(TEXTS, config, 0), abs=1e-5)


def test_texts_beyond_the_encoder_are_cut(config: DiversityConfig) -> None:
    long = " ".join(WORDS * 3)
    cut = " ".join(WORDS[:10])  # 12 positions less the two special tokens
    assert np.ptp(vectors.embed([long, cut], config, 0), axis=0).max() < 1e-5
    short = dataclasses.replace(config, max_length=4)
    assert np.ptp(vectors.embed([long, "a angle"], short, 0), axis=0).max() < 1e-5


@pytest.mark.usefixtures("small_chunks")
def test_a_run_goes_on_from_the_chunks_on_disk(config: DiversityConfig, tmp_path: Path) -> None:
    fresh = vectors.embed(TEXTS, config, 0).tobytes()
    assert vectors.embed(TEXTS[:16], config, 0, tmp_path).tobytes() == fresh[: 16 * 16 * 4]
    assert len(list(tmp_path.iterdir())) == 2
    assert vectors.embed(TEXTS, config, 0, tmp_path).tobytes() == fresh
    first, second, third = sorted(tmp_path.iterdir())
    first.unlink()
    second.write_bytes(second.read_bytes()[:-7])
    third.write_bytes(b"")
    assert vectors.embed(TEXTS, config, 0, tmp_path).tobytes() == fresh
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.usefixtures("small_chunks")
def test_a_chunk_on_disk_is_not_worked_out_again(config: DiversityConfig, tmp_path: Path) -> None:
    vectors.embed(TEXTS[:8], config, 0, tmp_path)
    (chunk,) = tmp_path.iterdir()
    np.save(chunk, np.full((8, 16), 0.25, dtype=np.float32))
    assert (vectors.embed(TEXTS, config, 0, tmp_path)[:8] == 0.25).all()


@pytest.mark.parametrize("change", [{"pooling": "cls"}, {"max_length": 5}, {"batch_size": 5}])
def test_other_options_are_other_chunks(
    config: DiversityConfig, tmp_path: Path, change: dict[str, str]
) -> None:
    changed = dataclasses.replace(config, **change)  # type: ignore[arg-type]
    for options in (config, changed):
        vectors.embed(TEXTS, options, 0, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_an_encoder_is_known_by_its_files_wherever_they_lie(
    config: DiversityConfig, folder: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    moved = dataclasses.replace(config, embedder=str(copy))
    assert vectors.parents(moved) == vectors.parents(config)
    for options in (config, moved):
        vectors.embed(TEXTS, options, 0, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    (copy / "more.txt").write_text("changed")
    assert vectors.parents(moved) != vectors.parents(config)


def _missing(copy: Path) -> str:
    shutil.rmtree(copy)
    return "cannot load the encoder"


def _empty(copy: Path) -> str:
    shutil.rmtree(copy)
    copy.mkdir()
    return "cannot load the encoder"


def _truncated(copy: Path) -> str:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    return "cannot load the encoder"


def _not_finite(copy: Path) -> str:
    _rewrite(copy, lambda name, weights: {name: weights * float("nan")})
    return "vectors that are not finite"


def _incomplete(copy: Path) -> str:
    _rewrite(
        copy, lambda name, weights: {} if name.startswith("encoder.layer.1") else {name: weights}
    )
    return r"its checkpoint lacks \d+ weights, as encoder\.layer\.1"


def _rewrite(copy: Path, change: object) -> None:
    from safetensors.torch import load_file, save_file

    assert callable(change)
    kept = {
        k: v
        for name, weights in load_file(copy / "model.safetensors").items()
        for k, v in change(name, weights).items()
    }
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("damage", [_missing, _empty, _truncated, _incomplete, _not_finite])
def test_an_encoder_that_is_not_whole_is_one_line(
    config: DiversityConfig, folder: Path, tmp_path: Path, damage: object
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert callable(damage)
    with pytest.raises(UserError, match=damage(copy)) as info:
        vectors.embed(TEXTS, dataclasses.replace(config, embedder=str(copy)), 0)
    assert "\n" not in str(info.value)
    assert str(copy) in str(info.value)


def test_an_id_that_no_hub_can_give_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    config = DiversityConfig(embedder="nobody-at-all/no-such-encoder", revision="v9")
    with pytest.raises(
        UserError, match=r"cannot load the encoder nobody-at-all.* or hashed"
    ) as info:
        vectors.embed(TEXTS, config, 0)
    assert "\n" not in str(info.value)
