"""A ValidatingAdmissionPolicy at work: its CEL, evaluated as an API server would."""

from __future__ import annotations

from typing import Any

import celpy
from celpy import celtypes

from integration.infra.contract.objects import Object, at, named, namespace, of_kind, selects

_PLURALS = {
    "Pod": "pods", "Deployment": "deployments", "ReplicaSet": "replicasets", "Job": "jobs",
    "StatefulSet": "statefulsets", "DaemonSet": "daemonsets", "CronJob": "cronjobs",
    "ReplicationController": "replicationcontrollers",
}  # fmt: skip


def admit(
    objects: list[Object], found: Object, old: Object | None = None, part: str = ""
) -> dict[str, list[str]]:
    """Say what the policies of a render answer to a request: messages, by action (Deny, Warn, ...).

    `part` is a subresource, e.g. ephemeralcontainers; with `old` the request is an update.
    """
    answers: dict[str, list[str]] = {}
    labels = at(named(objects, "Namespace", namespace(found)), "metadata", "labels", default={})
    for binding in of_kind(objects, "ValidatingAdmissionPolicyBinding"):
        if not selects(at(binding, "spec", "matchResources", "namespaceSelector"), labels):
            continue
        policy = named(objects, "ValidatingAdmissionPolicy", binding["spec"]["policyName"])
        assert policy, f"no policy {binding['spec']['policyName']}"
        if not _is_meant(policy, found, "UPDATE" if old else "CREATE", part):
            continue
        for action in binding["spec"]["validationActions"]:
            answers[action] = [*answers.get(action, []), *_answers(policy, found, old)]
    return {action: texts for action, texts in answers.items() if texts}


def _is_meant(policy: Object, found: Object, operation: str, part: str) -> bool:
    group, _, version = found["apiVersion"].rpartition("/")
    resource = "/".join(filter(None, (_PLURALS[found["kind"]], part)))
    return any(
        group in rule["apiGroups"]
        and version in rule["apiVersions"]
        and operation in rule["operations"]
        and resource in rule["resources"]
        for rule in policy["spec"]["matchConstraints"]["resourceRules"]
    )


def _answers(policy: Object, found: Object, old: Object | None) -> list[str]:
    try:
        return _faults(policy, found, old)
    except celpy.CELEvalError as error:
        return [str(error)] if policy["spec"].get("failurePolicy", "Fail") == "Fail" else []


def _faults(policy: Object, found: Object, old: Object | None) -> list[str]:
    """Evaluate conditions, variables and validations in their order."""
    spec = policy["spec"]
    values: dict[str, Any] = {
        "object": celpy.json_to_cel(found),
        "oldObject": celpy.json_to_cel(old),
        "request": celpy.json_to_cel({"operation": "UPDATE" if old else "CREATE"}),
        "variables": celtypes.MapType(),
    }
    conditions = spec.get("matchConditions") or []
    if not all(evaluate(condition["expression"], values) for condition in conditions):
        return []
    for variable in spec.get("variables") or []:
        values["variables"][variable["name"]] = evaluate(variable["expression"], values)
    return [
        str(evaluate(rule["messageExpression"], values) if "messageExpression" in rule else rule)
        for rule in spec["validations"]
        if not evaluate(rule["expression"], values)
    ]


def evaluate(expression: str, values: dict[str, Any]) -> Any:
    """Evaluate an expression in CEL."""
    environment = celpy.Environment()
    return environment.program(environment.compile(expression)).evaluate(values)
