"""Gives every question a domain: a cluster of its own making, or the nearest class of a list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s1_data.classes import DomainClass
from s1_data.config import DiversityConfig
from s1_data.embedding import neighbours, vectors
from s1_data.embedding.threads import one_thread

if TYPE_CHECKING:
    from s1_data.embedding.vectors import Vectors

NUM_ITERATIONS = 25
NAME_WORDS = 3
WORD = re.compile(r"\\[a-z]+|[a-z]{3,}")  # a LaTeX command is one, and never part of a name


@dataclass(frozen=True, kw_only=True)
class Domains:
    """One label a question, and the name of each label."""

    labels: tuple[int, ...]
    names: Mapping[int, str]


@dataclass(frozen=True, kw_only=True)
class Space:
    """Questions where they lie, and their domains when the options read them off the vectors."""

    vectors: Vectors
    domains: Domains | None


def space(
    texts: Sequence[str],
    config: DiversityConfig,
    seed: int,
    *,
    classes: Sequence[DomainClass] = (),
    nameless: Collection[int] = (),
    cache: Path | None = None,
) -> Space:
    """Embed the questions and label them as `config.domains` says; `llm` leaves them unlabelled.

    The words of the texts numbered in `nameless` name no cluster. msc-nearest wants `classes`,
    which are embedded together with the questions.
    """
    if config.domains != "msc-nearest":
        rows = vectors.embed(texts, config, seed, cache)
        kmeans = config.domains == "kmeans"
        told = ["" if number in nameless else text for number, text in enumerate(texts)]
        found = clusters(told, rows, config.num_domains, seed) if kmeans else None
        return Space(vectors=rows, domains=found)
    assert classes, "msc-nearest without classes"
    together = vectors.embed([*texts, *(c.text for c in classes)], config, seed, cache)
    rows = together[: len(texts)]
    return Space(vectors=rows, domains=_nearest(rows, together[len(texts) :], classes))


def clusters(texts: Sequence[str], rows: Vectors, num_domains: int, seed: int) -> Domains:
    """Label questions by spherical k-means and name the clusters by their words."""
    labels = cluster(rows, num_domains, seed)
    return Domains(labels=tuple(labels), names=_names(texts, labels))


def cluster(rows: Vectors, num_domains: int, seed: int) -> list[int]:
    """Return each row's cluster by spherical k-means."""
    import faiss

    num, size = rows.shape
    with one_thread():
        kmeans = faiss.Kmeans(
            size, min(num_domains, num), niter=NUM_ITERATIONS, seed=seed, spherical=True,
            min_points_per_centroid=1, max_points_per_centroid=num,
        )  # fmt: skip
        kmeans.train(rows)
        labels = kmeans.assign(rows)[1]
    return [int(label) for label in labels]


def _nearest(rows: Vectors, class_rows: Vectors, classes: Sequence[DomainClass]) -> Domains:
    labels = neighbours.search(rows, class_rows, 1)[1][:, 0]
    names = {number: found.name for number, found in enumerate(classes)}
    return Domains(labels=tuple(int(label) for label in labels), names=names)


def _names(texts: Sequence[str], labels: Sequence[int]) -> dict[int, str]:
    """Name each label by its number and the words that set its questions apart."""
    inside: dict[int, Counter[str]] = {label: Counter() for label in sorted(set(labels))}
    for text, label in zip(texts, labels, strict=True):
        inside[label].update({w for w in WORD.findall(text.lower()) if w.isalpha()})
    total: Counter[str] = Counter()
    for counts in inside.values():
        total.update(counts)
    return {
        label: " ".join([f"{label:02d}", *_distinctive(counts, total)])
        for label, counts in inside.items()
    }


def _distinctive(inside: Counter[str], total: Counter[str]) -> list[str]:
    """Rank words by how often they occur here times the share of all their uses that is here.

    Function words come last: they name a domain only where nothing else does.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    def rank(word: str) -> tuple[bool, float, str]:
        return word in ENGLISH_STOP_WORDS, -(inside[word] ** 2) / total[word], word

    return sorted(inside, key=rank)[:NAME_WORDS]
