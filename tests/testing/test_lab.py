"""The laboratory: traffic in virtual time, and what the rules and channels under test make of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from resilience import AlertRule, ConfigError
from resilience.alerting import RaisedAlert
from resilience.errors import DeliveryError
from resilience.promql import Vector, evaluate
from resilience.testing import Lab, RecordingNotifier, Traffic

CONFIG = """\
service: shop
packs: [error_rate]
channels: {pager: {webhook: "${PAGER_URL}"}, chat: {log: {}}}
routes: [{severity: critical, to: pager}, {severity: warning, to: chat}]
heartbeat: {url: "https://beat.example/x"}
"""


async def test_fractions_of_failures_are_carried_over_to_the_next_traffic(lab: Lab) -> None:
    for _ in range(12):
        await lab.traffic(rate=10, errors=0.003, seconds=30)
    found = evaluate("http_requests_total", lab.reliability.signals.source, lab.clock.monotonic())
    assert isinstance(found, Vector)
    total = {dict(labels)["verdict"]: value for labels, value in found}
    assert total == {"success": 3590, "failure": 10}


async def test_page(lab: Lab) -> None:
    await lab.traffic(errors=0.5, minutes=10)
    assert lab.firing == {"HighErrorRate"}


async def test_quiet_traffic_alerts_nobody(lab: Lab) -> None:
    await lab.traffic(hours=1)
    assert (lab.firing, lab.pending, lab.notifications, lab.timeline()) == (set(), set(), [], [])


async def test_the_timeline_tells_what_happened_in_order(lab: Lab) -> None:
    await lab.traffic(errors=0.5, minutes=2)
    assert lab.pending == {"HighErrorRate"}
    assert not lab.firing
    await lab.traffic(errors=0.5, minutes=8)
    await lab.wait(minutes=20)
    assert not lab.firing
    seen = [
        (happening.kind, happening.labels.get("severity", happening.detail)) for happening in lab.timeline()
    ]
    assert seen == [
        ("pending", "warning"),
        ("pending", "critical"),
        ("fired", "critical"),
        ("notified", "lab"),
        ("fired", "warning"),
        ("notified", "lab"),
        ("resolved", "warning"),
        ("resolved", "critical"),
        ("notified", "lab"),
    ]
    assert str(lab.timeline()[2]) == "0:02:15 fired HighErrorRate service=lab,severity=critical"
    times = [happening.at for happening in lab.timeline()]
    assert times == sorted(times)


async def test_each_route_has_a_shape_of_its_own(lab: Lab) -> None:
    rule = 'sum by (route) (rate(http_requests_total{verdict="failure"}[5m])) > 0.4'
    slow = "histogram_quantile(0.5, sum by (route, le) (rate(http_request_duration_seconds_bucket[5m]))) > 1"
    lab.use(rules=[AlertRule("Failing", rule), AlertRule("Slow", slow)])
    await lab.traffic(
        Traffic("/orders", rate=1, errors=0.5),
        Traffic("/health", rate=100),
        Traffic("/report", rate=0.1, latency=3),
        minutes=10,
    )
    assert {(happening.subject, happening.labels["route"]) for happening in lab.timeline() if happening.kind == "fired"} == {
        ("Failing", "/orders"),
        ("Slow", "/report"),
    }  # fmt: skip


async def test_a_figure_may_change_with_time(lab: Lab) -> None:
    await lab.traffic(errors=lambda elapsed: 1.0 if 600 <= elapsed < 1200 else 0.0, minutes=60)
    fired, *_ = (happening for happening in lab.timeline() if happening.kind == "fired")
    assert 600 < fired.at < 900
    assert not lab.firing


async def test_requests_are_as_many_as_the_rate_says_and_fail_in_the_share_that_is_asked_for(
    lab: Lab,
) -> None:
    await lab.traffic(rate=0.3, errors=0.1, minutes=100)
    await lab.traffic(rate=0.3, errors=0.1, seconds=7)
    requests = lab.reliability.signals.find("http_requests_total")
    assert requests is not None
    counts = {key[-1]: series.current for key, series in requests.items()}
    assert counts == {"success": 1622, "failure": 180}


async def test_signals_are_set_by_hand_where_traffic_is_not_what_matters(lab: Lab) -> None:
    lab.reliability.signals.usage("lab").quota("minutes", used=950, limit=1000)
    await lab.wait(minutes=20)
    assert lab.firing == {"QuotaNearlyUsed"}


async def test_a_whole_configuration_is_put_to_the_test_without_telling_anybody(
    lab: Lab, tmp_path: Path
) -> None:
    file = tmp_path / "reliability.yaml"
    file.write_text(CONFIG)
    rel = lab.use(file=file, environ={"PAGER_URL": "https://pager.example/x"})
    assert rel.service == "shop"
    assert rel.alerts._heart.heartbeat is None
    await lab.traffic(errors=0.5, minutes=5)
    assert [(sent.receiver, sent.status) for sent in lab.notifications] == [("pager", "firing")]
    await lab.traffic(errors=0.5, minutes=10)
    assert [sent.receiver for sent in lab.notifications] == ["pager", "chat"]


async def test_a_channel_that_fails_is_tried_again_in_virtual_time(lab: Lab) -> None:
    pager = RecordingNotifier("pager", failures=(DeliveryError("down"), DeliveryError("down")))
    lab.use(rules=[AlertRule("Always", condition=lambda: True)], notifiers=[pager])
    await lab.wait(seconds=30)
    assert not lab.notifications
    await lab.wait(minutes=2)
    assert pager.statuses == ["firing"]


async def test_alerts_raised_by_hand_are_silenced_and_resolved_like_others(lab: Lab) -> None:
    lab.use(rules=[])
    alerts = lab.reliability.alerts
    alert = alerts.send_alert(RaisedAlert("DiskFull", severity="critical"))
    alerts.silence(["alertname=DiskFull"], end=lab.clock.time() + 600, author="me", comment="known")
    await lab.wait(minutes=5)
    assert (lab.firing, lab.notifications) == ({"DiskFull"}, [])
    alerts.resolve(alert)
    await lab.wait(minutes=1)
    assert not lab.firing


async def test_ticks_are_as_frequent_as_the_rules_that_are_evaluated_most_often(
    lab: Lab, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: fast, interval: 1s, rules: [{alert: Now, expr: vector(1), for: 2s}]}]")
    lab.use(rules=[rules])
    await lab.wait(seconds=10)
    assert [happening.at for happening in lab.timeline()] == [1, 3]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"minutes": 0}, "together must be a number above 0, got 0"),
        ({"minutes": 1, "errors": 1.5}, "errors must be"),
        ({"minutes": 1, "rate": -1}, "rate must be"),
        ({"minutes": 1, "latency": lambda _: -1}, "latency must be"),
    ],
)
async def test_what_cannot_be_meant_is_refused(lab: Lab, wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        await lab.traffic(**wrong)


async def test_flows_and_the_figures_of_a_single_one_are_not_mixed(lab: Lab) -> None:
    with pytest.raises(ConfigError, match="got both: rate"):
        await lab.traffic(Traffic("/"), rate=1, minutes=1)


async def test_what_is_under_test_is_said_once_and_first(lab: Lab) -> None:
    await lab.wait(seconds=1)
    with pytest.raises(ConfigError, match="before the first traffic"):
        lab.use(rules=[])


async def test_a_day_passes_without_waiting(lab: Lab) -> None:
    began = lab.clock.monotonic()
    await lab.traffic(rate=1, days=1)
    assert lab.clock.monotonic() - began == pytest.approx(86_400)


def test_the_plugin_comes_with_the_package_and_imports_the_laboratory_only_when_it_is_used(
    tmp_path: Path,
) -> None:
    (tmp_path / "test_it.py").write_text(
        "import sys\n"
        "def test_unused():\n"
        "    assert not {'resilience.reliability', 'resilience.core.clock', 'anyio'} & set(sys.modules)\n"
        "async def test_used(lab):\n"
        "    await lab.traffic(errors=0.5, minutes=10)\n"
        "    assert lab.firing == {'HighErrorRate'}\n"
    )
    # anyio brings a plugin of its own, which would load it.
    options = ["-q", "-o", "asyncio_mode=auto", "-p", "no:anyio", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_it.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr
