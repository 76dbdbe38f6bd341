"""The dataset card of an s1k artifact: README.md for a person, with one figure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from s1_core.artifacts import Draft
from s1_core.records import Example
from s1_data.config import BuildConfig
from s1_data.funnel import Funnel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE = "composition.png"
INK, BAR, GONE = "#222222", "#3b6fb6", "#d9dee6"
NUM_BARS = 16
NAMES = {"local": "local files", "bank": "the generated bank", "reference": "human solutions"}


def write(draft: Draft, config: BuildConfig, funnel: Funnel, examples: Sequence[Example]) -> None:
    """Write README.md and its figure into the draft."""
    draft.write_text("README.md", _text(config, funnel, examples))
    _draw(str(draft.path / FIGURE), config, funnel, examples)


def unit(config: BuildConfig) -> str:
    """Name what thinking is counted in."""
    return "words" if config.difficulty.tokenizer == "words" else "tokens"


def _text(config: BuildConfig, funnel: Funnel, examples: Sequence[Example]) -> str:
    lengths = [example.thinking_tokens for example in examples]
    source, teacher = NAMES[config.source.kind], NAMES[config.source.teacher]
    return f"""# s1K: {len(examples)} questions with reasoning traces

Questions from {source}, traces from {teacher}, seed {config.seed}.
{_difficulty(config)}
Thinking: {sum(lengths):,} {unit(config)} in all, mean {fmean(lengths):.0f}, median \
{median(lengths):.0f}, longest {max(lengths):,}.

![Funnel, sources, domains and lengths]({FIGURE})

## Funnel
{_table(("stage", "before", "after", "left, by rule"), _funnel_rows(funnel))}

## Sources
{_table(("source", "rows", f"{unit(config)} of thinking"), _tally(examples, "source_type"))}

## Domains
Spherical k-means ({config.diversity.num_domains} clusters asked for) over hashed TF-IDF + SVD \
vectors of the questions; a domain is named by its number and the words that set it apart.

{_table(("domain", "rows", f"{unit(config)} of thinking"), _tally(examples, "domain"))}

## Made by
Algorithm 1 of s1 (a domain uniformly, then a row with weight 2^-rank, rank 0 thinking longest), \
over embedding domains; {_near(config)}
Decontaminated against {", ".join(config.decontamination.benchmarks)} \
({_rule(config)}). Every row that left is in rejections.parquet with its rule. \
Licences are those of the sources.
"""


def _difficulty(config: BuildConfig) -> str:
    share = config.difficulty.drop_fraction
    return {
        "attempts": "Difficulty: questions that the base model answered right were dropped.",
        "solution_length": f"Difficulty: solution length, a stand-in; no model was asked. The"
        f" {share:.0%} of the questions with the shortest human solutions were dropped.",
        "none": "Difficulty: not filtered.",
    }[config.difficulty.by]


def _near(config: BuildConfig) -> str:
    limit = config.diversity.near_duplicate
    return (
        "near-duplicates are kept."
        if limit is None
        else f"rows with cosine {limit} or more to a chosen row are skipped."
    )


def _rule(config: BuildConfig) -> str:
    words = config.decontamination.shingle_words
    exact = config.decontamination.rule == "exact"
    return "equal normalised text" if exact else f"one shared run of {words} words is enough"


def _funnel_rows(funnel: Funnel) -> Iterable[tuple[Any, ...]]:
    for step in funnel.steps:
        rules = ", ".join(f"{name}: {count:,}" for name, count in step.rules.items())
        yield step.stage, f"{step.before:,}", f"{step.after:,}", rules or "-"


def _tally(examples: Sequence[Example], field: str) -> Iterable[tuple[Any, ...]]:
    rows = Counter(getattr(example, field) for example in examples)
    tokens: Counter[str] = Counter()
    for example in examples:
        tokens[getattr(example, field)] += example.thinking_tokens
    for name, count in sorted(rows.items(), key=lambda pair: (-pair[1], pair[0])):
        yield name, f"{count:,}", f"{tokens[name]:,}"


def _table(header: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _draw(path: str, config: BuildConfig, funnel: Funnel, examples: Sequence[Example]) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _draw_funnel(axes[0][0], funnel)
    _draw_lengths(axes[0][1], [example.thinking_tokens for example in examples], unit(config))
    _draw_tally(axes[1][0], [example.source_type for example in examples], "source")
    _draw_tally(axes[1][1], [example.domain for example in examples], "domain")
    figure.savefig(path, metadata={"Software": None})


def _draw_funnel(axes: Axes, funnel: Funnel) -> None:
    stages = [step.stage for step in funnel.steps]
    before = [step.before for step in funnel.steps]
    after = [step.after for step in funnel.steps]
    axes.barh(stages, before, color=GONE)
    bars = axes.barh(stages, after, color=BAR)
    axes.bar_label(bars, labels=[f"{count:,}" for count in after], padding=3, color=INK)
    axes.invert_yaxis()
    axes.set(title="Funnel: came (grey), stayed (blue)", xlabel="questions")
    _plain(axes)


def _draw_lengths(axes: Axes, lengths: Sequence[int], counted_in: str) -> None:
    axes.hist(lengths, bins=40, color=BAR)
    axes.axvline(median(lengths), color=INK, linestyle="--", linewidth=1)
    axes.set(
        title=f"Thinking length (dashed: median {median(lengths):.0f})",
        xlabel=f"{counted_in} of thinking",
        ylabel="questions",
    )
    _plain(axes)


def _draw_tally(axes: Axes, labels: Sequence[str], what: str) -> None:
    counts = sorted(Counter(labels).items(), key=lambda pair: (-pair[1], pair[0]))
    shown = counts[:NUM_BARS]
    bars = axes.barh([name for name, _ in shown], [count for _, count in shown], color=BAR)
    axes.bar_label(bars, padding=3, color=INK)
    axes.invert_yaxis()
    scope = f"the largest {NUM_BARS} of {len(counts)}" if len(counts) > NUM_BARS else "all"
    axes.set(title=f"By {what} ({scope})", xlabel="questions")
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
