"""Defects of the batch work on data."""

from integration.infra.defects.edits import (
    DATA,
    Defect,
    container,
    env,
    one,
    spec_of,
)

DEFECTS = [
    Defect(
        "fewer pods than shards",
        DATA,
        lambda o: one(o, "Job/traces")["spec"].update(completions=4, parallelism=4),
        {"shards_are_as_many_as_pods"},
    ),
    Defect(
        "an interrupted job counts as failed, once too often",
        DATA,
        lambda o: one(o, "Job/questions")["spec"].update(backoffLimit=0),
        {"jobs_retry_by_exit_code"},
    ),
    Defect(
        "containers that the kubelet starts anew",
        DATA,
        lambda o: spec_of(one(o, "Job/select")).update(restartPolicy="OnFailure"),
        {"batch_pods_end_for_good"},
    ),
    Defect(
        "a queue that does not hand out what is asked for",
        DATA,
        lambda o: container(one(o, "Job/select"))["resources"]["requests"].update(
            {"ephemeral-storage": "20Gi"}
        ),
        {"queues_have_room"},
    ),
    Defect(
        "all of the world, also its private parts",
        DATA,
        lambda o: one(o, "NetworkPolicy/data")["spec"]["egress"][0]["to"][0]["ipBlock"].pop(
            "except"
        ),
        {"rules_name_their_peers"},
    ),
    Defect(
        "a Secret by another name",
        DATA,
        lambda o: env(container(one(o, "Job/traces")), "OPENAI_API_KEY")["valueFrom"][
            "secretKeyRef"
        ].update(name="teachers"),
        {"names_exist"},
    ),
    Defect(
        "a key that the command does not read",
        DATA,
        lambda o: env(container(one(o, "Job/traces")), "OPENAI_API_KEY").update(name="API_KEY"),
        {"variables_have_readers"},
    ),
    Defect(
        "no time to write down what was paid for",
        DATA,
        lambda o: spec_of(one(o, "Job/traces")).pop("terminationGracePeriodSeconds"),
        {"jobs_have_time_to_stop"},
    ),
]
