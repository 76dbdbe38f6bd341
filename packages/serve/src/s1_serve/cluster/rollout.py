"""Waiting for what was applied: the Job that brings the weights, then the pods that serve them.

Reads and waits alone, so whoever is stopped here runs again. Refuses to call a rollout done whose
pods run another image than the pinned one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from s1_core import cli
from s1_core.errors import Interrupted, UserError
from s1_serve.cluster.kubectl import Kubectl, Refused
from s1_serve.cluster.objects import Object, label, namespace, resource

_PAUSE_S = 2.0
_WAITED_LONG = ("timed out waiting", "exceeded its progress deadline")


@dataclass(frozen=True)
class Wait:
    """A cluster, and the moment until when it may take."""

    kubectl: Kubectl
    deadline: float

    def until(self, wanted: Object, is_done: Callable[[Object], tuple[bool, str]]) -> None:
        """Read an object again and again until `is_done`, telling each new state once.

        Raises:
            UserError: the time is up.
        """
        told = ""
        while True:
            try:
                done, state = is_done(self._read(wanted))
            except Refused as error:
                if not error.is_silence:
                    raise
                done, state = False, "the API server does not answer; it is asked again"
            if state != told:
                cli.say(f"{label(wanted)}: {state}")
            if done:
                return
            if time.monotonic() > self.deadline:
                raise UserError(f"{label(wanted)} is not done in time: {state}; {look(wanted)}")
            told = state
            time.sleep(_PAUSE_S)

    def deployment(self, wanted: Object) -> None:
        """Wait until all pods of a Deployment are new and available."""
        left_s = max(1, round(self.deadline - time.monotonic()))
        name, place = wanted["metadata"]["name"], namespace(wanted)
        words = ("rollout", "status", f"deployment/{name}", f"--namespace={place}")
        try:
            self.kubectl.watch(*words, f"--timeout={left_s}s")
        except Refused as error:
            if not any(said in error.said for said in _WAITED_LONG):
                raise
            why = "; ".join(troubles(pods(self.kubectl, wanted))) or "no pod says why"
            raise UserError(
                f"{label(wanted)} did not become ready: {why}; pods of before serve on;"
                f" {look(wanted)}"
            ) from error

    def rollout(self, wanted: Object, deployment: Object) -> None:
        """Wait until a canary has become the whole service.

        Raises:
            Interrupted: it waits for a person.
            UserError: it was aborted, or the time is up.
        """
        generation = self._read(deployment)["metadata"]["generation"]
        self.until(wanted, lambda found: rollout_state(found, generation))

    def _read(self, wanted: Object) -> Object:
        found = self.kubectl.get(resource(wanted), wanted["metadata"]["name"], namespace(wanted))
        if found is None:
            raise UserError(f"{label(wanted)} was deleted meanwhile: run again")
        return dict(found)


def job_state(job: Object) -> tuple[bool, str]:
    """Say whether a Job is complete, and how it stands; a failed one is a UserError."""
    status = job.get("status", {})
    for one in status.get("conditions", ()):
        if one.get("status") == "True" and one["type"] == "Failed":
            name = job["metadata"]["name"]
            raise UserError(
                f"{label(job)} failed ({one.get('reason')}: {one.get('message')}): kubectl logs"
                f" --namespace {namespace(job)} job/{name}; delete it to try again"
            )
        if one.get("status") == "True" and one["type"] == "Complete":
            return True, "complete"
    return False, f"{status.get('active', 0)} pods at work"


def rollout_state(found: Object, workload_generation: int) -> tuple[bool, str]:
    """Say whether an Argo Rollout has ended well, and how it stands.

    Its controller tells the generations it has seen, as text: of itself and of the Deployment
    that it takes its pods from. A phase from before the change says nothing.
    """
    status, name = found.get("status", {}), found["metadata"]["name"]
    seen, seen_workload = (
        int(status.get(field) or 0)
        for field in ("observedGeneration", "workloadObservedGeneration")
    )
    # It scales the Deployment down itself, so that one's generation may be ahead of ours.
    if seen < found["metadata"]["generation"] or seen_workload < workload_generation:
        return False, "the controller has not seen the change yet"
    phase, message = status.get("phase", "Unknown"), status.get("message", "")
    state = f"{phase} {message}".strip()
    if phase == "Degraded":
        raise UserError(f"{label(found)} was stopped: {state}; {look(found)}")
    if phase == "Paused" and waits_for_person(found):
        raise Interrupted(
            f"{label(found)} waits for a person ({state}): look at it, then `kubectl argo rollouts"
            f" promote {name} --namespace {namespace(found)}` and run again"
        )
    return phase == "Healthy", state


def waits_for_person(found: Object) -> bool:
    """Tell a pause that only a person ends from one that ends by itself."""
    reasons = {one.get("reason") for one in found["status"].get("pauseConditions") or ()}
    steps = found["spec"].get("strategy", {}).get("canary", {}).get("steps") or []
    at = found["status"].get("currentStepIndex") or 0
    timed = at < len(steps) and "duration" in (steps[at].get("pause") or {})
    is_over = not reasons and not found["spec"].get("paused")  # told to go on, not gone on yet
    return not is_over and ("InconclusiveAnalysisRun" in reasons or not timed)


def pods(kubectl: Kubectl, deployment: Object) -> list[Object]:
    """Read the pods of a Deployment that are not on their way out."""
    labels = deployment["spec"]["selector"]["matchLabels"]
    found = kubectl.select("pods", namespace(deployment), labels)
    return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]


def troubles(found: Iterable[Object]) -> list[str]:
    """Say what pods wait for, and with what last words their containers ended before."""
    told = []
    for pod in found:
        for status in _statuses(pod):
            waiting = status.get("state", {}).get("waiting")
            ended = status.get("lastState", {}).get("terminated") or {}
            words = str(ended.get("message") or "").strip().splitlines()[-1:]
            if waiting or not status.get("ready", True):
                state = (waiting or {}).get("reason") or "runs and is not ready"
                told.append(": ".join([f"{pod['metadata']['name']} {state}", *words]))
    return told


def check_running(found: Iterable[Object], container: str, image: str) -> int:
    """Count the pods that run the pinned digest; none, or one that runs another, is a UserError."""
    count, digest = 0, image.partition("@")[2]
    for pod in found:
        mine = [status for status in _statuses(pod) if status["name"] == container]
        # One that was added this moment runs nothing yet.
        for running in (status["imageID"] for status in mine if status.get("imageID")):
            if not running.endswith(digest):
                raise UserError(
                    f"{pod['metadata']['name']} runs {running}, and {image} is pinned: look who"
                    " changes pods on their way (a mirror, a webhook)"
                )
            count += 1
    if not count:
        raise UserError(f"no pod runs {image}: look whether something scaled the service to none")
    return count


def look(value: Object) -> str:
    """Name the command that shows more."""
    return f"kubectl describe --namespace {namespace(value)} {label(value).lower()}"


def _statuses(pod: Object) -> list[Mapping[str, Any]]:
    status = pod.get("status", {})
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]
