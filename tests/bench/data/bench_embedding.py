"""Hashed embedding of 59,000 questions against TfidfVectorizer and TruncatedSVD as they come."""

import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

PEER = "plain scikit-learn"
NUM_TEXTS = 59_000
REAL = bool(os.environ.get("S1_DATA"))
TITLE = f"embed {NUM_TEXTS:,} questions ({'S1_DATA, altered copies' if REAL else 'Zipf words'})"
REPEATS, APART = 1, True


def questions() -> list[str]:
    """Texts of the length of real questions: those of S1_DATA, or words by Zipf's law."""
    if REAL:
        files = sorted((Path(os.environ["S1_DATA"]) / "questions").glob("*.jsonl"))
        return [json.loads(line)["question"] for file in files for line in file.open()]
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(50_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return [" ".join(rng.choices(words, weights, k=rng.randint(20, 140))) for _ in range(15_000)]


def copies(texts: list[str]) -> Iterator[str]:
    """Every text again and again, a twentieth of its words exchanged."""
    rng = random.Random(1)
    while True:
        for text in texts:
            words = text.split(" ")
            for _ in range(1 + len(words) // 20):
                words[rng.randrange(len(words))] = words[rng.randrange(len(words))]
            yield " ".join(words)


def arms() -> dict[str, Callable[[], object]]:
    """Both give 128 columns from words and pairs of words."""
    import faiss  # noqa: F401  (loaded here, so that no arm pays for it)
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import Normalizer

    from s1_data.config import DiversityConfig
    from s1_data.embedding import vectors

    stream = copies(questions())
    texts = [next(stream) for _ in range(NUM_TEXTS)]

    def plain() -> object:
        tfidf = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        return make_pipeline(tfidf, TruncatedSVD(128, random_state=0), Normalizer()).fit_transform(
            texts
        )

    return {"hashed": lambda: vectors.embed(texts, DiversityConfig(), 0), PEER: plain}
