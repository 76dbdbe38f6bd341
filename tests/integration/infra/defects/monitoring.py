"""Defects of what watches the service: metrics, alerts, dashboards, analyses of a canary."""

from integration.infra.defects.edits import (
    PRODUCTION,
    Defect,
    alert,
    edit_dashboard,
    metric,
    one,
    swap_alert,
)

DEFECTS = [
    Defect(
        "an alert on a metric that nobody writes",
        PRODUCTION,
        lambda o: swap_alert(o, "s1_extends_total", "s1_extends"),
        {"metrics_exist"},
    ),
    Defect(
        "an alert on a way to end that there is not",
        PRODUCTION,
        lambda o: swap_alert(o, 'end="length"', 'end="cut"'),
        {"labels_exist"},
    ),
    Defect(
        "a canary that passes without traffic",
        PRODUCTION,
        lambda o: metric(o).update(successCondition="len(result) == 0 || result[0] < 0.01"),
        {"analyses_are_three_valued"},
    ),
    Defect(
        "a canary that cannot fail",
        PRODUCTION,
        lambda o: metric(o).pop("failureCondition"),
        {"analyses_are_three_valued"},
    ),
    Defect(
        "a dashboard with two panels in one place",
        PRODUCTION,
        lambda o: edit_dashboard(
            o, lambda d: d["panels"][2].update(gridPos=d["panels"][1]["gridPos"])
        ),
        {"panels_lie_beside_each_other"},
    ),
    Defect(
        "a dashboard with two panels of one id",
        PRODUCTION,
        lambda o: edit_dashboard(o, lambda d: d["panels"][2].update(id=d["panels"][1]["id"])),
        {"dashboards_are_whole"},
    ),
    Defect(
        "an alert on all stages together",
        PRODUCTION,
        lambda o: swap_alert(o, 'namespace="s1-production",end="length"', 'end="length"'),
        {"expressions_stay_in_their_namespace"},
    ),
    Defect(
        "a monitor that throws away what alerts read",
        PRODUCTION,
        lambda o: one(o, "ServiceMonitor/s1")["spec"]["endpoints"][0]["metricRelabelings"][
            0
        ].update(regex="s1_.+"),
        {"monitors_keep_what_is_read"},
    ),
    Defect(
        "a variable that the dashboard does not have",
        PRODUCTION,
        lambda o: edit_dashboard(o, lambda d: d["templating"]["list"].pop(1)),
        {"variables_of_dashboards_are_there"},
    ),
    Defect(
        "an alert without a severity",
        PRODUCTION,
        lambda o: alert(o)["labels"].pop("severity"),
        {"alerts_say_what_is_wrong"},
    ),
    Defect(
        "a canary that passes and fails at once",
        PRODUCTION,
        lambda o: metric(o).update(failureCondition="result[0] >= 0"),
        {"analyses_can_go_both_ways"},
    ),
    Defect(
        "a canary that Prometheus aborts by a restart",
        PRODUCTION,
        lambda o: metric(o).pop("consecutiveErrorLimit"),
        {"analyses_outlast_an_outage"},
    ),
    Defect(
        "an analysis that is not told which pods are new",
        PRODUCTION,
        lambda o: [
            step["analysis"]["args"].pop()
            for step in one(o, "Rollout/s1")["spec"]["strategy"]["canary"]["steps"]
            if "analysis" in step
        ],
        {"analyses_get_their_arguments"},
    ),
]
