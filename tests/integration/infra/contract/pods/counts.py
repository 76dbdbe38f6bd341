"""Numbers that stand in two places: pods of a Job, and what its command says of them."""

from __future__ import annotations

from integration.infra.contract.objects import Object, at, name
from integration.infra.contract.pods import argv
from s1_data.endpoint.config import AskConfig
from s1_data.endpoint.shard import Shard
from s1_train.config import TrainConfig

_GPU = "nvidia.com/gpu"


def shards_are_as_many_as_pods(objects: list[Object]) -> list[str]:
    """Each shard of the questions has a pod; one that has none is missed at the merge."""
    findings = []
    for pod, _, config, where in argv.configured(objects, AskConfig):
        count = Shard.parse(config.shard).count
        pods = at(pod.job, "completions", default=1)
        if count != pods:
            findings.append(f"{where}: asks for one of {count} shards, in {pods} pods")
        if count > 1 and not argv.is_indexed(pod):
            findings.append(f"{where}: all pods ask for shard {config.shard}, wanted Indexed")
    return findings


def machines_are_as_many_as_pods(objects: list[Object]) -> list[str]:
    """A run waits for all its machines, so all its pods are there at once, each with its number."""
    findings = []
    for pod, _, config, where in argv.configured(objects, TrainConfig):
        for key in ("completions", "parallelism"):
            count = at(pod.job, key, default=1)
            if count != config.nodes:
                findings.append(f"{where}: --nodes is {config.nodes}, {key} is {count}")
        if config.nodes > 1 and not argv.is_indexed(pod):
            findings.append(f"{where}: all machines have one number, wanted Indexed")
    return findings


def machines_meet_at_the_first(objects: list[Object]) -> list[str]:
    """The rendezvous is the first pod's name and a port that it declares."""
    findings = []
    for pod, container, config, where in argv.configured(objects, TrainConfig):
        if config.nodes == 1 or pod.owner["kind"] != "JobSet":
            continue
        host, _, port = config.rendezvous.rpartition(":")
        run = at(pod.owner, "metadata", "name")
        jobs = [part["name"] for part in pod.owner["spec"]["replicatedJobs"]]
        subdomain = at(pod.owner, "spec", "network", "subdomain", default=run)
        if host not in [f"{run}-{job}-0-0.{subdomain}" for job in jobs]:
            findings.append(f"{where}: machines meet at {host}, no pod of {name(pod.owner)}")
        declared = [entry["containerPort"] for entry in container.get("ports") or []]
        if int(port) not in declared:
            findings.append(f"{where}: machines meet at port {port}, declared are {declared}")
    return findings


def batches_divide_over_devices(objects: list[Object]) -> list[str]:
    """The rows of a batch go evenly over all GPUs, or the launcher refuses."""
    findings = []
    for _, container, config, where in argv.configured(objects, TrainConfig):
        gpus = int(at(container, "resources", "limits", _GPU, default=0))
        devices = (config.devices or gpus) * config.nodes
        if gpus and config.devices not in (0, gpus):
            findings.append(f"{where}: --devices is {config.devices}, of {gpus} GPUs")
        if devices and config.batch_size % devices:
            findings.append(f"{where}: batch_size {config.batch_size} over {devices} devices")
    return findings
