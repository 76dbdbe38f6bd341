"""Defects of the wiring of the service: who selects, reaches, scales and refers to whom."""

from integration.infra.defects.edits import (
    APP_LABELS,
    PRODUCTION,
    Defect,
    dns_rule,
    one,
    server,
    server_spec,
    split_peer,
)

DEFECTS = [
    Defect(
        "labels of ours in the peer that is kube-dns, as includeSelectors adds them",
        PRODUCTION,
        lambda o: dns_rule(o)["to"][0]["podSelector"]["matchLabels"].update(APP_LABELS),
        {"foreign_peers_bear_no_label_of_ours", "names_can_be_resolved"},
    ),
    Defect(
        "a PodDisruptionBudget without a selector",
        PRODUCTION,
        lambda o: one(o, "PodDisruptionBudget/s1")["spec"].pop("selector"),
        {"budgets_select_one_workload"},
    ),
    Defect(
        "a spread constraint without a labelSelector",
        PRODUCTION,
        lambda o: server_spec(o)["topologySpreadConstraints"][0].pop("labelSelector"),
        {"spreads_select_their_own_pods"},
    ),
    Defect(
        "replicas under an autoscaler",
        PRODUCTION,
        lambda o: one(o, "Rollout/s1")["spec"].update(replicas=3),
        {"counts_have_one_owner"},
    ),
    Defect(
        "replicas in the template of a Rollout",
        PRODUCTION,
        lambda o: one(o, "Deployment/s1")["spec"].update(replicas=3),
        {"counts_have_one_owner"},
    ),
    Defect(
        "a scaler of the Deployment that the Rollout scales to nothing",
        PRODUCTION,
        lambda o: one(o, "ScaledObject/s1")["spec"].update(scaleTargetRef={"name": "s1"}),
        {"scalers_scale_what_runs"},
    ),
    Defect(
        "peers in two entries, which is either and not both",
        PRODUCTION,
        lambda o: split_peer(dns_rule(o)),
        {"local_peers_are_pods_of_ours", "names_can_be_resolved"},
    ),
    Defect(
        "no default deny",
        PRODUCTION,
        lambda o: o.remove(one(o, "NetworkPolicy/default-deny", "s1-production")),
        {"namespaces_deny_by_default"},
    ),
    Defect(
        "ingress from anyone",
        PRODUCTION,
        lambda o: one(o, "NetworkPolicy/s1")["spec"]["ingress"][0].pop("from"),
        {"rules_name_their_peers"},
    ),
    Defect(
        "a policy for pods that there are not",
        PRODUCTION,
        lambda o: one(o, "NetworkPolicy/weights")["spec"]["podSelector"]["matchLabels"].update(
            {"app.kubernetes.io/component": "weight"}
        ),
        {"policies_select_pods"},
    ),
    Defect(
        "a Service that also selects the pods that fetch weights",
        PRODUCTION,
        lambda o: one(o, "Service/s1")["spec"]["selector"].pop("app.kubernetes.io/component"),
        {
            "services_select_one_workload",
            "selectors_name_the_component",
            "service_ports_exist",
        },
    ),
    Defect(
        "a Service that leads to a port of another name",
        PRODUCTION,
        lambda o: one(o, "Service/s1")["spec"]["ports"][0].update(targetPort="web"),
        {"service_ports_exist"},
    ),
    Defect(
        "a policy that opens another port",
        PRODUCTION,
        lambda o: [
            rule["ports"][0].update(port=8000)
            for policy in ("s1", "s1-metrics")
            for rule in one(o, f"NetworkPolicy/{policy}")["spec"]["ingress"]
        ],
        {"policy_ports_exist", "services_can_be_reached"},
    ),
    Defect(
        "a monitor that selects no Service",
        PRODUCTION,
        lambda o: one(o, "ServiceMonitor/s1")["spec"]["selector"].update(matchLabels={"app": "s1"}),
        {"monitors_select_one_service"},
    ),
    Defect(
        "a route to the whole server",
        PRODUCTION,
        lambda o: one(o, "HTTPRoute/s1")["spec"]["rules"][0].pop("matches"),
        {"routes_hide_what_wants_no_key"},
    ),
    Defect(
        "a budget that holds every node",
        PRODUCTION,
        lambda o: one(o, "PodDisruptionBudget/s1")["spec"].update(maxUnavailable=0),
        {"budgets_leave_room"},
    ),
    Defect(
        "a typo that the controller would drop",
        PRODUCTION,
        lambda o: one(o, "ScaledObject/s1")["spec"].update(minReplicas=2),
        {"objects_are_accepted"},
    ),
    Defect(
        "pods of a component that there is not",
        PRODUCTION,
        lambda o: one(o, "Deployment/s1")["spec"]["template"]["metadata"]["labels"].pop(
            "app.kubernetes.io/part-of"
        ),
        {"pods_bear_the_labels"},
    ),
    Defect(
        "a Deployment that does not select its own pods",
        PRODUCTION,
        lambda o: one(o, "Deployment/s1")["spec"]["selector"]["matchLabels"].update(tier="gpu"),
        {"workloads_select_their_own_pods"},
    ),
    Defect(
        "a probe of a port of another name",
        PRODUCTION,
        lambda o: server(o)["readinessProbe"]["httpGet"].update(port="web"),
        {"probe_ports_exist"},
    ),
    Defect(
        "a monitor of a port of another name",
        PRODUCTION,
        lambda o: one(o, "ServiceMonitor/s1")["spec"]["endpoints"][0].update(port="metrics"),
        {"monitor_ports_exist"},
    ),
    Defect(
        "a route to a port that the Service does not have",
        PRODUCTION,
        lambda o: one(o, "HTTPRoute/s1")["spec"]["rules"][0]["backendRefs"][0].update(port=8080),
        {"route_ports_exist"},
    ),
    Defect(
        "two ports of one name",
        PRODUCTION,
        lambda o: server(o)["ports"].append({"name": "http", "containerPort": 3001}),
        {"port_names_are_short_and_unique"},
    ),
    Defect(
        "a mount of no volume",
        PRODUCTION,
        lambda o: server(o)["volumeMounts"].append({"name": "cache", "mountPath": "/cache"}),
        {"mounts_have_volumes"},
    ),
    Defect(
        "a service of one pod",
        PRODUCTION,
        lambda o: one(o, "ScaledObject/s1")["spec"].update(minReplicaCount=1),
        {"scalers_keep_two"},
    ),
    Defect(
        "a scaler that, without its numbers, keeps fewer pods",
        PRODUCTION,
        lambda o: one(o, "ScaledObject/s1")["spec"]["fallback"].update(replicas=1),
        {"scalers_fall_back_to_enough"},
    ),
    Defect(
        "a Rollout of no workload",
        PRODUCTION,
        lambda o: one(o, "Rollout/s1")["spec"]["workloadRef"].update(name="s2"),
        {"rollouts_have_their_workload"},
    ),
]
