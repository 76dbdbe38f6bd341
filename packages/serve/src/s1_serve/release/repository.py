"""The git repository that holds records, verdicts and pins: read from commits, changed by commits.

A commit is made whole before the branch moves, and the branch moves only from where it was read:
of two writers one is told so, and a killed one leaves either nothing or a finished commit.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from s1_core import cli
from s1_core.errors import UserError

RELEASE = "Release"
"""the trailer of every commit made here: whose it is"""
_UNIT = "\x1f"


@dataclass(frozen=True)
class Change:
    """A commit that touched a file: when, and its message's trailers."""

    commit: str
    time: str
    subject: str
    trailers: Mapping[str, str]


@dataclass(frozen=True)
class Repository:
    """A work tree."""

    root: Path

    @staticmethod
    def here() -> Repository:
        """Find the repository of the current folder; none is a UserError."""
        done = _run(["git", "rev-parse", "--show-toplevel"], Path.cwd())
        if done.returncode:
            raise UserError(f"{Path.cwd()} is in no git repository: releases are kept in one")
        return Repository(Path(done.stdout.strip()))

    def git(self, *words: str, text: str | None = None, **variables: str) -> str:
        """Run git and give what it printed; its failure is a UserError."""
        done = _run(["git", *words], self.root, text, variables)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            telling = [line for line in lines if line.startswith(("fatal: ", "error: ", " ! "))]
            said = (telling or lines or [f"it ended with {done.returncode}"])[0]
            raise UserError(f"git {words[0]}: {said.removeprefix('fatal: ')}")
        return done.stdout

    def head(self) -> str:
        """Name the newest commit; a repository without one is a UserError."""
        return self.git("rev-parse", "--verify", "HEAD^{commit}").strip()

    def show(self, path: str, commit: str = "HEAD") -> str | None:
        """Read a file of a commit; None where it is not there."""
        done = _run(["git", "show", f"{commit}:{path}"], self.root)
        return None if done.returncode else done.stdout

    def listed(self, folder: str) -> list[str]:
        """List the files of the newest commit in a folder."""
        return self.git("ls-tree", "--name-only", "HEAD", f"{folder}/").splitlines()

    def demand_clean(self) -> None:
        """Refuse a tree with anything uncommitted: no commit would say what was released.

        What a killed release command committed and did not put into the tree is put there first.
        """
        changed = self._changed()
        if changed and self._is_half_done(changed):
            cli.say(f"finishing the interrupted commit {self.head()[:12]}")
            self.restore(*changed)
            changed = self._changed()
        if changed:
            more = f" and {len(changed) - 1} more" if len(changed) > 1 else ""
            raise UserError(f"the tree is dirty ({changed[0]}{more}): commit or stash it first")

    def _changed(self) -> list[str]:
        listing = self.git("status", "--porcelain", "-z", "--no-renames")
        return [entry[3:] for entry in listing.split("\0") if entry]

    def _is_half_done(self, changed: list[str]) -> bool:
        """Say whether all that is wrong is that the newest commit, one of ours, is not here."""
        newest = self.git("log", "-1", f"--format=%(trailers:key={RELEASE})").strip()
        return bool(newest) and all(
            self._on_disk(path) == self.show(path, "HEAD^") for path in changed
        )

    def _on_disk(self, path: str) -> str | None:
        file = self.root / path
        return file.read_text(errors="replace") if file.is_file() else None

    def history(self, path: str) -> list[Change]:
        """List the commits that changed a file, newest first."""
        form = _UNIT.join(("%H", "%cI", "%s", "%(trailers:only,unfold)"))
        listing = self.git("log", "-z", f"--format={form}", "--", path)
        return [_change(entry) for entry in listing.split("\0") if entry.strip()]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other releases of this clone out; a killed holder lets go by itself."""
        folder = Path(self.git("rev-parse", "--git-common-dir").strip())
        with (self.root / folder / "s1-release.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise UserError(
                    "another release command is at work in this clone: wait for it to end"
                ) from error
            yield

    def commit(self, files: Mapping[str, str], message: str, *, on: str, push: str | None) -> str:
        """Commit these files and no others on top of `on`, and put them into the work tree.

        With `push`, a remote takes the commit first: one that has moved on refuses it, and
        nothing has changed here.
        Raises UserError when the branch has left `on` meanwhile.
        """
        made = self._made(files, message, on)
        branch = self.git("symbolic-ref", "HEAD").strip()
        if push is not None:
            self._push(push, made, branch)
        try:
            self.git("update-ref", "-m", message.splitlines()[0], branch, made, on)
        except UserError as error:
            raise UserError("the branch moved meanwhile: look at it, and run again") from error
        self.restore(*files)
        return made

    def restore(self, *paths: str) -> None:
        """Make files of the work tree and the index those of the newest commit."""
        self.git("checkout", "--quiet", "HEAD", "--", *paths)

    def _made(self, files: Mapping[str, str], message: str, parent: str) -> str:
        """Write a commit that no branch names yet, by an index of its own."""
        with tempfile.TemporaryDirectory(prefix="s1-release-") as folder:
            index = str(Path(folder) / "index")
            self.git("read-tree", parent, GIT_INDEX_FILE=index)
            for path, content in files.items():
                blob = self.git("hash-object", "-w", "--stdin", text=content).strip()
                entry = f"100644,{blob},{path}"
                self.git("update-index", "--add", "--cacheinfo", entry, GIT_INDEX_FILE=index)
            tree = self.git("write-tree", GIT_INDEX_FILE=index).strip()
        return self.git("commit-tree", tree, "-p", parent, "-m", message).strip()

    def _push(self, remote: str, commit: str, branch: str) -> None:
        try:
            self.git("push", "--quiet", remote, f"{commit}:{branch}")
        except UserError as error:
            raise UserError(
                f"{remote} did not take the commit ({error}); nothing was changed: "
                f"git pull --rebase {remote}, look at what moved, and run again"
            ) from error


def _change(entry: str) -> Change:
    commit, time, subject, trailers = entry.strip("\n").split(_UNIT)
    pairs = (line.partition(": ") for line in trailers.splitlines())
    return Change(commit, time, subject, {name: value for name, _, value in pairs})


def _run(
    command: list[str], folder: Path, text: str | None = None, variables: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    try:
        return subprocess.run(
            command, cwd=folder, input=text, env=environment, capture_output=True, text=True
        )
    except FileNotFoundError as error:
        raise UserError("git is not installed: releases are kept in a git repository") from error
