"""The verbs attempts and ask on a tiny model; what they write, how they end."""

import pytest

from factories import sums
from s1_core import artifacts
from s1_core.records import Attempt, Question
from s1_serve import attempts, client
from s1_serve.config import AskConfig, AttemptsConfig, ServeConfig

pytestmark = pytest.mark.engine
SERVE = ServeConfig(kv_cache_gib=0.01, max_num_seqs=64)


@pytest.fixture(scope="module")
def questions(tmp_path_factory):
    return sums(tmp_path_factory.mktemp("bench") / "questions", 10)


def test_attempts_answer_every_question_and_are_written_once(
    engine, model_folder, questions, tmp_path, capfd
):
    out = tmp_path / "attempts"
    config = AttemptsConfig(
        questions=str(questions), model=str(model_folder), out=str(out), max_tokens=12, serve=SERVE
    )
    attempts.main(config)
    artifact = artifacts.load(out, kind="attempts")
    rows = artifact.read("attempts", Attempt)
    asked = artifacts.load(questions).read("questions", Question)
    assert [row.question_id for row in rows] == [question.id for question in asked]
    assert all(row.num_tokens <= 12 for row in rows)
    attempts.main(config)
    assert "up to date" in capfd.readouterr().err
    assert artifacts.load(out).sha256 == artifact.sha256


def test_a_question_too_long_for_the_context_is_an_empty_attempt(engine, model_folder, tmp_path):
    questions = sums(tmp_path / "questions", 1, question="12 " * 600)
    out = tmp_path / "attempts"
    attempts.main(
        AttemptsConfig(questions=str(questions), model=str(model_folder), out=str(out), serve=SERVE)
    )
    (row,) = artifacts.load(out).read("attempts", Attempt)
    assert (row.text, row.num_tokens, row.finish_reason) == ("", 0, "length")


def test_ask_prints_thinking_and_answer_and_then_the_counts(engine, model_folder, capfd):
    client.main(
        AskConfig(
            question="What is 1 + 1?",
            model=str(model_folder),
            budget=30,
            extends=1,
            max_tokens=60,
            serve=SERVE,
        )
    )
    printed, counts = capfd.readouterr()
    assert "Wait" in printed
    assert "thinking tokens (" in counts and "1 extend)" in counts
