"""Defects of the service's pods: what they run, how long they may take, what they may do."""

from integration.infra.defects.edits import (
    PRODUCTION,
    Defect,
    container,
    env,
    one,
    server,
    server_spec,
    set_service,
    swap,
    weights,
)

DEFECTS = [
    Defect(
        "a gateway that gives up before the service does",
        PRODUCTION,
        lambda o: one(o, "HTTPRoute/s1")["spec"]["rules"][0].update(timeouts={"request": "60s"}),
        {"routes_outlast_answers"},
    ),
    Defect(
        "no preStop",
        PRODUCTION,
        lambda o: server(o).pop("lifecycle"),
        {"servers_drain_before_the_kill"},
    ),
    Defect(
        "a grace period of Kubernetes' own length",
        PRODUCTION,
        lambda o: server_spec(o).pop("terminationGracePeriodSeconds"),
        {"servers_drain_before_the_kill"},
    ),
    Defect(
        "a drain that is shorter than an answer",
        PRODUCTION,
        lambda o: swap(server(o)["args"], "1639", "60"),
        {"servers_drain_the_longest_answer"},
    ),
    Defect(
        "a start-up probe that gives up while the model loads",
        PRODUCTION,
        lambda o: server(o)["startupProbe"].update(failureThreshold=30),
        {"servers_may_load_slowly"},
    ),
    Defect(
        "a rollout that gives up while the model loads",
        PRODUCTION,
        lambda o: one(o, "Rollout/s1")["spec"].pop("progressDeadlineSeconds"),
        {"servers_may_load_slowly"},
    ),
    Defect(
        "liveness that depends on the engine",
        PRODUCTION,
        lambda o: server(o)["livenessProbe"]["httpGet"].update(path="/readyz"),
        {"servers_are_probed"},
    ),
    Defect(
        "a flag that the service does not have",
        PRODUCTION,
        lambda o: set_service(o, "--max_answers", "--max_answer"),
        {"service_settings_parse"},
    ),
    Defect(
        "a flag that bentoml serve does not have",
        PRODUCTION,
        lambda o: swap(server(o)["args"], "--timeout-graceful", "--timeout-gracefull"),
        {"commands_parse"},
    ),
    Defect(
        "the model's hash behind the variable that uses it, as a patch of a list leaves it",
        PRODUCTION,
        lambda o: server(o)["env"].reverse(),
        {"variables_are_set_before_use", "servers_serve_the_pinned_model"},
    ),
    Defect(
        "keys that are not mounted",
        PRODUCTION,
        lambda o: set_service(o, "/etc/s1/keys", "/etc/keys"),
        {"servers_find_what_they_read"},
    ),
    Defect(
        "another model fetched than served",
        PRODUCTION,
        lambda o: env(container(weights(o)), "MODEL_SHA256").update(value="a" * 64),
        {"weights_are_of_what_is_served"},
    ),
    Defect(
        "a verb of ours off Python's path",
        PRODUCTION,
        lambda o: container(weights(o))["env"].append({"name": "PYTHONPATH", "value": "/x"}),
        {"modules_are_found"},
    ),
    Defect(
        "a pod that may become root",
        PRODUCTION,
        lambda o: container(weights(o))["securityContext"].pop("allowPrivilegeEscalation"),
        {"pods_are_restricted"},
    ),
    Defect(
        "a root that can be written",
        PRODUCTION,
        lambda o: server(o)["securityContext"].update(readOnlyRootFilesystem=False),
        {"roots_are_read_only"},
    ),
    Defect(
        "a token of the API server in each pod",
        PRODUCTION,
        lambda o: server_spec(o).pop("automountServiceAccountToken"),
        {"pods_hold_no_token"},
    ),
    Defect(
        "a namespace that only warns",
        PRODUCTION,
        lambda o: one(o, "Namespace/s1-production")["metadata"]["labels"].update(
            {"pod-security.kubernetes.io/enforce": "baseline"}
        ),
        {"namespaces_are_restricted"},
    ),
    Defect(
        "a server on a port that its container does not declare",
        PRODUCTION,
        lambda o: swap(server(o)["args"], "3000", "8000"),
        {"servers_listen_on_their_port"},
    ),
    Defect(
        "a variable that is set twice",
        PRODUCTION,
        lambda o: server(o)["env"].insert(0, dict(env(server(o), "MODEL_SHA256"))),
        {"variables_are_set_once"},
    ),
    Defect(
        "pods that do not say of which release they are",
        PRODUCTION,
        lambda o: one(o, "Deployment/s1")["spec"]["template"]["metadata"].pop("annotations"),
        {"pins_reach_the_pods"},
    ),
    Defect(
        "a service that does not say which release it is",
        PRODUCTION,
        lambda o: server(o)["env"].remove(env(server(o), "S1_RELEASE")),
        {"pins_reach_the_pods"},
    ),
    Defect(
        "the file of pins, applied to the cluster",
        PRODUCTION,
        lambda o: o.append(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {"name": "release", "namespace": "s1-production"},
            }
        ),
        {"pin_files_stay_local"},
    ),
    Defect(
        "memory without an end",
        PRODUCTION,
        lambda o: server(o)["resources"]["limits"].pop("memory"),
        {"resources_are_set"},
    ),
    Defect(
        "scratch that may fill a node",
        PRODUCTION,
        lambda o: next(v for v in server_spec(o)["volumes"] if v["name"] == "tmp").update(
            emptyDir={}
        ),
        {"scratch_is_bounded"},
    ),
    Defect(
        "a token from a Secret that nobody was told to bring",
        PRODUCTION,
        lambda o: env(container(weights(o)), "S1_SOURCE_TOKEN")["valueFrom"]["secretKeyRef"].update(
            name="source"
        ),
        {"names_exist"},
    ),
    Defect(
        "a login to the registry by another name",
        PRODUCTION,
        lambda o: one(o, "ServiceAccount/s1").update(imagePullSecrets=[{"name": "registries"}]),
        {"names_exist"},
    ),
    Defect(
        "a rollout that gives up while the weights are brought",
        PRODUCTION,
        lambda o: one(o, "Rollout/s1")["spec"].update(progressDeadlineSeconds=7200),
        {"servers_may_load_slowly"},
    ),
    Defect(
        "a user that only the image knows",
        PRODUCTION,
        lambda o: server_spec(o)["securityContext"].pop("runAsUser"),
        {"users_are_numbers"},
    ),
    Defect(
        "readiness that takes minutes to be lost",
        PRODUCTION,
        lambda o: server(o)["readinessProbe"].update(failureThreshold=30),
        {"readiness_reacts"},
    ),
]
