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
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from s1_core import cli
from s1_core.errors import UserError

RELEASE = "Release"
"""the trailer of every commit made here: whose it is"""
_UNIT = "\x1f"
_UNDER_WAY = ("MERGE_HEAD", "REVERT_HEAD", "CHERRY_PICK_HEAD")
"""what git leaves while somebody is at work; that is not ours to finish"""


@dataclass(frozen=True)
class Change:
    """A commit that touched a file: when, and its message's trailers."""

    commit: str
    time: datetime
    """in UTC"""
    subject: str
    trailers: Mapping[str, str]


@dataclass(frozen=True)
class Repository:
    """A work tree, read at one commit."""

    root: Path
    at: str = "HEAD"
    """what is read; a name that moves, until it is settled"""

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

    def settled(self) -> Repository:
        """Give the repository at its newest commit, whatever comes after, ready to be committed to.

        Raises:
            UserError: a dirty tree, no branch, nobody to commit as, or a history cut short.
        """
        self.demand_clean()
        self.git("var", "GIT_COMMITTER_IDENT")
        if _run(["git", "symbolic-ref", "--quiet", "HEAD"], self.root).returncode:
            raise UserError("no branch is checked out, so none could move: git switch BRANCH first")
        if self.git("rev-parse", "--is-shallow-repository").strip() == "true":
            raise UserError("this clone has no history to read: git fetch --unshallow first")
        return replace(self, at=self.head())

    def head(self) -> str:
        """Name the newest commit; a repository without one is a UserError."""
        return self.git("rev-parse", "--verify", "HEAD^{commit}").strip()

    def show(self, path: str) -> str | None:
        """Read a file; None where it is not there."""
        done = _run(["git", "show", f"{self.at}:{path}"], self.root)
        return None if done.returncode else done.stdout

    def listed(self, folder: str, *, deep: bool = False) -> list[str]:
        """List the entries of a folder; `deep` with modes and hashes, down to the files."""
        how = ["-r"] if deep else ["--name-only"]
        return self.git("ls-tree", *how, self.at, f"{folder}/").splitlines()

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
        git = self.root / self.git("rev-parse", "--git-dir").strip()
        if not newest or any((git / name).exists() for name in _UNDER_WAY):
            return False
        before = replace(self, at="HEAD^")
        return all(self._on_disk(path) == before.show(path) for path in changed)

    def _on_disk(self, path: str) -> str | None:
        file = self.root / path
        return file.read_text(errors="replace") if file.is_file() else None

    def history(self, path: str) -> list[Change]:
        """List the commits that changed a file, newest first."""
        form = _UNIT.join(("%H", "%ct", "%s", "%(trailers:only,unfold)"))
        listing = self.git("log", "-z", f"--format={form}", self.at, "--", path)
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

    def commit(self, files: Mapping[str, str], message: str, *, push: str | None = None) -> str:
        """Commit these files and no others on top of what was read, and put them into the tree.

        With `push`, a remote takes the commit first: one that has moved on refuses it, and
        nothing has changed here.
        Raises UserError when the branch has left the commit that was read.
        """
        on = self.at if self.at != "HEAD" else self.head()
        made = self._made(files, message, on)
        if push is not None:
            self._push(push, made)
        branch = self.git("symbolic-ref", "HEAD").strip()
        try:
            self.git("update-ref", "-m", message.splitlines()[0], branch, made, on)
        except UserError as error:
            if self.head() == on:
                raise
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

    def share(self, remote: str | None) -> None:
        """Have a remote's branch take what was read, unless it has it; without one do nothing."""
        if remote is not None:
            self._push(remote, self.at)

    def _push(self, remote: str, commit: str) -> None:
        branch = self.git("symbolic-ref", "HEAD").strip()
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
    moment = datetime.fromtimestamp(int(time), UTC)
    return Change(commit, moment, subject, {name: value for name, _, value in pairs})


def _run(
    command: list[str], folder: Path, text: str | None = None, variables: Mapping[str, str] = {}
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables
    try:
        return subprocess.run(
            command,
            cwd=folder,
            input=text,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",  # a dirty file may be anything
        )
    except FileNotFoundError as error:
        raise UserError("git is not installed: releases are kept in a git repository") from error
