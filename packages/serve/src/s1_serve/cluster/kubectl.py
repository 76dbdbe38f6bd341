"""kubectl, run nowhere else: with one context, in English, its faults as one line each.

Refuses a machine without it, and one whose kustomize is too old for the overlays.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from s1_core.errors import UserError
from s1_core.processes import die_with_parent

VARIABLE = "KUBECTL"
OLDEST_KUSTOMIZE = 5
_FOREIGN_DIFF = "KUBECTL_EXTERNAL_DIFF"
_PATIENCE = "--request-timeout=30s"
_SILENCE = r"connect(ion)? to the server|i/o timeout|context deadline exceeded"
# What kubectl says, and what to do about it; the first that fits is told.
_FAULTS = (
    (r"current-context must exist|context .* does not exist|locate context",
     "give --context, one of those that `kubectl config get-contexts` lists"),
    (_SILENCE,
     "the API server does not answer: look at the network and the kubeconfig, and run again"),
    (r"Unauthorized|must be logged in", "the API server does not know you: log in, and run again"),
    (r"^EOF$", "it asked for a user name, since the kubeconfig has no credentials: log in"),
    (r"is forbidden: User .* cannot ",
     "you lack a right: ask the cluster's owner, and run again"),
    (r"Apply failed with \d+ conflict",
     "these fields are somebody else's: take them out of the overlay, or let the owner give up"),
    (r"denied request", "the cluster's policy refuses it: mend the overlay"),
    (r"namespaces? \S+ not found",
     "the namespace is missing: kubectl apply -k infra/k8s/namespaces"),
    (r"no matches for kind|could not find the requested resource",
     "the cluster does not know this kind: install what brings it"),
    (r"field is immutable", "it cannot be changed in place: delete it, and run again"),
    (r"[Ss]trict decoding error|unknown field|Invalid value",
     "the object is not valid: mend the overlay"),
)  # fmt: skip


class Refused(UserError):
    """What the API server or kubectl did not do, and why."""

    def __init__(self, said: str, message: str) -> None:
        super().__init__(message)
        self.said = said

    @property
    def is_silence(self) -> bool:
        """Say whether there was no answer at all: another try may get one."""
        return bool(re.search(_SILENCE, self.said))


@dataclass(frozen=True)
class Kubectl:
    """A kubectl, and the context that all of its calls name."""

    program: str
    context: str | None = None

    @staticmethod
    def here() -> Kubectl:
        """Find kubectl on PATH, or where the variable KUBECTL says.

        Raises:
            UserError: there is none, or its kustomize is too old.
        """
        name = os.environ.get(VARIABLE) or "kubectl"
        program = shutil.which(name)
        if program is None:
            raise UserError(
                f"{name} was not found: install kubectl, or name one by the variable {VARIABLE}"
            )
        kubectl = Kubectl(program)
        found = json.loads(kubectl.ask("version", "--client", "-o", "json"))
        check_kustomize(str(found.get("kustomizeVersion")))
        return kubectl

    def at(self, context: str) -> Kubectl:
        """Give the same kubectl, bound to a context: the current one may change meanwhile."""
        return replace(self, context=context)

    def ask(self, *words: str, text: str | None = None, codes: Collection[int] = (0,)) -> str:
        """Run kubectl, with `text` as its input, and give what it printed.

        Raises:
            Refused: it ended with a code that is not in `codes`.
        """
        done = self._run([_PATIENCE, *words], text, subprocess.PIPE)
        if done.returncode not in codes:
            raise _refused(words, done.stderr)
        return done.stdout

    def apply(self, text: str, owner: str, *flags: str) -> str:
        """Apply objects server-side, in the name of `owner`, taking no field from anybody."""
        words = ("--server-side", f"--field-manager={owner}", "--validate=strict", "-f", "-")
        return self.ask("apply", *words, *flags, text=text)

    def watch(self, *words: str) -> None:
        """Run a kubectl that waits, its lines on stderr while they come; a failure is Refused."""
        done = self._run(list(words), None, sys.stderr)
        if done.returncode:
            raise _refused(words, done.stderr)

    def get(self, kind: str, name: str, namespace: str = "") -> Any:
        """Read an object, None where it is not there; `kind` is KIND.VERSION.GROUP."""
        place = ["--namespace", namespace] if namespace else []
        text = self.ask("get", kind, name, *place, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else None

    def read(self, text: str) -> list[Any]:
        """Read the objects that a stream names, those that are there."""
        answer = self.ask("get", "-f", "-", "-o", "json", "--ignore-not-found", text=text)
        found = json.loads(answer) if answer.strip() else {"items": []}
        return list(found["items"] if found.get("kind", "List") == "List" else [found])

    def select(self, kind: str, namespace: str, labels: dict[str, str]) -> list[Any]:
        """Read the objects of a kind that carry these labels."""
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        text = self.ask("get", kind, "--namespace", namespace, "-l", selector, "-o", "json")
        return list(json.loads(text)["items"])

    def _run(
        self, words: list[str], text: str | None, out: Any
    ) -> subprocess.CompletedProcess[str]:
        bound = [f"--context={self.context}"] if self.context else []
        # Its lines are read here, and kubectl translates them.
        return subprocess.run(
            [self.program, *bound, *words],
            input=text,
            stdin=None if text is not None else subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            env=_environment(),
            preexec_fn=functools.partial(die_with_parent, os.getpid()),
        )


def _environment() -> dict[str, str]:
    """Give kubectl English, and its own diff: another program's may print nothing, or a window."""
    kept = {name: value for name, value in os.environ.items() if name != _FOREIGN_DIFF}
    return kept | {"LC_ALL": "C"}


def check_kustomize(version: str) -> None:
    """Refuse a kubectl whose kustomize reads overlays by older rules."""
    found = re.match(r"v?(\d+)\.", version)
    if not found or int(found.group(1)) < OLDEST_KUSTOMIZE:
        raise UserError(
            f"kubectl brings kustomize {version}, wanted {OLDEST_KUSTOMIZE} or newer:"
            " install a newer kubectl"
        )


def explain(said: str) -> str:
    """Turn kubectl's words into one line: what it found, and what to do where that is known."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    warnings = [line for line in lines if line.startswith("Warning:")]
    # The rest of a conflict's text recommends force, and klog's lines say nothing new.
    ends = [at for at, line in enumerate(lines) if line.startswith("Please review the fields")]
    lines = lines[: ends[0]] if ends else lines
    plain = [line for line in lines if line not in warnings and not re.match(r"[EWIF]\d{4} ", line)]
    told = " ".join(plain or warnings) or "it said nothing"
    told = told.removeprefix("error: ").rstrip(".")
    advice = next((advice for fault, advice in _FAULTS if re.search(fault, told)), None)
    if not plain and warnings:
        advice = "the API server warns of what would do nothing: mend the overlay"
    return f"{told}; {advice}" if advice else told


def _refused(words: tuple[str, ...], said: str) -> Refused:
    return Refused(said, f"kubectl {words[0]}: {explain(said)}")
