"""Measure every arm in one run, in rotated order, by CPU time, and print ratios: `just bench`.

A bench is a file tests/bench/<room>/bench_*.py with TITLE, PEER (the arm the others are divided
by) and arms() -> {name: callable}; set-up belongs into arms(), outside the timer. REPEATS says how
often, 5 when it is not there. With APART each arm runs in a forked child, cold, and what the
system accounts to that child is shown: CPU seconds and peak memory, the set-up's included.
A file gpu_*.py, load_*.py or sim_*.py has TITLE and rows() -> what it measured itself, one dict a
row: on a CUDA device (none where there is no device), of servers under load, by simulation.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
NO_DEVICE = "no CUDA device, left out"
RESULTS = HERE.parents[1] / "artifacts" / "bench.json"


def load(path: Path) -> Any:
    """Import a bench file by its path."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def measure(arms: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """CPU seconds of each arm and repeat; every repeat starts with another arm."""
    names = list(arms)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for arm in arms.values():
        arm()
    for repeat in range(repeats):
        shift = repeat % len(names)
        for name in names[shift:] + names[:shift]:
            begun = time.process_time()
            arms[name]()
            seconds[name].append(time.process_time() - begun)
    return seconds


def measure_apart(
    arms: dict[str, Callable[[], object]], repeats: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """CPU seconds of each arm and repeat, and the most memory of each arm in GB."""
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    peaks = dict.fromkeys(arms, 0.0)
    for _ in range(repeats):
        for name, arm in arms.items():
            used = child(arm)
            seconds[name].append(used.ru_utime + used.ru_stime)
            peaks[name] = max(peaks[name], used.ru_maxrss * 1024 / 1e9)
    return seconds, peaks


def child(arm: Callable[[], object]) -> resource.struct_rusage:
    """Run an arm in a forked child and return what the system says it used."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            arm()
            code = 0
        finally:
            os._exit(code)
    _, status, used = os.wait4(pid, 0)
    if status:
        raise SystemExit("an arm failed in its child")
    return used


def processor() -> str:
    """Name the processor and how many cores of it this process may use."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "")
    return f"{model or platform.machine()}, {len(os.sched_getaffinity(0))} cores"


def table(title: str, peer: str, seconds: dict[str, list[float]], peaks: dict[str, float]) -> Table:
    """Show medians, their spread, and how many times less CPU than the peer an arm needs."""
    shown = Table("arm", "CPU-s (median)", "min-max", f"speed against {peer}", title=title)
    if peaks:
        shown.add_column("peak GB")
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        spread = f"{min(values):.3f}-{max(values):.3f}"
        speed = f"{medians[peer] / medians[name]:.2f}x"
        peak = [f"{peaks[name]:.2f}"] if peaks else []
        shown.add_row(name, f"{medians[name]:.3f}", spread, speed, *peak)
    return shown


def device_table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Show rows as they are; what a row does not have stays empty."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    shown = Table(*columns, title=title)
    for row in rows:
        cells = [row.get(name) for name in columns]
        shown.add_row(*(f"{c:.3g}" if isinstance(c, float) else str(c or "") for c in cells))
    return shown


def main() -> None:
    """Run the benches of the rooms named (default: all) and write artifacts/bench.json."""
    parser = argparse.ArgumentParser(prog="just bench", description=__doc__)
    rooms = sorted({p.parent.name for p in HERE.glob("*/bench_*.py")})
    parser.add_argument("rooms", nargs="*", choices=[*rooms, []], default=[])
    parser.add_argument("--repeats", type=int)
    given = parser.parse_args()
    console, results = Console(width=max(Console().width, 140)), {}
    for path in sorted(HERE.glob("*/bench_*.py")):
        if given.rooms and path.parent.name not in given.rooms:
            continue
        bench = load(path)
        repeats = given.repeats or getattr(bench, "REPEATS", 5)
        peaks: dict[str, float] = {}
        if getattr(bench, "APART", False):
            seconds, peaks = measure_apart(bench.arms(), repeats)
        else:
            seconds = measure(bench.arms(), repeats)
        found = {"peer": bench.PEER, "cpu_seconds": seconds}
        results[bench.TITLE] = found | ({"peak_gb": peaks} if peaks else {})
        console.print(table(bench.TITLE, bench.PEER, seconds, peaks))
    for path in sorted(p for kind in ("gpu", "load", "sim") for p in HERE.glob(f"*/{kind}_*.py")):
        if given.rooms and path.parent.name not in given.rooms:
            continue
        bench = load(path)
        rows = bench.rows()
        if rows:
            results[bench.TITLE] = {"rows": rows}
        console.print(device_table(bench.TITLE, rows) if rows else f"{NO_DEVICE}: {bench.TITLE}")
    stamp = {"date": datetime.date.today().isoformat(), "processor": processor()}
    console.print(f"{stamp['processor']}, {stamp['date']}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(stamp | {"benches": results}, indent=1))


if __name__ == "__main__":
    main()
