"""What a service says of a strategy, beside the answer that it chose."""

from typing import Any


def told(started: int, finished: int, aborted: int = 0, wasted: int = 0) -> dict[str, Any]:
    """Write the object `tts` of a reply: two candidates are listed, the second one was chosen."""
    return {
        "started": started, "finished": finished, "aborted": aborted, "degraded": False,
        "tokens": {"total": 30, "sequential": 10, "aborted": wasted, "verifier": 0},
        "votes": {"7": 1.0}, "margin": 1.0, "selected": "1", "stopped": "the first voted",
        "candidates": [{"id": "0", "tokens": 20}, {"id": "1", "tokens": 10}],
    }  # fmt: skip
