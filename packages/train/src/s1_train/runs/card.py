"""The card of a finished run: what went in, what came out, how fast, and the curves as a picture.

Reads what the run wrote; knows nothing of its own.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from s1_train.net.weights import NO_BASE
from s1_train.runs.encoded import DROPPED
from s1_train.runs.folder import Identity, RunFolder, flat, read_json, write_text
from s1_train.runs.job import Job

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WINDOW = 20
_PALE, _STRONG, _GREY = "#9db8d2", "#1f4e79", "#7a7a7a"
_PANELS = (
    ("loss", "loss per target\ntoken (nats)"),
    ("lr", "learning rate"),
    ("grad_norm", "gradient norm"),
    ("tokens_per_s", "tokens/s"),
)


@dataclass(frozen=True)
class Course:
    """What a run left behind step by step, and where its processes began."""

    columns: dict[str, NDArray[np.float64]]
    starts: list[dict[str, str]]

    @staticmethod
    def read(folder: RunFolder) -> Course:
        """Read metrics.csv and starts.csv; an empty field is NaN."""
        rows, starts = _rows(folder.metrics), _rows(folder.starts)
        columns = {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}
        return Course(columns, starts)

    @property
    def resumed(self) -> list[int]:
        """The steps behind which the run was taken up again, as often as it was."""
        return [int(start["step"]) for start in self.starts[1:]]

    def facts(self) -> dict[str, str]:
        """Say what came out and how fast."""
        loss, seconds, tokens = (self.columns[name] for name in ("loss", "seconds", "tokens"))
        used = [f"{start['processes']} on {start['device']}" for start in self.starts]
        facts = {
            "steps": f"{len(loss):,}",
            "loss of the last step": f"{loss[-1]:.4f}",
            f"mean loss of the last {len(loss[-_WINDOW:])}": f"{loss[-_WINDOW:].mean():.4f}",
            "tokens": f"{tokens.sum():,.0f}",
            "time of these steps": str(timedelta(seconds=round(seconds.sum()))),
            "tokens/s": f"{tokens.sum() / seconds.sum():,.0f}",
            "processes": ", then ".join(dict.fromkeys(used)),
        }
        if self.resumed:
            facts["resumed behind step"] = ", ".join(map(str, self.resumed))
        if not np.isnan(self.columns["mfu"]).all():
            facts["MFU, median"] = f"{np.nanmedian(self.columns['mfu']):.1%}"
        return facts


def write(folder: RunFolder) -> None:
    """Write card.md and curves.png of a run whose last step is saved."""
    job, identity, course = Job.read(folder.job), folder.identity(), Course.read(folder)
    assert identity is not None, "a run that has trained has a recipe"
    _draw(course, folder.curves)
    write_text(folder.card, _text(job, identity, course, read_json(folder.encoded / DROPPED)))


def _text(job: Job, identity: Identity, course: Course, dropped: dict[str, int]) -> str:
    out = job.config.out
    facts = course.facts() | {
        "samples dropped": f"{dropped['too_long']} too long, {dropped['without_target']} without"
        " a target",
        **{f"sha256 of {name}": f"`{sha256}`" for name, sha256 in identity.parents.items()},
    }
    recipe = {key: f"`{value}`" for key, value in flat(identity.recipe).items()}
    base = identity.recipe["base"]
    start = "from scratch" if base == NO_BASE else f"on {base}"
    return f"""# A run of {len(course.columns["step"]):,} steps {start}

| | |
|---|---|
{_table(facts)}

![loss, learning rate, gradient norm and tokens/s over steps](curves.png)

## Recipe
`config.yaml` holds all of it, for `--config`.

| | |
|---|---|
{_table(recipe)}

## Export
```
just export --run {out} --out {out.parent / "model"}
```
"""


def _table(rows: dict[str, str]) -> str:
    return "\n".join(f"| {key} | {value} |" for key, value in rows.items())


def _draw(course: Course, picture: Path) -> None:
    """Draw a panel a quantity: every step pale, its running mean strong, resumes dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(
        len(_PANELS), 1, sharex=True, figsize=(7.5, 8), height_ratios=[2, 1, 1, 1],
        layout="constrained",
    )  # fmt: skip
    steps = course.columns["step"]
    for axes, (name, label) in zip(panels, _PANELS, strict=True):
        _curve(axes, steps, course.columns[name], is_noisy=name != "lr")
        axes.set(ylabel=label, ylim=(0, None), xlim=(0, steps[-1]))
        _mark(axes, course.resumed)
    panels[0].legend(frameon=False)
    panels[-1].set_xlabel("optimiser step")
    panels[-1].yaxis.set_major_formatter("{x:,.0f}")
    figure.align_ylabels(panels)
    temp = picture.with_name(f".{picture.name}")
    figure.savefig(temp, dpi=130)
    temp.replace(picture)
    plt.close(figure)


def _curve(
    axes: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], *, is_noisy: bool
) -> None:
    reach = min(_WINDOW // 2, len(values) // 10)
    if is_noisy and reach:
        axes.plot(steps, values, color=_PALE, linewidth=0.8, label="each step")
        values = _running_mean(values, reach)
    axes.plot(steps, values, color=_STRONG, label=f"mean of {2 * reach + 1} steps")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _running_mean(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Average each value with as many on either side; at the ends, with those there are."""
    window = np.ones(2 * reach + 1)
    total = np.convolve(values, window, mode="same")
    return total / np.convolve(np.ones(len(values)), window, mode="same")


def _mark(axes: Axes, resumed: Sequence[int]) -> None:
    for step in sorted(set(resumed)):
        label = "resumed" if step == min(resumed) else None
        axes.axvline(step, color=_GREY, linestyle="--", linewidth=1, label=label)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))
