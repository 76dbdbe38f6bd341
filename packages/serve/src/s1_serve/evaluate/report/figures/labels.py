"""The names of points in a figure: beside their point, shared where points coincide, else none.

Wants a figure that is laid out: only in pixels is it known what a name would cover.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path
    from matplotlib.text import Annotation
    from matplotlib.transforms import Bbox

LABEL_SIZE, MARKER_SIZE, GAP = 8, 5, 3
"""points; the gap is from a marker or the end of its interval to a name"""
PLACES = ((0, -1), (0, 1), (1, 0), (-1, 0), (1, -1), (-1, -1), (1, 1), (-1, 1))
"""of a name that rather lies below its point, best first: to the right, and up"""
_ACROSS: dict[int, Literal["right", "center", "left"]] = {-1: "right", 0: "center", 1: "left"}
_ALONG: dict[int, Literal["top", "center", "bottom"]] = {-1: "top", 0: "center", 1: "bottom"}


@dataclass(frozen=True)
class Point:
    """A point with its interval and its name."""

    x: float
    y: float
    interval: Sequence[float]
    name: str


@dataclass(frozen=True)
class Names:
    """What names the points of one series, in the order of its settings."""

    points: Sequence[Point]
    colour: str
    is_below: bool = True
    prefix: str = ""


def place(axes: Axes, series: Iterable[Names]) -> None:
    """Write every name that has room beside its point; earlier series choose first."""
    marks, lines = _marks(axes), _lines(axes)
    for names in series:
        for group in _coinciding(axes, names.points):
            text = _written(axes, names, group)
            box = _placed(text, names.points[group[0]], names.is_below, marks, lines)
            if box is None:
                text.remove()
            else:
                marks.append(box)


def _coinciding(axes: Axes, points: Sequence[Point]) -> list[list[int]]:
    """Group the points, by their index, that lie within one marker; leave out those not shown."""
    groups: list[list[int]] = []
    shown = axes.get_xlim()
    places = axes.transData.transform([(point.x, point.y) for point in points] or [(1, 1)])
    near = _pixels(axes, MARKER_SIZE)
    for at, point in enumerate(points):
        if not shown[0] <= point.x <= shown[1]:
            continue
        for group in groups:
            if max(abs(places[at] - places[group[0]])) <= near:
                group.append(at)
                break
        else:
            groups.append([at])
    return groups


def _written(axes: Axes, names: Names, group: Sequence[int]) -> Annotation:
    from matplotlib.patheffects import withStroke

    text = axes.annotate(
        _name(names, group),
        (0, 0),
        (0, 0),
        textcoords="offset points",
        fontsize=LABEL_SIZE,
        color=names.colour,
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )
    text.set_in_layout(False)
    return text


def _name(names: Names, group: Sequence[int]) -> str:
    """Join the names of a group: as a range only where none of that range lies elsewhere."""
    own = [names.points[at].name for at in group]
    is_range = len(own) > 2 and group[-1] - group[0] == len(own) - 1
    return names.prefix + (f"{own[0]}–{own[-1]}" if is_range else ", ".join(own))


def _placed(
    text: Annotation,
    point: Point,
    is_below: bool,
    marks: Sequence[Bbox],
    lines: Sequence[Path],
) -> Bbox | None:
    """Move a name to the best place that covers no mark, and if it can be no line either."""
    for avoided in (lines, ()):
        for right, up in PLACES:
            box = _at(text, point, right, up if is_below else -up)
            if _is_free(text.axes, box, marks, avoided):
                return box
    return None


def _at(text: Annotation, point: Point, right: int, up: int) -> Bbox:
    """Put a name beside the marker, or beyond an end of the interval; give what it covers."""
    low, high = point.interval
    text.xy = (point.x, point.y if right or not up else high if up > 0 else low)
    text.set_position((right * (MARKER_SIZE / 2 + GAP), up * GAP))
    text.set_horizontalalignment(_ACROSS[right])
    text.set_verticalalignment(_ALONG[up])
    return text.get_window_extent()


def _is_free(axes: Any, box: Bbox, marks: Sequence[Bbox], lines: Sequence[Path]) -> bool:
    inside = axes.get_window_extent()
    return (
        inside.x0 <= box.x0
        and box.x1 <= inside.x1
        and inside.y0 <= box.y0
        and box.y1 <= inside.y1
        and not any(box.overlaps(mark) for mark in marks)
        and not any(line.intersects_bbox(box, filled=False) for line in lines)
    )


def _marks(axes: Axes) -> list[Bbox]:
    """Give what markers and intervals cover."""
    from matplotlib.transforms import Bbox

    half = _pixels(axes, MARKER_SIZE) / 2
    found = []
    for container in axes.containers:
        data, _, (bars, *_) = container
        for x, y in axes.transData.transform(data.get_xydata()):
            found.append(Bbox.from_extents(x - half, y - half, x + half, y + half))
        for (x, low), (_, high) in map(axes.transData.transform, bars.get_segments()):
            found.append(Bbox.from_extents(x - half / 2, low, x + half / 2, high))
    return found


def _lines(axes: Axes) -> list[Path]:
    drawn = [line for line in axes.lines if line.get_linestyle() != "None" and line.get_linewidth()]
    return [line.get_transform().transform_path(line.get_path()) for line in drawn]


def _pixels(axes: Axes, points: float) -> float:
    return points * cast("Figure", axes.get_figure(root=True)).dpi / 72
