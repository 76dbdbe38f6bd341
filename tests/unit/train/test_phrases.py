"""The tokenizer of phrases: they stay whole, all else is spelled; the same ids everywhere."""

import json
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from s1_core import chat
from s1_core.errors import UserError
from s1_train import tokenizer

S1 = chat.FORMATS["s1"]
PHRASES = ("How many ", " in ", " 1:", "=1", "=12", "Wait", "end")


@pytest.fixture(scope="module")
def words() -> Tokenizer:
    return tokenizer.of_phrases(PHRASES, S1)


def test_phrases_are_whole_and_unknown_words_are_spelled(words: Tokenizer) -> None:
    tokens = words.encode("How many r in raspberry?").tokens
    assert tokens == ["How many ", "r", " in ", *"raspberry", "?"]
    assert words.encode("=12").tokens == ["=12"]
    assert words.encode("weekend").tokens == list("weekend")


def test_headers_labels_and_control_tokens_are_short(words: Tokenizer) -> None:
    assert len(words.encode(chat.generation_prompt(S1, "")).ids) == 12
    assert words.encode(chat.end_string(S1)).tokens == ["<|im_start|>", "answer"]
    assert words.encode(chat.cut_string(S1)).tokens[-1] == "Final Answer:"
    for token in chat.SPECIAL_TOKENS:
        assert len(words.encode(token).ids) == 1


@given(question=st.text(max_size=40), thinking=st.text(max_size=40))
@settings(max_examples=60, deadline=None)
def test_any_text_comes_back_and_the_prompt_is_a_prefix(question: str, thinking: str) -> None:
    words = tokenizer.of_phrases(PHRASES, S1)
    text = "".join(part.text for part in chat.render(S1, question, thinking, "3"))
    ids = words.encode(text).ids
    assert words.decode(ids, skip_special_tokens=False) == unicodedata.normalize("NFC", text)
    prompt = words.encode(chat.generation_prompt(S1, question)).ids
    assert ids[: len(prompt)] == prompt


def test_transformers_gives_the_same_ids(words: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer.save(words, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in (
        "How many r in raspberry?",
        chat.generation_prompt(S1, "12 in all; étude ∑\n\n  x"),
    ):
        assert loaded.encode(text, add_special_tokens=False) == words.encode(text).ids
        assert loaded.decode(words.encode(text).ids) == text


def test_data_without_phrases_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lists no phrases"):
        tokenizer.listed_phrases(tmp_path)
    (tmp_path / tokenizer.PHRASES).write_text('["a b"]')
    assert tokenizer.listed_phrases(tmp_path) == ["a b"]
