"""The names of points in a figure: where they go, and which share one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABEL_SIZE, CHARACTER_WIDTH, AXIS_WIDTH = 8, 5.2, 385
"""points; the width is that of the only panel in its row"""


@dataclass(frozen=True)
class Point:
    """A point to be named by a number, which a text precedes."""

    x: float
    y: float
    number: int
    prefix: str = ""


def name_points(
    axes: Axes,
    points: Sequence[Point],
    colour: str,
    *,
    ends: Sequence[tuple[float, float]],
    is_below: bool,
) -> None:
    """Name points below or above all `ends` of intervals there.

    Neighbours too close for two names share a range of them.
    """
    from matplotlib.patheffects import withStroke

    for group in _together(axes, sorted(points, key=lambda point: point.x)):
        own = [(point.x, point.y) for point in group]
        height = (min if is_below else max)(y for _, y in own + _beside(axes, group, ends))
        axes.annotate(
            _name(group),
            (_middle(group), height),
            (0, -11) if is_below else (0, 4),
            textcoords="offset points",
            ha="center",
            fontsize=LABEL_SIZE,
            color=colour,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _together(axes: Axes, points: Sequence[Point]) -> list[list[Point]]:
    """Group neighbours, left to right, until no two names touch."""
    groups: list[list[Point]] = []
    for point in points:
        groups.append([point])
        while len(groups) > 1 and _gap(axes, *map(_middle, groups[-2:])) < sum(
            map(_half_width, groups[-2:])
        ):
            groups[-2:] = [groups[-2] + groups[-1]]
    return groups


def _beside(
    axes: Axes, group: Sequence[Point], ends: Sequence[tuple[float, float]]
) -> list[tuple[float, float]]:
    reach = _half_width(group)
    return [end for end in ends if abs(_gap(axes, _middle(group), end[0])) < reach]


def _gap(axes: Axes, left: float, right: float) -> float:
    """Measure along the logarithmic axis, in points."""
    low, high = axes.get_xlim()
    return AXIS_WIDTH * math.log2(right / left) / math.log2(high / low)


def _half_width(group: Sequence[Point]) -> float:
    return CHARACTER_WIDTH * (len(_name(group)) + 0.5) / 2


def _name(group: Sequence[Point]) -> str:
    numbers = sorted(point.number for point in group)
    last = f"–{numbers[-1]}" if numbers[-1] > numbers[0] else ""
    return f"{group[0].prefix}{numbers[0]}{last}"


def _middle(group: Sequence[Point]) -> float:
    return math.sqrt(group[0].x * group[-1].x)
