"""Everything between the embedding and s1K: clusters, names, the draw and the measures.

Ten times the rows may cost twelve times the time: no less than 0.083x.
"""

import random
from collections.abc import Callable
from typing import Any

TITLE = "59,000 vectors to 1,000 rows: domains, selection, measures"
PEER = "Algorithm 1, 59,000 rows"
NUM_ROWS, WIDTH, NUM_CENTRES = 59_000, 128, 200
REPEATS, APART = 1, True


def vectors(num: int) -> Any:
    """Clustered Gaussians of length 1, one row in twenty a copy of another."""
    import numpy as np

    rng = np.random.default_rng(0)
    centres = rng.normal(size=(NUM_CENTRES, WIDTH)).astype(np.float32)
    rows = centres[rng.integers(NUM_CENTRES, size=num)]
    rows += rng.standard_normal((num, WIDTH), dtype=np.float32)
    rows[::20] = rows[1::20]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def texts() -> list[str]:
    """Questions of 20 to 140 words with the frequencies of Zipf's law."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnop", k=6)) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    return [" ".join(rng.choices(words, weights, k=rng.randint(20, 140))) for _ in range(NUM_ROWS)]


def k_center(rows: Any, num: int) -> list[int]:
    """Take the row farthest from those taken before, `num` times."""
    import numpy as np

    chosen, nearest = [0], rows @ rows[0]
    while len(chosen) < num:
        chosen.append(int(nearest.argmin()))
        np.maximum(nearest, rows @ rows[chosen[-1]], out=nearest)
    return chosen


def arms() -> dict[str, Callable[[], object]]:
    """One line of work at two sizes, and the same with another way to choose."""
    import sklearn.feature_extraction.text  # noqa: F401  (loaded here, no arm pays for it)

    from s1_data.config import SelectionConfig
    from s1_data.embedding import domains, measures
    from s1_data.embedding.neighbours import NearDuplicates
    from s1_data.selection.candidates import Candidate
    from s1_data.selection.methods import select

    rows, questions, config = vectors(10 * NUM_ROWS), texts(), SelectionConfig()
    lengths = random.Random(1).choices(range(100, 20_000), k=10 * NUM_ROWS)

    def draw(pool: Any, labels: tuple[int, ...]) -> tuple[int, ...]:
        candidates = [
            Candidate(question_id=f"{i:016x}", domain=label, thinking_tokens=lengths[i])
            for i, label in enumerate(labels)
        ]
        near = NearDuplicates(vectors=pool, cosine=0.98)
        return select(candidates, config, 42, near).chosen

    def line(times: int, choose: Callable[[Any, tuple[int, ...]], Any]) -> object:
        pool = rows[: times * NUM_ROWS]
        labels = domains.clusters(questions * times, pool, 50, 42).labels
        return measures.compare(pool, choose(pool, labels), num_domains=50, seed=42)

    return {
        PEER: lambda: line(1, draw),
        "Algorithm 1, 590,000 rows": lambda: line(10, draw),
        "k-center greedy, 59,000 rows": lambda: line(1, lambda pool, _: k_center(pool, 1000)),
    }
