"""What becomes of a run when one of its pods ends: told from the rules, as the controllers do.

Exit codes are the house's: 2 the user's fault, 3 broken numerics, 75 interrupted, 1 our fault.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from integration.infra.contract.objects import Object, Pod, at, of_kind, pods

_BACKOFF = 6
"""Kubernetes' default"""


class End(NamedTuple):
    """How a pod ended: its container's exit code, and whether a disruption was the cause."""

    code: int
    is_disrupted: bool = False

    def __str__(self) -> str:
        return f"exit code {self.code}" + (" in a disruption" if self.is_disrupted else "")


class JobFailure(NamedTuple):
    """What a failed Job says in its condition."""

    reason: str
    message: str


FATAL = (End(2), End(3))
OURS = (End(1), End(139))
INTERRUPTED = (End(75), End(75, True), End(137, True))


def training_restarts_by_exit_code(objects: list[Object]) -> list[str]:
    """A run ends for good at its user's fault or broken numerics, and starts anew otherwise.

    A disruption costs none of the restarts that there are; a crash does, or it would never end.
    """
    findings = []
    for found in of_kind(objects, "JobSet"):
        limit = at(found, "spec", "failurePolicy", "maxRestarts", default=0)
        for pod in pods([found]):
            for end in (*FATAL, *OURS, *INTERRUPTED):
                action = _jobset_action(found, pod, end)
                wanted = _wanted(end)
                if action not in wanted or (action == "RestartJobSet" and not limit):
                    findings.append(
                        f"{pod.name}: {end} leads to {action} ({limit} restarts), wanted"
                        f" {' or '.join(wanted)}"
                    )
    return findings


def _wanted(end: End) -> tuple[str, ...]:
    if end in FATAL:
        return ("FailJobSet",)
    if end.is_disrupted:
        return ("RestartJobSetAndIgnoreMaxRestarts",)
    return ("RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts")[: 2 if end.code == 75 else 1]


def _jobset_action(jobset: Object, pod: Pod, end: End) -> str:
    """Follow a pod's end through its Job to what the JobSet does about it."""
    action, failure = _job_action(pod.job or {}, end)
    if failure is None:
        return f"{action} of one pod, which the others do not wait for"
    for rule in at(jobset, "spec", "failurePolicy", "rules", default=[]):
        reasons = rule.get("onJobFailureReasons") or [failure.reason]
        patterns = rule.get("onJobFailureMessagePatterns") or [""]
        if failure.reason in reasons and any(re.search(p, failure.message) for p in patterns):
            return str(rule["action"])
    return "RestartJobSet"


def _job_action(job: Object, end: End) -> tuple[str, JobFailure | None]:
    """Follow a pod's end through its Job: the action of the first rule that fits, else Count.

    Also the Job's failure, if this end makes it fail at once.
    """
    action, message = "Count", ""
    for index, rule in enumerate(at(job, "podFailurePolicy", "rules", default=[])):
        if why := _fits(rule, end):
            action = rule["action"]
            message = f"{why} matching {action} rule at index {index}"
            break
    if action == "FailJob":
        return action, JobFailure("PodFailurePolicy", message)
    if action == "Count" and _retries(job) == 0:
        why = "Job has reached the specified backoff limit"
        return action, JobFailure("BackoffLimitExceeded", why)
    return action, None


def _fits(rule: Object, end: End) -> str:
    """Say, in the words of Kubernetes' pod_failure_policy.go, why a rule fits; empty if not."""
    codes = rule.get("onExitCodes")
    if codes and (end.code in codes["values"]) == (codes["operator"] == "In"):
        container = codes.get("containerName", "trainer")
        return f"Container {container} for pod namespace/pod failed with exit code {end.code}"
    for condition in rule.get("onPodConditions") or []:
        is_met = end.is_disrupted and condition["type"] == "DisruptionTarget"
        if is_met and condition.get("status", "True") == "True":
            return "Pod namespace/pod has condition DisruptionTarget"
    return ""


def _retries(job: Object) -> int:
    per_index = job.get("backoffLimitPerIndex")
    return int(per_index if per_index is not None else job.get("backoffLimit", _BACKOFF))


def jobs_retry_by_exit_code(objects: list[Object]) -> list[str]:
    """A Job gives up at its user's fault, tries again after a crash, and counts no disruption."""
    findings = []
    for found in of_kind(objects, "Job"):
        for pod in pods([found]):
            for end, wanted in (
                (End(2), ("FailJob", "FailIndex")),
                (End(1), ("Count",)),
                (End(75), ("Count", "Ignore")),
                (End(75, True), ("Ignore",)),
                (End(137, True), ("Ignore",)),
            ):
                action, failure = _job_action(pod.job or {}, end)
                if action not in wanted or (failure and action == "Count"):
                    kind = "fails the Job" if failure else f"leads to {action}"
                    findings.append(f"{pod.name}: {end} {kind}, wanted {' or '.join(wanted)}")
    return findings


def batch_pods_end_for_good(objects: list[Object]) -> list[str]:
    """Exit codes are read from ended pods: the kubelet is not to start containers anew."""
    return [
        f"{pod.name}: restartPolicy is {pod.spec.get('restartPolicy')}, wanted Never"
        for pod in pods(objects)
        if pod.job is not None and pod.spec.get("restartPolicy") != "Never"
    ]


def policies_name_containers(objects: list[Object]) -> list[str]:
    """A rule about a container that there is not matches nothing."""
    findings = []
    for pod in pods(objects):
        names = {container["name"] for container in pod.containers}
        for rule in at(pod.job, "podFailurePolicy", "rules", default=[]):
            meant = at(rule, "onExitCodes", "containerName")
            if meant not in (None, *names):
                findings.append(
                    f"{pod.name}: a rule is about container {meant}, which is not there"
                )
    return findings
