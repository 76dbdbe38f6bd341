"""The text format: golden bytes, the two properties of the house, streams and chat templates."""

from __future__ import annotations

import itertools
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from s1_core import chat
from s1_core.chat import FORMATS, Format
from s1_core.errors import UserError

ROOT = Path(__file__).parents[3]
GOLDEN = Path(__file__).parent / "golden_s1.txt"
QWEN_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
FRAGMENTS = (
    *("a", " ", "\n", "\n\n", "<", "|>", "-", "12", "\u2028", "e\u0301", "answer", "think", "Wait"),
    *(" steps left", "3 steps left", "<|im_start|>3 steps left", "Final Answer:", "Answer: 3"),
    *(fmt.answer_start for fmt in FORMATS.values()),
    *(fmt.thinking_start for fmt in FORMATS.values()),
    *chat.SPECIAL_TOKENS[:4],
)
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=3), max_size=25).map("".join)
ANY_FORMAT = st.sampled_from(list(FORMATS.values()))


@cache
def tokenizer() -> Tokenizer:
    """A byte-level BPE with Qwen's pre-tokenizer, trained on a few texts of the house."""
    bpe = Tokenizer(models.BPE())
    bpe.normalizer = normalizers.NFC()
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=list(chat.SPECIAL_TOKENS),
        show_progress=False,
    )
    source = Path(chat.__file__).read_text()
    bpe.train_from_iterator([GOLDEN.read_text(), source, source], trainer)
    return bpe


def encode(text: str) -> list[int]:
    return list(tokenizer().encode(text).ids)


def rendered(fmt: Format, question: str, thinking: str, answer: str) -> str:
    return "".join(segment.text for segment in chat.render(fmt, question, thinking, answer))


def test_the_s1_text_is_the_papers_byte_for_byte() -> None:
    answer = chat.answer_text("x is 3.\n")
    thinking = "First step.\n\nWait, check it."
    found = rendered(FORMATS["s1"], "What is $x$?\nTell.", thinking, answer)
    assert found.encode() == GOLDEN.read_bytes()


@given(ANY_FORMAT, TEXTS, TEXTS, TEXTS)
def test_split_inverts_render(fmt: Format, question: str, thinking: str, answer: str) -> None:
    thinking, answer = chat.neutralise(thinking).strip(), chat.neutralise(answer).strip()
    completion = chat.completion(chat.render(fmt, question, thinking, answer))
    assert chat.split(fmt, completion) == (thinking, answer)
    assert chat.split(fmt, completion + chat.TURN_END + "\nmore") == (thinking, answer)
    assert chat.split(fmt, fmt.thinking_start + completion) == (thinking, answer)


@given(ANY_FORMAT, TEXTS, TEXTS, TEXTS)
def test_a_completion_is_what_follows_the_prompt(
    fmt: Format, question: str, thinking: str, answer: str
) -> None:
    segments = chat.render(fmt, question, thinking, answer)
    whole = "".join(segment.text for segment in segments)
    prompt = chat.generation_prompt(fmt, question)
    assert prompt + chat.completion(segments) + chat.TURN_END + "\n" == whole
    assert prompt.endswith(fmt.thinking_start)


@given(ANY_FORMAT, TEXTS, TEXTS, TEXTS)
def test_prompt_tokens_are_a_prefix_and_segments_are_token_boundaries(
    fmt: Format, question: str, thinking: str, answer: str
) -> None:
    segments = chat.render(fmt, question, thinking, answer)
    whole = encode("".join(segment.text for segment in segments))
    prompt = encode(chat.generation_prompt(fmt, question))
    assert whole[: len(prompt)] == prompt
    assert [token for segment in segments for token in encode(segment.text)] == whole


@given(ANY_FORMAT, TEXTS, TEXTS, TEXTS)
def test_user_text_never_becomes_a_control_token(
    fmt: Format, question: str, thinking: str, answer: str
) -> None:
    def controls(*texts: str) -> list[int]:
        ids = encode(rendered(fmt, *texts))
        return [token for token in ids if token < len(chat.SPECIAL_TOKENS)]

    steps = len(chat.neutralise(thinking).strip().split("\n\n"))
    same_length = "\n\n".join("s" * steps)
    assert controls(question, thinking, answer) == controls("q", same_length, "a")


@given(TEXTS)
def test_neutralise_is_stable_readable_and_spares_other_text(text: str) -> None:
    safe = chat.neutralise(text)
    assert chat.neutralise(safe) == safe
    assert safe.replace("\u2060", "") == text.replace("\u2060", "")
    assert (safe == text) == (not any(token in text for token in chat.SPECIAL_TOKENS))


@given(ANY_FORMAT, TEXTS, st.lists(st.integers(0, 80), max_size=12))
def test_a_stream_sums_to_the_split_under_any_chunking(
    fmt: Format, text: str, cuts: list[int]
) -> None:
    splitter = chat.StreamSplitter(fmt)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = []
    for start, end in itertools.pairwise(bounds):
        pieces += splitter.feed(text[start:end])
    pieces += splitter.close()
    said = {"thinking": "", "answer": ""}
    for channel, piece in pieces:
        assert piece
        said[channel] += piece
    answer = said["answer"] if splitter.channel == "answer" else None
    assert (said["thinking"], answer) == chat.split(fmt, text)


def test_a_stream_holds_back_only_what_may_be_a_delimiter() -> None:
    splitter = chat.StreamSplitter(FORMATS["s1"])
    assert splitter.feed("\nLet x < 3") == [("thinking", "Let x < 3")]
    assert splitter.feed(" and <|im_st") == [("thinking", " and")]
    assert splitter.feed("op") == [("thinking", " <|im_stop")]
    assert splitter.feed(" so\n<|im_start|>answer") == [("thinking", " so")]
    assert splitter.channel == "answer"
    assert splitter.feed("\nFinal Answer: 4") == [("answer", "Final Answer: 4")]
    assert splitter.feed("<|im_end|>\nnoise") == [] == splitter.close()


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_a_forced_end_splits_like_a_natural_one(fmt: Format) -> None:
    header = "2 steps left\n" if fmt.counts_steps else "\n"
    cut = header + "half a thou" + chat.cut_string(fmt) + " 42"
    assert chat.split(fmt, cut) == ("half a thou", "Final Answer: 42")
    plain = header + "done" + chat.cut_string(fmt, suffix=False) + "\n{}"
    assert chat.split(fmt, plain) == ("done", "{}")
    assert chat.split(fmt, header + "on and on") == ("on and on", None)
    assert chat.split(fmt, chat.end_string(fmt)) == ("", "")


def test_the_delimiter_strings() -> None:
    s1, think = FORMATS["s1"], FORMATS["think"]
    assert chat.end_string(s1) == "<|im_start|>answer"
    assert chat.cut_string(s1) == "\n<|im_start|>answer\nFinal Answer:"
    assert chat.cut_string(s1, suffix=False) == "\n<|im_start|>answer"
    assert chat.cut_string(think) == "\n</think>\nFinal Answer:"
    assert chat.SPECIAL_TOKENS.index(chat.TURN_END) == 2
    assert chat.SPECIAL_TOKENS.index(chat.PAD) == 19
    with pytest.raises(UserError, match="s1, s1-steps, think"):
        chat.format_named("s2")


def test_steps_count_down_from_a_power_of_two() -> None:
    text = chat.completion(chat.render(FORMATS["s1-steps"], "q", "one\n\ntwo\n\nthree", "4"))
    assert text == (
        "4 steps left\none\n<|im_start|>3 steps left\ntwo\n<|im_start|>2 steps left\nthree\n"
        "<|im_start|>answer\n4"
    )
    assert chat.num_steps("one\n\ntwo\n\nthree") == 3
    counts = [1, 2, 3, 4, 5, 1024, 1025, 2048]
    assert [chat.rounded_up(n) for n in counts] == [1, 2, 4, 4, 8, 1024, 2048, 2048]


def test_steps_may_count_below_zero() -> None:
    text = "0 steps left\nlast\n<|im_start|>-1 steps left\nmore\n<|im_start|>answer\n7"
    assert chat.split(FORMATS["s1-steps"], text) == ("last\n\nmore", "7")


def test_the_sentences_of_length_control() -> None:
    assert chat.controlled("q", "tokens", 2048) == "q\n\nThink for up to 2048 tokens."
    assert chat.control_suffix("steps", 64) == "Think for up to 64 steps."
    assert chat.control_suffix("long") == (
        "Answer after a long amount of thinking. If you feel like you are finished early, spend "
        "the extra time trying to double-check your work until you are absolutely sure that you "
        "have the correct answer."
    )
    assert chat.control_suffix("short") == (
        "Answer after a short amount of thinking. Do not spend excessive time double-checking "
        "your work."
    )
    with pytest.raises(UserError, match="tokens, steps, long, short"):
        chat.control_suffix("medium")
    with pytest.raises(UserError, match="wants a number"):
        chat.control_suffix("tokens")


@pytest.mark.parametrize(
    ("attempt", "text"),
    [("3", "Answer: 3"), (" The Answer: 3\n", "The Answer: 3"), ("Final Answer: 3",) * 2],
)
def test_answer_text(attempt: str, text: str) -> None:
    assert chat.answer_text(attempt) == text


def test_a_tokenizer_that_splits_a_delimiter_is_refused() -> None:
    for fmt in FORMATS.values():
        chat.check_tokens(fmt, encode)
    with pytest.raises(UserError, match=r"splits </think> into 8 ids, format 'think'"):
        chat.check_tokens(FORMATS["think"], lambda s: encode(s) if "im_" in s else list(s.encode()))


def test_delimiters_occur_in_one_file() -> None:
    owned = re.compile(
        "|".join(map(re.escape, [*chat.SPECIAL_TOKENS, chat.SYSTEM_PROMPT, "Final Answer:"]))
    )
    packages = ROOT / "packages"
    files = [*packages.rglob("*.py"), *packages.rglob("*.yaml"), *packages.rglob("*.yml")]
    assert Path(chat.__file__) in files
    found = [path for path in files if owned.search(path.read_text())]
    assert found == [Path(chat.__file__)]
