"""Which series a server writes, with their labels, read from the sources of those who write them.

Nothing is imported: vLLM takes seconds, and metrics exist once a process.
"""

from __future__ import annotations

import ast
import functools
import importlib.util
from pathlib import Path

SUFFIXES = {
    "Counter": ("_total",),
    "Gauge": ("",),
    "Histogram": ("_bucket", "_sum", "_count"),
    "Summary": ("", "_sum", "_count"),
}
_SOURCES = ("s1_serve.server.telemetry", "vllm.v1.metrics.loggers")


@functools.cache
def series() -> dict[str, set[str]]:
    """Collect the series of our telemetry and of vLLM, each with its labels."""
    found: dict[str, set[str]] = {}
    for module in _SOURCES:
        tree = ast.parse(_path(module).read_text())
        names = _assigned(tree, "labelnames")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and (kind := _kind(node)) and (told := _name(node)):
                labels = _labels(node, names)
                found |= {told + suffix: labels for suffix in SUFFIXES[kind]}
    return found


def _path(module: str) -> Path:
    package, _, inner = module.partition(".")
    spec = importlib.util.find_spec(package)
    assert spec and spec.submodule_search_locations, f"{package} is not installed"
    return Path(next(iter(spec.submodule_search_locations)), *inner.split(".")).with_suffix(".py")


def _kind(node: ast.Call) -> str | None:
    """Read `Counter(` and `self._counter_cls(` alike."""
    called = ast.unparse(node.func).rpartition(".")[2].removeprefix("_").removesuffix("_cls")
    return called.title() if called.title() in SUFFIXES else None


def _name(node: ast.Call) -> str:
    given = [*node.args[:1], *(key.value for key in node.keywords if key.arg == "name")]
    told = given[0].value if given and isinstance(given[0], ast.Constant) else ""
    # The client writes a counter named x_total as it does one named x.
    return told.removesuffix("_total") if _kind(node) == "Counter" else told


def _labels(node: ast.Call, names: set[str]) -> set[str]:
    given = [*node.args[2:3], *(key.value for key in node.keywords if key.arg == "labelnames")]
    words = {
        part.value for each in given for part in ast.walk(each) if isinstance(part, ast.Constant)
    }
    uses_names = any(isinstance(part, ast.Name) for each in given for part in ast.walk(each))
    return words | (names if uses_names else set())


def _assigned(tree: ast.Module, variable: str) -> set[str]:
    return {
        part.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == variable
        for part in ast.walk(node.value)
        if isinstance(part, ast.Constant)
    }
