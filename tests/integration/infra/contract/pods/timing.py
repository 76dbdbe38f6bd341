"""Times that have to fit into each other: draining, answering, loading, saving.

A chain that does not fit loses requests or checkpoints, and no schema sees it.
"""

from __future__ import annotations

from collections.abc import Iterator

from integration.infra.contract.objects import (
    Object,
    Pod,
    at,
    name,
    of_kind,
    pods,
    seconds,
)
from integration.infra.contract.pods import argv
from integration.infra.contract.pods.servers import servers
from s1_train.config import TrainConfig

END_S = 10
"""until all processes have gone once the engine has stopped"""
SAVE_MARGIN_S = 30
"""torch stops processes within stop_grace_s, then writes and says how it ended"""
ENDPOINTS_S = 10
"""until no proxy sends new requests to a pod that is going"""
LOADING_S = 600
"""a model of tens of GB from a cold volume, and the compilation of its kernels"""
_GRACE_S, _PROGRESS_S = 30, 600
"""Kubernetes' defaults"""
AUTOSCALER_S = 600
"""the longest grace that the cluster autoscaler gives, unless it is told another"""
_KEPT = {
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}


def servers_drain_before_the_kill(objects: list[Object]) -> list[str]:
    """Waiting for proxies, then for running answers, ends before the grace period does."""
    findings = []
    for server in servers(objects):
        wait_s = at(server.container, "lifecycle", "preStop", "sleep", "seconds", default=0)
        stop_s = (server.config.drain_s if server.config else 0) + END_S  # the engine's own end
        grace_s = server.pod.spec.get("terminationGracePeriodSeconds", _GRACE_S)
        if wait_s < ENDPOINTS_S:
            findings.append(
                f"{server.where}: preStop sleeps {wait_s} s, wanted {ENDPOINTS_S}: requests still"
                " come"
            )
        if server.drain_s is None:
            findings.append(f"{server.where}: has no --timeout-graceful-shutdown")
        elif wait_s + server.drain_s + stop_s > grace_s:
            findings.append(
                f"{server.where}: preStop {wait_s} s + drain {server.drain_s} s + stop"
                f" {stop_s:.0f} s is more than terminationGracePeriodSeconds {grace_s}"
            )
    return findings


def servers_drain_the_longest_answer(objects: list[Object]) -> list[str]:
    """An answer may take as long as the service lets it, also one that began before the drain."""
    return [
        f"{server.where}: drains {server.drain_s} s, an answer may take"
        f" {server.config.request_timeout_s}"
        for server in servers(objects)
        if server.config
        and server.drain_s is not None
        and server.drain_s < server.config.request_timeout_s
    ]


def routes_outlast_answers(objects: list[Object]) -> list[str]:
    """A gateway does not give up on an answer that the service still writes."""
    limits = [server.config.request_timeout_s for server in servers(objects) if server.config]
    findings = []
    for route in of_kind(objects, "HTTPRoute"):
        for rule in at(route, "spec", "rules", default=[]):
            for key in ("request", "backendRequest"):
                given = at(rule, "timeouts", key)
                if given is None and key == "request":
                    findings.append(f"{name(route)}: has no timeouts.request: the gateway's rules")
                elif given is not None and 0 < seconds(given) < max(limits, default=0):
                    findings.append(
                        f"{name(route)}: timeouts.{key} is {given}, an answer may take"
                        f" {max(limits)} s"
                    )
    return findings


def servers_may_load_slowly(objects: list[Object]) -> list[str]:
    """Nothing gives up on a server that still loads: neither a probe nor the rollout.

    A server that waits for its weights is started anew, so the rollout waits for them too.
    """
    findings = []
    fetching_s = max(
        (at(p.job, "activeDeadlineSeconds", default=0) for p in pods(objects) if _fetches(p)),
        default=0,
    )
    for pod, container, where, _, _ in servers(objects):
        probe = container.get("startupProbe") or {}
        budget_s = probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        if budget_s < LOADING_S:
            findings.append(f"{where}: startupProbe gives up after {budget_s} s, of {LOADING_S}")
        for owner in _rolled_out(objects, pod):
            deadline_s = at(owner, "spec", "progressDeadlineSeconds", default=_PROGRESS_S)
            if deadline_s <= budget_s + fetching_s:
                findings.append(
                    f"{name(owner)}: progressDeadlineSeconds {deadline_s} is over before"
                    f" {fetching_s} s of fetching and the startupProbe's {budget_s} s"
                )
    return findings


def _fetches(pod: Pod) -> bool:
    return pod.component == "weights"


def _rolled_out(objects: list[Object], pod: Pod) -> Iterator[Object]:
    """Give what rolls a pod out: its owner, or the Rollout that took it over."""
    reference = {"kind": pod.owner["kind"], "name": at(pod.owner, "metadata", "name")}
    taken = [
        found
        for found in of_kind(objects, "Rollout")
        if reference.items() <= at(found, "spec", "workloadRef", default={}).items()
    ]
    yield from taken or [pod.owner]


def trainers_save_before_the_kill(objects: list[Object]) -> list[str]:
    """A trainer that is told to stop has time to save, and to end with the code that says so."""
    findings = []
    for pod, _, config, where in argv.configured(objects, TrainConfig):
        grace_s = pod.spec.get("terminationGracePeriodSeconds", _GRACE_S)
        if config.stop_grace_s + SAVE_MARGIN_S > grace_s:
            findings.append(
                f"{where}: stop_grace_s {config.stop_grace_s:.0f} + {SAVE_MARGIN_S} is more than"
                f" terminationGracePeriodSeconds {grace_s}"
            )
    return findings


def readiness_reacts(objects: list[Object]) -> list[str]:
    """Not ready within half a minute, dead only after minutes: a busy server is no dead one."""
    findings = []
    for _, container, where, _, _ in servers(objects):
        ready_s, alive_s = (
            at(container, probe, "periodSeconds", default=10)
            * at(container, probe, "failureThreshold", default=3)
            for probe in ("readinessProbe", "livenessProbe")
        )
        if ready_s > 30:
            findings.append(f"{where}: takes {ready_s} s to be seen as not ready")
        if alive_s < 2 * ready_s:
            findings.append(f"{where}: is killed after {alive_s} s, not ready after {ready_s} s")
    return findings


def jobs_have_time_to_stop(objects: list[Object]) -> list[str]:
    """Batch pods keep what they have paid for: they get a minute to write it down."""
    return [
        f"{pod.name}: terminationGracePeriodSeconds is {grace}, wanted 60"
        for pod in pods(objects)
        if pod.component == "data"
        and (grace := pod.spec.get("terminationGracePeriodSeconds", _GRACE_S)) < 60
    ]


def long_graces_are_kept(objects: list[Object]) -> list[str]:
    """Batch pods that need longer than an autoscaler gives are left where they are by it."""
    return [
        f"{pod.name}: terminationGracePeriodSeconds {grace_s} is cut to {AUTOSCALER_S} by an"
        f" autoscaler, wanted an annotation {' or '.join(_KEPT)}"
        for pod in pods(objects)
        if pod.job is not None
        and (grace_s := pod.spec.get("terminationGracePeriodSeconds", _GRACE_S)) > AUTOSCALER_S
        and not _KEPT.items() & pod.annotations.items()
    ]
