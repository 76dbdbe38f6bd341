"""Every call on disk: what was begun, what it cost, and the replies, which are never paid twice.

A folder holds one file a shard; all are read, one is written. A line torn by a kill counts as
not written. Refuses a second writer of a file.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from s1_core.errors import UserError
from s1_core.line_log import LineLog
from s1_data.endpoint.replies import Reply
from s1_data.endpoint.shard import Shard
from s1_data.endpoint.spending import FREE, Charge

_held: set[Path] = set()


@dataclass(kw_only=True)
class Ledger:
    """What a file says: replies by their key, and all that was spent.

    A call begun and never ended, because its process was killed, is charged its reservation.
    """

    replies: dict[str, Reply] = field(default_factory=dict)
    spent: Charge = FREE

    def take(self, line: bytes) -> None:
        """Book one line; what cannot be read is passed over."""
        try:
            entry = json.loads(line)
            change = Charge(*entry.get("begun", ())) - Charge(*entry.get("ended", ()))
            change += Charge(*entry.get("charged", ()))
            replies = {entry["key"]: Reply(**entry["reply"])} if "reply" in entry else {}
        except (ValueError, TypeError, AttributeError, KeyError):
            return
        self.spent += change
        self.replies |= replies


def read(folder: Path) -> dict[str, Ledger]:
    """Read the files of a folder by their shard's name; an absent folder is empty."""
    return {path.stem: _read(path) for path in sorted(folder.glob("*.jsonl"))}


class Journal:
    """The file of one shard, open for appending, and what all files of the folder know."""

    def __init__(self, log: LineLog, shard: Shard, ledgers: dict[str, Ledger]) -> None:
        self._log = log
        self.replies = {key: r for found in ledgers.values() for key, r in found.replies.items()}
        self.spent = ledgers[shard.name].spent
        layout = f"-of-{shard.count}"
        others = [found.spent for name, found in ledgers.items() if not name.endswith(layout)]
        self.spent_elsewhere = sum(others, FREE)
        """by runs with another number of shards; fellow shards have caps of their own"""

    def begin(self, reserved: Charge) -> None:
        """Note that a call starts, so that a kill cannot hide what it may cost."""
        self._log.append({"begun": reserved.values})

    def finish(self, key: str, reply: Reply, reserved: Charge, charged: Charge) -> None:
        """Keep a reply; it is on disk when this returns."""
        self._log.append(
            {"ended": reserved.values, "charged": charged.values, "key": key}
            | {"reply": asdict(reply)},
            is_synced=True,
        )
        self.replies[key] = reply

    def break_off(self, complaint: str, reserved: Charge, charged: Charge) -> None:
        """Note a call that brought no reply, and what it cost all the same."""
        self._log.append(
            {"ended": reserved.values, "charged": charged.values, "complaint": complaint},
            is_synced=charged != FREE,
        )


@contextmanager
def opened(folder: Path, shard: Shard) -> Iterator[Journal]:
    """Open a folder of calls to go on with it; UserError when another run writes this shard."""
    folder.mkdir(parents=True, exist_ok=True)
    path = (folder / f"{shard.name}.jsonl").resolve()
    with _locked(path) as descriptor:
        # Our own file is read by this descriptor: closing another one would drop the lock.
        log = LineLog(descriptor)
        own = _ledger(log.read())
        others = (other for other in sorted(folder.glob("*.jsonl")) if other.stem != shard.name)
        ledgers = {other.stem: _read(other) for other in others} | {shard.name: own}
        yield Journal(log, shard, ledgers)


@contextmanager
def _locked(path: Path) -> Iterator[int]:
    """Hold a POSIX record lock on the file, which a kill releases; `_held` sees this process."""
    busy = f"another run is writing {path}; wait for it to end, or choose another --out or --shard"
    if path in _held:
        raise UserError(busy)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise UserError(busy) from error
            raise
        _held.add(path)
        yield descriptor
    finally:
        _held.discard(path)
        os.close(descriptor)


def _read(path: Path) -> Ledger:
    with path.open("rb") as stream:
        return _ledger(stream)


def _ledger(lines: Iterable[bytes]) -> Ledger:
    ledger = Ledger()
    for line in lines:
        ledger.take(line)
    return ledger
