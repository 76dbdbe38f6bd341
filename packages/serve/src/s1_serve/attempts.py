"""`just attempts`: every question answered once by a model, for the difficulty filter.

Owns the prompt of an unforced answer. A prompt that leaves no room is an empty attempt, counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from s1_core import artifacts, chat, cli
from s1_core.cache import Cache
from s1_core.records import Attempt, Question
from s1_serve.completions import Completion, CompletionRequest, Sampling
from s1_serve.config import AttemptsConfig

if TYPE_CHECKING:
    from s1_serve.engine import Engine, LazyEngine

CHUNK = 1024
"""Questions of one batch, and what a killed run may lose."""


def main(config: AttemptsConfig) -> None:
    """Write the attempts artifact, unless it is there already."""
    questions = artifacts.load(config.questions, kind="questions")
    model = artifacts.load(config.model, kind="model")
    identity: dict[str, Any] = {
        "kind": "attempts",
        "config": config,
        "parents": {"questions": questions.sha256, "model": model.sha256},
    }
    out = Path(config.out)
    if artifacts.is_current(out, **identity):
        cli.say(f"up to date: {out}")
        return
    with artifacts.create(out, **identity) as draft:
        rows = list(_attempts(questions.read("questions", Question), config, Cache(out)))
        draft.write("attempts", rows, Attempt)
    num_cut = sum(row.finish_reason == "length" for row in rows)
    cli.say(f"{len(rows)} attempts, {num_cut} of them cut: {out}")


def _attempts(
    questions: Sequence[Question], config: AttemptsConfig, cache: Cache
) -> Iterator[Attempt]:
    from s1_serve.engine import LazyEngine

    engine = LazyEngine(config.model, config.serve)
    shape = artifacts.identity(config) | {"model": engine.model.artifact.sha256}
    chunks = [questions[start : start + CHUNK] for start in range(0, len(questions), CHUNK)]
    for chunk in cli.progress(chunks, "attempts", total=len(chunks)):
        inputs = shape | {"questions": [question.question for question in chunk]}
        yield from cache.rows(inputs, Attempt, partial(_chunk, chunk, config, engine))


def _chunk(
    questions: Sequence[Question], config: AttemptsConfig, lazy: LazyEngine
) -> list[Attempt]:
    engine = lazy.start()
    requests = [_request(question, config, engine) for question in questions]
    fitting = [request for request in requests if request.max_tokens > 0]
    completions = iter(engine.complete(fitting))
    nothing = Completion(token_ids=(), finish_reason="length")
    answered = [next(completions) if r.max_tokens > 0 else nothing for r in requests]
    return [
        Attempt(
            question_id=question.id,
            model=engine.model.artifact.sha256[:16],
            text=engine.model.text.decode(completion.token_ids),
            num_tokens=len(completion.token_ids),
            finish_reason=completion.finish_reason,
        )
        for question, completion in zip(questions, answered, strict=True)
    ]


def _request(question: Question, config: AttemptsConfig, engine: Engine) -> CompletionRequest:
    model = engine.model
    prompt = chat.generation_prompt(model.format, question.question)
    if not config.think:
        prompt = prompt.removesuffix(model.format.thinking_start)
    ids = model.text.encode(prompt)
    seed = int(question.id[:7], 16) ^ config.seed
    return CompletionRequest(
        prompt_ids=ids,
        max_tokens=min(config.max_tokens, engine.context - len(ids)),
        stop_ids=model.stop_ids,
        sampling=Sampling(temperature=config.temperature, seed=seed),
    )


if __name__ == "__main__":
    cli.run(AttemptsConfig, main, package="serve")
