"""Is the exported model the checkpoint that was trained? As the export left it in the folder."""

from __future__ import annotations

from s1_core import parity
from s1_serve.release.gates.evidence import Evidence, Judgement, judged
from s1_serve.release.rules import Rules
from s1_serve.release.verdicts import FAIL, PASS, Row


def row(rules: Rules, candidate: Evidence) -> Row:
    """Compare the difference of logits with what the rules allow; a folder without one fails."""
    wanted = f"logits within {rules.parity:g} of the checkpoint's"

    def judge() -> Judgement:
        folder = candidate.artifact.path
        if parity.FILE not in {entry["path"] for entry in candidate.artifact.files}:
            return FAIL, f"the model holds no {parity.FILE}: export it again"
        found = parity.read(folder)
        is_close = found.num_tokens > 0 and found.max_difference <= rules.parity
        moved = f"rounding moves them by {found.rounding:g}"
        said = f"{found.max_difference:g} over {found.num_tokens} tokens; {moved}"
        return (PASS if is_close else FAIL), said

    return judged("export parity", wanted, judge)
