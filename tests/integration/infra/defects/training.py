"""Defects of a training run: its machines, its queue, its restarts."""

from integration.infra.defects.edits import (
    TRAINING,
    Defect,
    job,
    one,
    spec_of,
    swap,
    trainer,
)

DEFECTS = [
    Defect(
        "the grace period is torch's default",
        TRAINING,
        lambda o: spec_of(one(o, "JobSet/train")).update(terminationGracePeriodSeconds=60),
        {"trainers_save_before_the_kill"},
    ),
    Defect(
        "a grace that an autoscaler cuts",
        TRAINING,
        lambda o: job(o)["template"]["metadata"].update(
            annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"}
        ),
        {"long_graces_are_kept"},
    ),
    Defect(
        "rules of exit codes in another order than the patterns that name them",
        TRAINING,
        lambda o: job(o)["podFailurePolicy"]["rules"].reverse(),
        {"training_restarts_by_exit_code"},
    ),
    Defect(
        "a single pod is started anew",
        TRAINING,
        lambda o: job(o).update(backoffLimit=3),
        {"training_restarts_by_exit_code"},
    ),
    Defect(
        "a rule about a container of another name",
        TRAINING,
        lambda o: job(o)["podFailurePolicy"]["rules"][0]["onExitCodes"].update(
            containerName="main"
        ),
        {"policies_name_containers"},
    ),
    Defect(
        "a flag that the verb does not have",
        TRAINING,
        lambda o: trainer(o)["args"].append("--max_step=10"),
        {"commands_parse"},
    ),
    Defect(
        "more pods than --nodes",
        TRAINING,
        lambda o: job(o).update(parallelism=3, completions=3),
        {"machines_are_as_many_as_pods", "queues_have_room"},
    ),
    Defect(
        "a rendezvous at no pod",
        TRAINING,
        lambda o: swap(trainer(o)["args"], "-workers-0-0.", "-workers-0."),
        {"machines_meet_at_the_first"},
    ),
    Defect(
        "a variable that nobody sets",
        TRAINING,
        lambda o: swap(trainer(o)["args"], "/runs/$(RUN)", "/runs/$(NAME)"),
        {"variables_are_set_before_use"},
    ),
    Defect(
        "GPUs that do not divide the batch",
        TRAINING,
        lambda o: [
            trainer(o)["resources"][key].update({"nvidia.com/gpu": "7"})
            for key in ("requests", "limits")
        ],
        {"batches_divide_over_devices"},
    ),
    Defect(
        "more GPUs requested than limited",
        TRAINING,
        lambda o: trainer(o)["resources"]["requests"].update({"nvidia.com/gpu": "4"}),
        {"gpus_are_requested_as_limited"},
    ),
    Defect(
        "workers may talk on the port of the rendezvous only",
        TRAINING,
        lambda o: one(o, "NetworkPolicy/training")["spec"]["ingress"][0].update(
            ports=[{"port": "rendezvous"}]
        ),
        {"workers_reach_each_other"},
    ),
    Defect(
        "a run that Kueue does not see",
        TRAINING,
        lambda o: one(o, "JobSet/train")["metadata"]["labels"].pop("kueue.x-k8s.io/queue-name"),
        {"batch_work_is_queued"},
    ),
    Defect(
        "a level that the topology does not have",
        TRAINING,
        lambda o: one(o, "Topology/s1")["spec"]["levels"].pop(1),
        {"topologies_have_the_level"},
    ),
    Defect(
        "an image by its tag",
        TRAINING,
        lambda o: trainer(o).update(image="registry.example.com/s1/batch:latest"),
        {"images_are_pinned"},
    ),
    Defect(
        "no shared memory for NCCL",
        TRAINING,
        lambda o: spec_of(one(o, "JobSet/train"))["volumes"][2]["emptyDir"].pop("medium"),
        {"shared_memory_is_for_trainers"},
    ),
    Defect(
        "a typo in a JobSet",
        TRAINING,
        lambda o: one(o, "JobSet/train")["spec"]["failurePolicy"].update(maxRestart=3),
        {"objects_are_accepted"},
    ),
    Defect(
        "a queue for another namespace",
        TRAINING,
        lambda o: one(o, "ClusterQueue/s1")["spec"]["namespaceSelector"].update(
            matchLabels={"kubernetes.io/metadata.name": "training"}
        ),
        {"queues_admit_the_namespace"},
    ),
]
