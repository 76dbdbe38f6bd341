"""What the checks read with: PromQL, conditions of Argo, words of containers, amounts."""

import math

import pytest

from integration.infra.contract.monitoring import analysis, promql, series
from integration.infra.contract.objects import Pod, seconds, selects
from integration.infra.contract.pods import argv, environment
from integration.infra.contract.wiring import queues


@pytest.mark.parametrize(
    ("expression", "names", "grouped_by"),
    [
        ("up == 0", "up", ""),
        ('sum by (pod, end) (rate(a_total{end="x", y!~"b|c"}[5m])) > 1e3', "a_total", "end pod"),
        ("histogram_quantile(0.9, sum(rate(a_bucket[$__interval])) by (le))", "a_bucket", "le"),
        ("v:a + on (pod) group_left v:b offset 5m and 2 * c unless d", "c d v:a v:b", "pod"),
        ('a{hash="{{args.hash}}"} / clamp_min(sum(b), 1)', "a b", ""),
        ("{__name__=~'s1_.*'}", "", ""),
        ("avg_over_time(a[10m:30s]) # b", "a", ""),
    ],
)
def test_metrics_of_an_expression(expression, names, grouped_by) -> None:
    found = promql.read(expression)
    assert not found.fault
    assert [sorted(found.metrics), sorted(found.grouped_by)] == [names.split(), grouped_by.split()]


@pytest.mark.parametrize("expression", ["sum(a", "a{b='c'", "rate(a[5m)", "a{b==1}", "a)"])
def test_what_is_no_expression(expression) -> None:
    assert promql.read(expression).fault


def test_matchers_know_their_metric() -> None:
    (found,) = promql.read('rate(a_total{end=~"budget|length"}[1m])').matchers
    assert found == ("a_total", "end", "=~", "budget|length")


def test_series_are_those_of_the_sources() -> None:
    found = series.series()
    assert found["s1_thinking_ends_total"] == {"end"}
    assert found["vllm:num_requests_waiting"] == {"model_name", "engine"}
    assert "s1_thinking_tokens_bucket" in found
    assert "s1_extends" not in found  # the client adds _total


def test_the_client_writes_what_is_said_here() -> None:
    from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Summary

    for kind in (Counter, Gauge, Histogram, Summary):
        registry = CollectorRegistry()
        kind("a", "Words", registry=registry)
        written = {sample.name for family in registry.collect() for sample in family.samples}
        told = {"a" + suffix for suffix in series.SUFFIXES[kind.__name__]}
        assert told - {"a"} <= written, kind
        assert {name for name in written if not name.endswith("_created")} <= told, kind


@pytest.mark.parametrize(
    ("condition", "result", "holds"),
    [
        ("result[0] <= 0.01", [0.001], True),
        ("result[0] <= 0.01", [], False),
        ("result[0] <= 0.01", [math.nan], False),
        ("len(result) > 0 && !isNaN(result[0]) && result[0] > 1", [2.0], True),
        ("isNaN(result[0]) || result[0] != 1", [math.nan], True),
        ("len(result) == 0 || result[0] < {{args.most}}", [], True),
    ],
)
def test_conditions_of_argo(condition, result, holds) -> None:
    assert analysis.holds(condition, result) is holds


def test_variables_are_put_in_as_the_kubelet_does() -> None:
    values = {"A": "1"}
    assert argv.expand("$(A)/$(B) $$(A) $A", values) == "1/$(B) $(A) $A"
    assert argv.unknown("$(A)/$(B) $$(C)", values) == ["B"]


def job(env, mode="Indexed"):
    container = {"name": "x", "env": env, "args": ["--shard=$(JOB_COMPLETION_INDEX)/8"]}
    spec = {"completionMode": mode, "template": {"spec": {"containers": [container]}}}
    return Pod({"kind": "Job", "spec": spec}, spec["template"], spec), container


def test_the_index_is_there_for_words_and_not_for_variables() -> None:
    pod, container = job([{"name": "SHARD", "value": "$(JOB_COMPLETION_INDEX)"}])
    assert argv.words(pod, container) == ["--shard=0/8"]
    assert argv.variables(pod, container)["SHARD"] == "$(JOB_COMPLETION_INDEX)"
    assert argv.words(*job([], "NonIndexed")) == ["--shard=$(JOB_COMPLETION_INDEX)/8"]


def test_verbs_are_found_by_their_own_call() -> None:
    assert argv.verb("s1_train.fit").recipe == "tiny"
    assert argv.verb("s1_serve.evaluate").package == "serve"
    with pytest.raises(argv.UserError, match="no such verb"):
        argv.verb("s1_train.packing")


@pytest.mark.parametrize("name", ["S1_SERVICE", "VLLM_CACHE_ROOT", "HF_HOME", "BENTOML_HOME"])
def test_known_variables(name) -> None:
    assert name in environment.known(name.partition("_")[0] + "_")


def test_amounts_and_durations() -> None:
    assert [queues.quantity(text) for text in ("250m", "4Gi", "2", 2, "1k")] == [
        0.25, 2**32, 2, 2, 1000,
    ]  # fmt: skip
    assert [seconds(text) for text in ("1h30m", "3600s", "500ms", 5)] == [5400, 3600, 0.5, 5]


def test_selectors_as_the_api_has_them() -> None:
    labels = {"a": "1"}
    rule = {"key": "b", "operator": "DoesNotExist"}
    assert not selects(None, labels)
    assert selects({}, labels)
    assert selects({"matchLabels": {"a": "1"}, "matchExpressions": [rule]}, labels)
    assert not selects(
        {"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, labels
    )
