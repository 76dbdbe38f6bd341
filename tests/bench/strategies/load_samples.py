"""What strategies save on the embedded model and the bank, in one engine: tokens and samples.

All samples are drawn at temperature 0.7 without a thinking maximum. Tokens are those the engine
decoded, aborted ones too. Accuracy is on held-out questions, its difference paired by question.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from s1_core import answers, artifacts, metrics
from s1_core.records import Question
from s1_data import bank
from s1_serve.completions import Sampling
from s1_serve.config import ServeConfig
from s1_serve.engine import Engine
from s1_serve.evaluate.run.tokens import Speech
from s1_serve.model import open_model
from s1_serve.options import quiet
from s1_serve.strategies import catalogue
from s1_serve.strategies.engine_driver import Ask, EngineDriver, Mind
from s1_serve.strategies.known import Known
from s1_serve.strategies.session import Limits, Session

TITLE = "strategies on the embedded model, 220 held-out questions of the bank"
NUM_QUESTIONS, TEMPERATURE, ANSWER_TOKENS, SEED = 220, 0.7, 24, 0
ARMS = (
    "majority:n=1", "majority:n=8", "shortest:k=1,n=8", "shortest:k=1,n=8,clock=answer",
    "majority:n=64", "adaptive:n_max=64",
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """An arm's answers, a row a question."""

    right: Sequence[bool]
    tokens: Sequence[int]
    samples: Sequence[int]


def rows() -> list[dict[str, Any]]:
    """Give a row for each strategy, with what it is compared to."""
    mind = started()
    questions = list(bank.generate(NUM_QUESTIONS, 1, "heldout"))
    found = {arm: _found(run(arm, mind, questions), questions) for arm in ARMS}
    return [_row(arm, one, found) for arm, one in found.items()] + _prefills(mind, questions)


def _prefills(mind: Mind, questions: Sequence[Question]) -> list[dict[str, Any]]:
    """Count the prompt tokens that 8 samples compute, for a prompt of the bank and a long one.

    Prompts share whole blocks of the cache alone, 32 tokens on CPU.
    """
    rows = []
    for name, question in (("a bank prompt", questions[0]), ("a long prompt", _long(questions))):
        (session,) = run("majority:n=8", mind, [question])
        results = [sample.result for sample in session.known]
        length = results[0].prompt_tokens
        computed = sum(result.prompt_tokens - result.cached_tokens for result in results)
        told = f"majority:n=8 of {name}, {length} tokens"
        rows.append({"strategy": told, "prefills computed": computed / length})
    return rows


def _long(questions: Sequence[Question]) -> Question:
    texts = [question.question for question in questions[:20]]
    return replace(questions[0], question=" ".join(texts))


def started() -> Mind:
    """Start an engine on the embedded model."""
    quiet()
    model = open_model(str(artifacts.embedded()))
    engine = Engine(model, ServeConfig(kv_cache_gib=0.5, max_num_seqs=256))
    speech = Speech(
        format=model.format,
        codec=model.text,
        stop_ids=model.stop_ids,
        context=engine.context,
        answer_tokens=ANSWER_TOKENS,
    )
    return Mind(engine=engine, speech=speech)


def run(arm: str, mind: Mind, questions: Sequence[Question]) -> list[Session]:
    """Answer all questions by a strategy, in one continuous batch."""
    policy = catalogue.build(*catalogue.parse(arm), catalogue.Available())
    sessions: dict[int, Session] = {}

    def done(key: int, session: Session, _seconds: float) -> Iterable[tuple[int, Ask]]:
        sessions[key] = session
        return ()

    def asks() -> Iterable[tuple[int, Ask]]:
        for number, question in enumerate(questions):
            known = Known(question=question.question, seed=SEED + number)
            session = Session(policy, Limits(concurrency=64), known)
            sampling = Sampling(temperature=TEMPERATURE, seed=seed_of(number))
            yield number, Ask(question=question.question, session=session, sampling=sampling)

    EngineDriver(mind).run(asks(), done)
    return [sessions[number] for number in range(len(questions))]


def seed_of(number: int) -> int:
    """Give each question a range of seeds, one for each of its samples."""
    return 1000 * number + SEED


def _found(sessions: Sequence[Session], questions: Sequence[Question]) -> Found:
    return Found(
        right=[_is_right(s, q) for s, q in zip(sessions, questions, strict=True)],
        tokens=[session.tokens.total for session in sessions],
        samples=[session.counts()["started"] for session in sessions],
    )


def _is_right(session: Session, question: Question) -> bool:
    assert session.outcome is not None and question.answer is not None
    choice = session.outcome.choice
    answer = session.known[choice.id].result.answer if choice else ""
    return answers.is_correct(answer, question.answer)


PEERS = {
    "shortest:k=1,n=8": "majority:n=8", "shortest:k=1,n=8,clock=answer": "majority:n=8",
    "adaptive:n_max=64": "majority:n=64",
}  # fmt: skip


def _row(arm: str, one: Found, all_found: dict[str, Found]) -> dict[str, Any]:
    row: dict[str, Any] = {
        "strategy": arm,
        "accuracy %": 100 * fmean(one.right),
        "samples": fmean(one.samples),
        "tokens": fmean(one.tokens),
    }
    if arm not in PEERS:
        return row
    peer = all_found[PEERS[arm]]
    differences = [float(a) - float(b) for a, b in zip(one.right, peer.right, strict=True)]
    low, high = metrics.interval(differences, seed=SEED)
    return row | {
        "against": PEERS[arm],
        "tokens ratio": sum(one.tokens) / sum(peer.tokens),
        "samples ratio": sum(one.samples) / sum(peer.samples),
        "accuracy difference": f"{100 * fmean(differences):+.1f} [{low:+.1f}, {high:+.1f}]",
    }
