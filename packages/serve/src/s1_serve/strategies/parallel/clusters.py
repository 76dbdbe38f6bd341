"""Votes for free text: answers that the model calls the same are one ballot.

Greedy, in the order in which samples were asked for: each is compared with one member of every
cluster so far, all of them at once (as DeepPrune groups traces, arXiv 2510.08483). Samples that
have a vote of their own ask for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from s1_serve.strategies.calls import Chat
from s1_serve.strategies.known import Known, Sample
from s1_serve.strategies.refine import prompts

MOST_CLUSTERS = 8
"""that later answers are compared with: at most so many calls a sample"""
MUTE = "no comparison of answers was understood"
_LABEL_CHARS = 80


@dataclass(frozen=True, kw_only=True)
class Grouped:
    """Where the clustering stands."""

    missing: tuple[Chat, ...] = ()
    """Comparisons to ask for now; the next ones depend on them."""
    voters: tuple[Sample, ...] = ()
    """Finished samples that were placed, with the name of their cluster as their vote."""
    is_mute: bool = False
    """Comparisons were asked for and none was understood."""


def grouped(known: Known) -> Grouped:
    """Place finished samples one after another, as far as the comparisons go that have ended."""
    heads: list[Sample] = []
    voters: list[Sample] = []
    said: list[bool | None] = []
    for sample in known.answered:
        if sample.result.vote is not None or not prompts.shown(sample.result):
            voters.append(sample)
            continue
        missing = [head for head in heads if _name(head, sample) not in known]
        if missing and not known.is_closed:
            calls = tuple(_comparison(head, sample, len(known.samples)) for head in missing)
            return Grouped(missing=calls, voters=tuple(voters))
        verdicts = [_verdict(known, _name(head, sample)) for head in heads]
        said += verdicts
        same = next((h for h, verdict in zip(heads, verdicts, strict=True) if verdict), None)
        if same is None and len(heads) < MOST_CLUSTERS:
            heads.append(sample)
        label = _label(same or sample)
        voters.append(replace(sample, result=replace(sample.result, vote=label)))
    return Grouped(voters=tuple(voters), is_mute=bool(said) and all(v is None for v in said))


def _name(head: Sample, sample: Sample) -> str:
    return f"same/{head.id}/{sample.id}"


def _comparison(head: Sample, sample: Sample, index: int) -> Chat:
    return Chat(
        id=_name(head, sample),
        index=index,
        under=prompts.same(prompts.shown(head.result), prompts.shown(sample.result)),
        is_verifier=True,
    )


def _verdict(known: Known, name: str) -> bool | None:
    return prompts.verdict(known[name].reply) if name in known else None


def _label(sample: Sample) -> str:
    """Name a cluster: the beginning of its first answer, and whose it is."""
    text = " ".join(prompts.shown(sample.result).split())
    return f"{text[:_LABEL_CHARS]} [{sample.id}]"
