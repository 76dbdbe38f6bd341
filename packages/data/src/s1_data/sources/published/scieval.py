"""SciEval, and the pick of 250 of its rows (spec 1.1)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

from s1_core.records import Question
from s1_data.sources.published.kept import KEPT
from s1_data.sources.source import Fields, Part, Source, each, first, question, shuffled

NUM_PICKED = 250
SOCRATIC = "SocraticQA"
KINDS = {
    SOCRATIC: "science", "reagent selection": "science",
    "MedQA": "health science", "PubMedQA": "health science",
}  # fmt: skip
REWRITES = {
    f"\nOptimal {what}:": f"\nWhat is the optimal {what}?"
    for what in ("solvent", "ligand", "reactant")
}


@each
def _scieval(_part: Part, row: Fields) -> Question | None:
    if row["answer"] is None:
        return None
    text, answer = _asked(row.pop("question") or ""), first(row.pop("answer"))
    kind = "/".join(str(row[key]) for key in ("category", "type", "task_name"))
    return question(
        text, row, solution=answer, answer=answer,
        cot_type=KINDS.get(row["task_name"], "science"), source_type=f"OpenDFM/SciEval/{kind}",
    )  # fmt: skip


def _asked(text: str) -> str:
    """Cut the prompt for an answer off, and ask in words where the row only names what it wants."""
    text = text.partition("\n\nAnswer:")[0]
    for ending, asked in REWRITES.items():
        text = text.replace(ending, asked)
    return text


def pick(rows: Sequence[Question]) -> list[Question]:
    """Fill quotas by topic and by task in shuffled order, then add the rows kept by hand.

    A row that both its topic and its task have room for is taken twice, and a step over the wanted
    number does not stop the walk: both as released. Rows without a topic share one.
    """
    kept = [row for row in rows if row.id in KEPT]
    wanted, labels = NUM_PICKED - len(kept), [_labels(row) for row in rows]
    tasks, topics = {task for task, _ in labels}, {topic for _, topic in labels}
    task_room = dict.fromkeys(tasks, math.ceil(wanted / len(tasks)) if tasks else 0)
    share = math.ceil(task_room.get(SOCRATIC, 0) / len(topics)) if topics else 0
    topic_room = dict.fromkeys(topics, share)
    picked: list[Question] = []
    for row in shuffled(rows):
        task, topic = _labels(row)
        if topic_room[topic] > 0:
            picked.append(row)
            topic_room[topic] -= 1
            task_room[SOCRATIC] = task_room.get(SOCRATIC, 0) - 1
        if task_room[task] > 0:
            picked.append(row)
            task_room[task] -= 1
        if len(picked) == wanted:
            break
    return picked + kept


def _labels(row: Question) -> tuple[str, str]:
    fields = json.loads(row.metadata)
    return str(fields["task_name"]), str(fields["topic"])


SCIEVAL = Source(
    name="scieval",
    hub_id="OpenDFM/SciEval",
    parts=(Part(split="test"), Part(split="validation")),
    columns=("question", "answer", "category", "type", "task_name", "topic"),
    convert=_scieval,
    arrange=pick,
    homepage="https://github.com/OpenDFM/SciEval",
)
