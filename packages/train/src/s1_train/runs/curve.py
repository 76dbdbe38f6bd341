"""The picture of a finished run: loss and learning rate over steps."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_WINDOW = 20


def draw(metrics: Path, picture: Path, title: str) -> None:
    """Draw metrics.csv: every step pale, its running mean strong, the rate below."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = _read(metrics)
    figure, (upper, lower) = plt.subplots(
        2, 1, sharex=True, figsize=(7, 4.5), height_ratios=[3, 1], layout="constrained"
    )
    steps, loss = columns["step"], columns["loss"]
    upper.plot(steps, loss, color="#9db8d2", linewidth=0.8, label="each step")
    window = min(_WINDOW, len(loss))
    smooth = np.convolve(loss, np.ones(window) / window, mode="valid")
    centre = (window - 1) // 2
    upper.plot(
        steps[centre : centre + len(smooth)],
        smooth,
        color="#1f4e79",
        label=f"mean of {window} steps",
    )
    upper.set(ylabel="loss per target token (nats)", title=title, ylim=(0, None))
    upper.legend(frameon=False)
    lower.plot(steps, columns["lr"], color="#7a7a7a")
    lower.set(xlabel="optimiser step", ylabel="learning rate", ylim=(0, None))
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    figure.savefig(picture, dpi=130)
    plt.close(figure)


def _read(metrics: Path) -> dict[str, NDArray[np.float64]]:
    with metrics.open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}
