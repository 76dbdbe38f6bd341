"""lm-evaluation-harness asks our service by its own backend; we agree, question by question."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.serve.server import Server, serving
from s1_core import artifacts, chat
from s1_core.records import Question
from s1_serve.budget.plan import Limits, delimiters, resolve
from s1_serve.config import ServeConfig, ThinkingBudget
from s1_serve.evaluate import samples
from s1_serve.evaluate.samples import Sample
from s1_serve.options import quiet

pytestmark = [
    pytest.mark.slow, pytest.mark.engine, pytest.mark.multiprocess, pytest.mark.timeout(1800),
]  # fmt: skip

quiet()

TASK, AT_ONCE, MAX_TOKENS, RESERVE = "s1_heldout", 8, 400, 16
EVERY = 3
"""of the 300 questions, one in three: a hundred of all kinds"""


@dataclass(frozen=True)
class Heard:
    """What lm_eval was told about a question, and its verdict."""

    response: str
    is_correct: bool


@dataclass(frozen=True)
class Asked:
    """The same questions asked by lm_eval, by ourselves over HTTP, and in this process."""

    questions: list[Question]
    theirs: list[Heard]
    ours: list[str]
    engine: list[str]


@pytest.fixture(scope="module")
def asked(line: Path, tmp_path_factory: pytest.TempPathFactory) -> Asked:
    folder = tmp_path_factory.mktemp("lm_eval")
    heldout = artifacts.load(line / "heldout", kind="questions")
    questions = heldout.read("questions", Question)[::EVERY]
    with serving(line / "model", folder, "--name", "s1") as server:
        theirs = harness(server, questions, folder)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            ours = list(pool.map(lambda question: answer(server, question), questions))
    return Asked(questions, theirs, ours, in_process(line / "model", questions))


def harness(server: Server, questions: list[Question], folder: Path) -> list[Heard]:
    """Run lm_eval as a process of its own, offline, on a task of local files."""
    task = {
        "task": TASK,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(folder / "questions.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": [], "temperature": 0, "max_gen_toks": MAX_TOKENS},
        "filter_list": [
            {
                "name": "last",
                "filter": [
                    {
                        "function": "regex",
                        "regex_pattern": r"Answer:[ \n]*([^\n]*)",
                        "group_select": -1,
                    },
                    {"function": "take_first"},
                ],
            }
        ],
        "metric_list": [{"metric": "exact_match"}],
    }
    rows = [{"question": q.question, "answer": q.answer} for q in questions]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task.yaml").write_text(yaml.safe_dump(task))
    where = f"base_url={server.url}/v1/chat/completions,model=s1,tokenized_requests=False"
    command = [sys.executable, "-m", "lm_eval", "run", "--model", "local-chat-completions"]
    command += ["--model_args", f"{where},num_concurrent={AT_ONCE}", "--tasks", TASK]
    command += ["--apply_chat_template", "--log_samples", "--include_path", str(folder)]
    command += ["--output_path", str(folder / "out")]
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(folder / "hf")}
    done = subprocess.run(command, env=os.environ | offline, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (log,) = (folder / "out").rglob(f"samples_{TASK}_*.jsonl")
    found = sorted(map(json.loads, log.read_text().splitlines()), key=lambda row: row["doc_id"])
    assert [row["doc"]["question"] for row in found] == [q.question for q in questions]
    return [Heard(row["resps"][0][0], row["exact_match"] == 1) for row in found]


def answer(server: Server, question: Question) -> str:
    """Ask as lm_eval does."""
    body = {
        "model": "s1",
        "messages": [{"role": "user", "content": question.question}],
        "max_tokens": MAX_TOKENS,
        "temperature": 0,
        "stop": [],
        "seed": 1234,
    }
    reply = server.post("/v1/chat/completions", body)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


def in_process(folder: Path, questions: list[Question]) -> list[str]:
    """Answer without a server, as `just evaluate --model` does."""
    from s1_serve.engine import Engine
    from s1_serve.model import open_model

    model = open_model(str(folder))
    engine = Engine(model, ServeConfig(kv_cache_gib=0.03, max_num_seqs=16, answer_reserve=RESERVE))
    text, marks = model.text, delimiters(model.format, model.text.encode, model.stop_ids)
    prompts = [text.encode(chat.generation_prompt(model.format, q.question)) for q in questions]
    limits = (
        Limits(
            prompt_tokens=len(prompt),
            max_tokens=MAX_TOKENS,
            context=model.context,
            answer_reserve=RESERVE,
        )
        for prompt in prompts
    )
    plans = [resolve(ThinkingBudget(), limit, marks, text.encode) for limit in limits]
    outcomes = engine.answer(prompts, plans)
    texts = [text.decode(outcome.output_ids) for outcome in outcomes]
    return [chat.split(model.format, completion)[1] or "" for completion in texts]


def verdicts(questions: list[Question], responses: list[str]) -> list[bool]:
    """Grade as a report does."""
    fields: dict[str, Any] = {
        "benchmark": "heldout", "run": "none", "method": "none", "sample": 0, "seed": 0,
        "max": None, "min": 0, "extends": 0, "extend_with": "", "control": "", "limit": None,
        "used_extends": 0, "tries": 1, "end": "natural", "finish_reason": "stop",
        "thinking_tokens": None, "output_tokens": 0, "total_tokens": 0, "sequential_tokens": 0,
        "thinking": "", "extracted": None, "is_correct": False, "graded_by": "rules",
    }  # fmt: skip
    rows = [
        Sample(question_id=question.id, answer=response, **fields)
        for question, response in zip(questions, responses, strict=True)
    ]
    return [row.is_correct for row in samples.graded(rows, questions, workers=1)]


def test_every_verdict_is_that_of_lm_eval(asked: Asked) -> None:
    theirs = [heard.is_correct for heard in asked.theirs]
    assert len(theirs) == 100
    assert verdicts(asked.questions, [heard.response for heard in asked.theirs]) == theirs
    assert verdicts(asked.questions, asked.ours) == theirs
    assert 50 <= sum(theirs) < 100, "both verdicts must occur"


def test_lm_eval_hears_what_the_engine_says(asked: Asked) -> None:
    assert [heard.response for heard in asked.theirs] == asked.ours == asked.engine
