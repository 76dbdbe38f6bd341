"""What carries loss, on a real BPE trained here; segments meet where tokens meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

import factories
from s1_core import chat
from s1_core.errors import UserError
from s1_train import tokenizer
from s1_train.encoding import (
    IGNORE_INDEX,
    Samples,
    TokenizedExample,
    encode,
)
from s1_train.runs.encoded import Dropped, fitting

S1 = chat.FORMATS["s1"]
TEXTS = ["How many r are in raspberry? There are three.", "What is 2 + 3? Wait, it is 5.\n"] * 20
WORDS = tokenizer.train(TEXTS, 400)


def test_loss_is_on_header_trace_answer_and_end_of_turn() -> None:
    example = factories.example(thinking_trajectories=("It is 5.",), attempt="5")
    (sample,) = encode([("a", chat.render_example(S1, example))], WORDS)
    learnt = WORDS.decode(sample.token_ids[sample.is_target].tolist(), skip_special_tokens=False)
    assert learnt == "<|im_start|>think\nIt is 5.\n<|im_start|>answer\nAnswer: 5<|im_end|>"
    read = WORDS.decode(sample.token_ids[~sample.is_target].tolist(), skip_special_tokens=False)
    assert read.endswith("<|im_start|>assistant\n") and chat.SYSTEM_PROMPT in read
    positions = np.flatnonzero(sample.labels != IGNORE_INDEX)
    assert sample.labels[positions].tolist() == sample.token_ids[positions + 1].tolist()
    assert len(positions) == sample.num_targets == int(sample.is_target.sum())


def test_trajectories_are_joined_by_newlines() -> None:
    example = factories.example(thinking_trajectories=("One.", "Two. "), attempt="Answer: 5")
    text = "".join(part.text for part in chat.render_example(S1, example))
    assert "think\nOne.\nTwo.\n<|im_start|>answer\nAnswer: 5<|im_end|>" in text


NASTY = st.lists(
    st.one_of(
        st.sampled_from(
            [
                " ",
                "\n",
                "\n\n",
                "\t",
                "  x",
                "'s",
                "think",
                "answer",
                "12",
                "e\u0301",
                "\u0301",
                "\u200d",
            ]
        ),
        st.sampled_from(chat.SPECIAL_TOKENS),
        st.text(max_size=8),
    ),
    max_size=8,
).map("".join)
"""text that merges with its neighbours if anything does"""


@given(question=NASTY, thinking=NASTY, answer=NASTY, name=st.sampled_from(sorted(chat.FORMATS)))
@settings(max_examples=150, deadline=None)
def test_segments_give_the_ids_of_the_whole_text_and_the_mask_its_completion(
    question: str, thinking: str, answer: str, name: str
) -> None:
    fmt = chat.FORMATS[name]
    segments = chat.render(fmt, question, thinking, answer)
    (sample,) = encode([("a", segments)], WORDS)
    whole = WORDS.encode("".join(part.text for part in segments), add_special_tokens=False).ids
    assert sample.token_ids.tolist() == whole[: len(sample.token_ids)]
    assert len(whole) - len(sample.token_ids) == 1, "only the newline behind the turn is left out"
    prompt = WORDS.encode(chat.generation_prompt(fmt, question)).ids
    assert sample.token_ids[: len(prompt)].tolist() == prompt
    header = len(WORDS.encode(fmt.thinking_start).ids)
    assert np.flatnonzero(~sample.is_target).tolist() == list(range(len(prompt) - header))
    assert sample.token_ids[-1] == WORDS.token_to_id(chat.TURN_END)


def test_every_token_may_carry_loss() -> None:
    segments = chat.render(S1, "q", "t", "a")
    (sample,) = encode([("e", segments)], WORDS, all_targets=True)
    assert sample.is_target.all()


def test_what_fits_and_teaches_is_kept_and_the_rest_counted() -> None:
    def sample(name: str, length: int, targets: int) -> TokenizedExample:
        ids = np.zeros(length + 1, np.int32)
        return TokenizedExample(name, ids, np.arange(length + 1) > length - targets)

    rows = [sample("a", 9, 3), sample("b", 10, 1), sample("c", 11, 3), sample("d", 4, 0)]
    kept, dropped = fitting(rows, 10)
    assert [row.id for row in kept] == ["a", "b"]
    assert dropped == Dropped(too_long=1, without_target=1)
    with pytest.raises(UserError, match="no sample has a target token"):
        fitting([sample("d", 4, 0), sample("e", 5, 0)], 10)
    with pytest.raises(UserError, match="no sample fits block_size 3, the shortest has 4 tokens"):
        fitting(rows, 3)


def test_samples_come_back_from_disk(tmp_path: Path) -> None:
    rows = [(f"id-{n}", chat.render(S1, "q" * n, "t" * (9 - n), "a")) for n in range(1, 5)]
    written = list(encode(rows, WORDS))
    Samples.write(written, tmp_path)
    read = Samples(tmp_path)
    assert [sample.id for sample in read] == [f"id-{n}" for n in range(1, 5)]
    for one, other in zip(written, read, strict=True):
        assert one.token_ids.tolist() == other.token_ids.tolist()
        assert one.labels.tolist() == other.labels.tolist()
    assert read.lengths == [len(sample.input_ids) for sample in written]
    assert read.num_targets == [sample.num_targets for sample in written]


def test_a_trained_tokenizer_is_the_same_every_time() -> None:
    assert WORDS.to_str() == tokenizer.train(TEXTS, 400).to_str()
    assert WORDS.get_vocab_size() <= 400


def test_a_tokenizer_without_the_control_tokens_is_refused(tmp_path: Path) -> None:
    from tokenizers import models

    Tokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(UserError, match=r"<\|im_"):
        tokenizer.load(tmp_path, S1)


def test_ids_of_padding_and_stops_come_from_the_tokenizer() -> None:
    ids = tokenizer.token_ids(WORDS)
    assert WORDS.id_to_token(ids.pad_token_id) == chat.PAD
    assert WORDS.id_to_token(ids.eos_token_id) == chat.TURN_END
    assert [WORDS.id_to_token(i) for i in ids.stop_token_ids] == [chat.TURN_END, chat.END_OF_TEXT]
