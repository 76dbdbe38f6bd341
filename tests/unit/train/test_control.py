"""Length control by prompt: what k a question names, and what of the row carries loss."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import factories
from s1_core import artifacts, chat
from s1_core.records import Example
from s1_train import tokenizer
from s1_train.config import TrainConfig
from s1_train.encoding import TokenizedExample, encode
from s1_train.runs.inputs import Inputs, with_control

WORDS = tokenizer.train(["How many r are in raspberry? There are three.\n"] * 20, 400)
TRACES = st.lists(
    st.text(alphabet="ab \n.<|>é", max_size=60), min_size=1, max_size=3
).map(tuple)  # fmt: skip


def num_tokens(text: str) -> int:
    return len(WORDS.encode(text, add_special_tokens=False).ids)


def config(control: str, step_unit: str = "paragraph") -> TrainConfig:
    values: dict[str, Any] = {"data": Path("d"), "out": Path("o")}
    values["format"] = "s1-steps" if control == "steps" else "s1"
    return TrainConfig(**values, control=control, step_unit=step_unit)  # type: ignore[arg-type]


def encoded(example: Example, told: TrainConfig) -> tuple[TokenizedExample, str]:
    """Render and encode a row under a recipe; give its completion too."""
    segments = chat.render_example(
        chat.FORMATS[told.format], with_control(example, told, num_tokens)
    )
    (sample,) = encode([("a", segments)], WORDS)
    return sample, chat.completion(segments)


def named(sample: TokenizedExample, unit: str) -> tuple[int, str]:
    """Read the k of a question from the ids without loss; give the text of those with it too."""
    read, learnt = (
        WORDS.decode(ids.tolist(), skip_special_tokens=False)
        for ids in (sample.token_ids[~sample.is_target], sample.token_ids[sample.is_target])
    )
    sentence = rf"\n\nThink for up to (\d+) {unit}\.<\|im_end\|>\n<\|im_start\|>assistant\n$"
    found = re.search(sentence, read)
    assert found, read
    return int(found[1]), learnt


def is_rounded_up(k: int, length: int) -> bool:
    return k & (k - 1) == 0 and k / 2 < max(length, 1) <= k


@given(traces=TRACES)
@settings(max_examples=60, deadline=None)
def test_tokens_are_those_of_the_trace_rounded_up(traces: tuple[str, ...]) -> None:
    example = factories.example(thinking_trajectories=traces)
    sample, completion = encoded(example, config("tokens"))
    k, learnt = named(sample, "tokens")
    trace = "\n".join(traces).strip()
    assert is_rounded_up(k, num_tokens(trace))
    assert learnt == f"<|im_start|>think\n{trace}\n<|im_start|>answer\nAnswer: 5<|im_end|>"
    assert chat.split(chat.FORMATS["s1"], completion) == (trace, "Answer: 5")


@given(traces=TRACES)
@settings(max_examples=60, deadline=None)
def test_steps_are_paragraphs_counted_down(traces: tuple[str, ...]) -> None:
    example = factories.example(thinking_trajectories=traces)
    sample, completion = encoded(example, config("steps"))
    trace = "\n".join(traces).strip()
    k, learnt = named(sample, "steps")
    steps = trace.split("\n\n")
    assert is_rounded_up(k, len(steps))
    left = [int(n) for n in re.findall(r"<\|im_start\|>(\d+) steps left\n", learnt)]
    assert left == [k - n for n in range(len(steps))]
    assert learnt == "<|im_start|>" + completion + "<|im_end|>"
    assert chat.split(chat.FORMATS["s1-steps"], completion) == (trace, "Answer: 5")


@given(lines=st.lists(st.text(alphabet="ab .é", max_size=12), min_size=1, max_size=9))
@settings(max_examples=60, deadline=None)
def test_a_line_is_a_step_where_the_recipe_says_so(lines: list[str]) -> None:
    example = factories.example(thinking_trajectories=("\n".join(lines),))
    sample, completion = encoded(example, config("steps", "line"))
    k, learnt = named(sample, "steps")
    steps = [line for line in "\n".join(lines).strip().split("\n") if line.strip()]
    assert is_rounded_up(k, len(steps))
    assert learnt.count(" steps left\n") == max(1, len(steps))
    thinking, answer = chat.split(chat.FORMATS["s1-steps"], completion)
    assert thinking.split("\n\n") == (steps or [""])
    assert answer == "Answer: 5"


def test_without_control_a_row_stays_as_it_is() -> None:
    example = factories.example()
    assert with_control(example, config("none"), num_tokens) is example


@pytest.mark.parametrize("control", ["tokens", "steps"])
def test_a_tokenizer_is_trained_on_rows_without_the_sentence(control: str, tmp_path: Path) -> None:
    """Tokens can be counted only once there is a tokenizer."""
    with artifacts.create(tmp_path / "s1k", kind="s1k", config={}) as draft:
        draft.write("examples", [factories.example()], Example)
    inputs = Inputs(config(control), artifacts.load(tmp_path / "s1k"), None)
    sentence = f"Think for up to 16 {control}." if control == "tokens" else "up to 1 steps."
    ((_, bare),) = inputs.samples()
    ((_, told),) = inputs.samples(lambda text: 13)
    assert sentence in told[0].text and "Think for" not in bare[0].text
    assert told[1:] == bare[1:]
