"""Reports: what is worked out, what is advised, and how each format says it."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from resilience.errors import ConfigError, MissingExtra
from resilience.reports import FORMATS, Heat, Incident, Objective, Report, Step, build, post_mortem, render
from resilience.reports.advice import advise
from resilience.reports.charts import budget_bar, budget_chart, compliance_chart, latency_chart
from resilience.reports.episodes import cost, gather, stretches, summaries
from resilience.reports.formats import html, markdown

DAY = 86_400.0
NASTY = '<script>alert("x")</script>&\'{{ 7*7 }}|`*_[a](javascript:b)\n# c'


def objective(
    slo_id: str = "ok", *, target: str = "0.99", bad: list[float] | None = None, **more: object
) -> Objective:
    """One with a hundred events a day."""
    days = bad if bad is not None else [0.0] * 10
    steps = [Step((day + 1) * DAY, count, 100.0) for day, count in enumerate(days)]
    actual = 1 - Decimal(str(sum(days))) / Decimal(100 * len(days))
    remaining = 1 - (1 - actual) / (1 - Decimal(target))
    figures: dict[str, object] = {
        "actual": actual,
        "bad": sum(days),
        "total": 100.0 * len(days),
        "remaining": remaining,
        "status": "exhausted" if remaining <= 0 else "healthy",
        "steps": steps,
    }
    return Objective(slo_id, slo_id.upper(), "shop", Decimal(target), **{**figures, **more})  # type: ignore[arg-type]


def report(*objectives: Objective, **more: object) -> Report:
    return build(objectives, start=0, end=10 * DAY, **more)  # type: ignore[arg-type]


@pytest.fixture
def nasty() -> Report:
    """Every text is one that means something to HTML, Markdown, templates or spreadsheets."""
    found = replace(objective(bad=[3.0] * 10), id="=1+1", name=NASTY, service=NASTY, owner=NASTY)
    incident = Incident(NASTY, NASTY, DAY, 2 * DAY, NASTY, NASTY, "=1+1", NASTY, events=((DAY, NASTY),))
    heat = Heat([DAY, 2 * DAY], [0.1, math.inf], [[1, 0], [2, 3]])
    return report(found, incidents=[incident], latency={NASTY: heat})


# -- figures ----------------------------------------------------------------------------------------------------


def test_the_summary_counts_what_was_judged() -> None:
    found = report(
        objective("a"), objective("b", bad=[5.0] * 10), Objective("c", "C", "bank", Decimal("0.9"))
    )
    assert (found.meeting, len(found.objectives), found.compliance, found.at_risk) == (1, 3, 0.5, ["shop"])
    assert [(each.name, each.status) for each in found.services] == [
        ("bank", "no_data"),
        ("shop", "breached"),
    ]


def test_nothing_judged_is_no_compliance() -> None:
    assert report().compliance is None


def test_a_trend_is_a_difference_of_ratios_of_sums() -> None:
    steps = (Step(1, 0, 1), Step(2, 10, 99), Step(3, 0, 100), Step(4, 0, 0))
    assert Objective("a", "A", "s", Decimal("0.9"), steps=steps).trend == pytest.approx(0.1)
    assert Objective("a", "A", "s", Decimal("0.9"), steps=steps[2:]).trend is None


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(50, 100)), min_size=1, max_size=40))
def test_the_burn_down_ends_at_what_is_left(counts: list[tuple[int, int]]) -> None:
    steps = tuple(Step(at, bad, total) for at, (bad, total) in enumerate(counts))
    found = Objective("a", "A", "s", Decimal("0.9"), steps=steps).burn_down
    bad, total = sum(bad for bad, _ in counts), sum(total for _, total in counts)
    assert found[-1][1] == pytest.approx(1 - bad / (0.1 * total))
    assert [value for _, value in found] == sorted((value for _, value in found), reverse=True)


def test_incidents_of_the_period_are_kept_with_what_they_burned() -> None:
    incidents = [
        Incident("late", "A", 11 * DAY),
        Incident("early", "A", -5 * DAY, -4 * DAY),
        Incident("on", "A", 8.5 * DAY, slo="ok"),
        Incident("over", "A", 1.5 * DAY, 1.6 * DAY, slo="ok"),
    ]
    found = report(objective(bad=[0, 4, 0, 0, 0, 0, 0, 0, 1, 1]), incidents=incidents)
    assert [(each.id, each.burned) for each in found.incidents] == [
        ("over", Decimal("0.4")),
        ("on", Decimal("0.2")),
    ]


def test_a_period_must_be_one() -> None:
    with pytest.raises(ConfigError, match="end"):
        build([], start=5, end=5)


# -- advice -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "kind", "figure"),
    [
        (objective(bad=[0] * 9 + [12]), "reliability", "120% of the error budget is spent"),
        (
            objective(bad=[2] * 10),
            "target",
            "in no step of the period was the target of 99% met; the best was 98%",
        ),
        (objective(), "target", "100% of the error budget is left, and every step met the target"),
        (Objective("c", "C", "bank", Decimal("0.9")), "data", "no events in the period"),
        (
            objective(bad=[0, 1, 0, 0], exhaustion=2 * DAY, burn_rates={"1h": Decimal(6), "6h": None}),
            "reliability",
            "it burns at 6x and is gone in 2d",
        ),
    ],
)
def test_each_finding_is_one_recommendation_with_its_figure(found: Objective, kind: str, figure: str) -> None:
    [advice] = advise([found])
    assert (advice.type, advice.figure, advice.slo) == (kind, figure, found.id)
    assert advice.actions


def test_an_ordinary_objective_needs_no_advice() -> None:
    assert advise([objective(bad=[0, 2, 0, 1, 0, 0, 1, 0, 0, 2])]) == []


def test_a_short_history_says_nothing_of_a_target() -> None:
    assert advise([objective(bad=[0.0] * 6)]) == []


def test_many_alerts_of_one_objective_are_a_finding() -> None:
    incidents = [Incident(str(number), "A", number * DAY, number * DAY + 60, slo="ok") for number in range(5)]
    found = objective(bad=[0, 2, 0, 1, 0, 0, 1, 0, 0, 2])
    assert [each.type for each in advise([found], gather(incidents, {}))] == ["process"]
    assert advise([found], gather(incidents[1:], {})) == []
    at_once = [replace(each, started=DAY) for each in incidents]
    assert advise([found], gather(at_once, {})) == [], "five alerts of one cause wake people once"


# -- formats ----------------------------------------------------------------------------------------------------


def test_json_has_the_names_that_were_promised() -> None:
    found = json.loads(render(report(objective(bad=[0.5] * 10)), "json"))
    assert found["metadata"]["period"] == {"start": "1970-01-01T00:00:00Z", "end": "1970-01-11T00:00:00Z"}
    assert found["metadata"]["reportId"]
    assert found["summary"] == {
        "overallCompliance": 100.0,
        "slosMeetingTarget": 1,
        "totalSLOs": 1,
        "servicesAtRisk": [],
    }
    [service] = found["services"]
    [slo] = service["slos"]
    assert (service["name"], service["status"]) == ("shop", "meeting")
    assert (slo["name"], slo["target"], slo["actualValue"], slo["targetMet"]) == ("OK", 99.0, 99.5, True)
    assert found["recommendations"] == []


def test_percentages_carry_no_float_dust() -> None:
    found = json.loads(render(report(objective(target="0.9995")), "json"))
    assert found["services"][0]["slos"][0]["target"] == 99.95


def test_yaml_says_what_json_says(nasty: Report) -> None:
    assert YAML(typ="safe").load(render(nasty, "yaml")) == json.loads(render(nasty, "json"))


def test_csv_has_a_row_for_each_objective_and_no_formula(nasty: Report) -> None:
    [row] = csv.DictReader(io.StringIO(render(nasty, "csv")))
    assert row["id"] == "'=1+1"
    assert (row["target"], row["actualValue"], row["targetMet"]) == ("99.0", "97.0", "False")
    assert row["name"] == NASTY
    assert row["trend"] == "0.0"


def test_markdown_keeps_texts_in_their_place(nasty: Report) -> None:
    text = render(nasty, "markdown")
    assert "<script>" not in text
    assert "\n# c" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
    assert bars == {9, 8}
    assert "(javascript:" not in re.sub(r"\\.", "", text)


class Page(HTMLParser):
    """What tags a page has, and whether they close."""

    VOID = frozenset({"meta", "br", "rect", "line", "polygon", "polyline", "circle"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loads += [name for name, _ in attrs if name in {"src", "onclick", "onload"}]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def test_html_is_one_file_that_escapes_everything(nasty: Report) -> None:
    text = render(nasty, "html")
    page = Page(text)
    assert page.open == []
    assert page.tags.isdisjoint({"script", "link", "img", "iframe"})
    assert page.loads == []
    assert page.links == ["#slo-1"]
    assert 'id="slo-1"' in text
    assert "{{ 7*7 }}" in text
    assert "@import" not in text
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    assert text.count("<svg") == 4


def test_html_of_nothing_is_a_page() -> None:
    assert Page(render(report(), "html")).open == []


def test_html_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)
    with pytest.raises(MissingExtra, match="reports"):
        render(report(), "html")


def test_there_are_the_formats_that_were_promised() -> None:
    assert set(FORMATS) == {"html", "json", "csv", "yaml", "markdown"}
    with pytest.raises(ConfigError, match="format"):
        render(report(), "pdf")


@given(
    st.lists(st.tuples(st.integers(0, 2_000_000_000), st.none() | st.floats(0, 1)).map(tuple), max_size=30),
    st.floats(0.5, 0.99999),
)
def test_charts_are_well_formed_and_stay_in_their_frame(
    points: list[tuple[float, float | None]], target: float
) -> None:
    ordered = sorted(points, key=lambda point: point[0])
    for chart in (
        compliance_chart(ordered, target),
        budget_chart([(at, 1 - 3 * value) for at, value in ordered if value is not None]),
    ):
        root = ET.fromstring(chart)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for line in root.iter("polyline"):
            for place in line.attrib["points"].split():
                x, y = map(float, place.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height


def test_a_gap_is_no_line() -> None:
    chart = compliance_chart([(0, 1.0), (1, 1.0), (2, None), (3, 1.0), (4, 1.0)], 0.99)
    assert chart.count("<polyline") == 2


def test_heat_shows_what_there_is() -> None:
    root = ET.fromstring(latency_chart(Heat([1, 2], [0.1, math.inf], [[5, 0], [1, 2]])))
    assert sorted(float(cell.attrib["fill-opacity"]) for cell in root.iter("rect")) == [0.39, 0.61, 1.0]
    ET.fromstring(latency_chart(Heat([], [], [])))


@pytest.mark.parametrize(
    ("left", "width"), [("1", "100.0"), ("0.25", "25.0"), ("1.5", "100.0"), ("0", None), ("-3", None)]
)
def test_a_bar_is_as_long_as_what_is_left(left: str, width: str | None) -> None:
    bars = [each.attrib for each in ET.fromstring(budget_bar(Decimal(left))).iter() if "rect" in each.tag]
    assert [each["width"] for each in bars if each["class"] == "fill"] == ([] if width is None else [width])


def test_shades_stay_in_the_frame_and_can_be_seen() -> None:
    points = [(at * 60.0, 1.0) for at in range(100)]
    spans = [
        (-500.0, 60.0),
        (1000.0, 1001.0),
        (5000.0, None),
        (9000.0, 9999.0),
        (-9.0, -1.0),
        (5939.0, 5940.0),
    ]
    shades = [
        (float(each.attrib["x"]), float(each.attrib["width"]))
        for each in ET.fromstring(compliance_chart(points, 0.99, spans)).iter()
        if each.attrib.get("class") == "span"
    ]
    assert len(shades) == 4
    assert all(width >= 3 and x >= 58 and x + width <= 560 - 14 + 0.1 for x, width in shades)


# -- what happened ------------------------------------------------------------------------------------------------


def burn(started: float, ended: float | None, *, severity: str = "critical", slo: str = "ok") -> Incident:
    return Incident("1", "ErrorBudgetBurn", started, ended, severity, "shop", slo, "fast burn over 1h")


def spent(started: float, ended: float | None, slo: str = "ok") -> Incident:
    return Incident(
        "2", "ErrorBudgetExhaustion", started, ended, "info", "shop", slo, "50% of the budget spent"
    )


def test_alerts_of_one_cause_are_one_episode() -> None:
    ok = objective(bad=[0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    alerts = [
        burn(2 * DAY, 2 * DAY + 600, severity="warning"),
        burn(2 * DAY + 300, 2 * DAY + 3000),
        spent(2 * DAY + 400, None),
        burn(5 * DAY, None),
        burn(2 * DAY + 400, 2 * DAY + 500, slo="other"),
    ]
    first, other, second = report(ok, incidents=alerts).episodes
    assert (first.name, first.started, first.ended, first.severity) == (
        "OK",
        2 * DAY,
        2 * DAY + 3000,
        "critical",
    )
    assert (len(first.alerts), first.burned) == (3, Decimal("0.1"))
    assert summaries(first) == "fast burn over 1h, 50% of the budget spent"
    assert (other.name, other.burned) == ("other", None)
    assert (second.started, second.ended, len(second.alerts)) == (5 * DAY, None, 1)
    assert stretches([first, other, second], "ok") == [(2 * DAY, 2 * DAY + 3000), (5 * DAY, None)]


def test_a_budget_that_stays_spent_is_no_stretch_of_trouble() -> None:
    [only] = gather([spent(DAY, None)], {})
    assert (only.name, only.ended) == ("ok", None)
    assert stretches([only], "ok") == []


def test_what_an_incident_cost_is_as_fine_as_the_history() -> None:
    hours = [Step(hour * 3600.0, 1.0 if hour == 30 else 0.0, 100.0) for hour in range(1, 241)]
    fine = objective(history=hours, total=24_000.0)
    assert cost(fine, 29.5 * 3600, 30 * 3600) == Decimal(str(round(1 / 240, 6)))
    assert cost(fine, 31 * 3600, None) == 0
    assert cost(replace(fine, history=(), steps=()), 0, 1) is None


# -- post-mortem ------------------------------------------------------------------------------------------------


def test_a_post_mortem_has_the_incidents_figures() -> None:
    incident = Incident(
        "7f",
        "Burn",
        0,
        5400,
        "critical",
        "shop",
        "ok",
        "burns",
        Decimal("0.25"),
        [(0, "fired"), (60, "acknowledged ann")],
    )
    text = post_mortem(incident, objective())
    for part in (
        "lasted 1h30m",
        "| Error budget burned | 25% |",
        "00:01 UTC: acknowledged ann",
        "## Action items",
    ):
        assert part in text


def test_a_post_mortem_of_what_goes_on_says_so(nasty: Report) -> None:
    text = post_mortem(replace(nasty.incidents[0], ended=None))
    assert "goes on" in text
    assert "<script>" not in text


def test_a_post_mortem_tells_of_the_alerts_beside_it() -> None:
    alerts = [replace(burn(0, 600), events=[(0, "fired"), (600, "resolved")]), spent(300, None)]
    found = report(objective(bad=[1.0] * 10), incidents=alerts)
    text = post_mortem(found.incidents[0], found.objectives[0], found.episodes[0])
    assert "| With 1 more alert | from 1970-01-01 00:00 UTC, until 1970-01-01 00:10 UTC |" in text
    timeline = [line for line in text.splitlines() if line.startswith("- 1970")]
    assert [line.split(": ", 1)[1] for line in timeline] == [
        r"ErrorBudgetBurn \(fast burn over 1h\): fired",
        r"ErrorBudgetExhaustion \(50% of the budget spent\): fired",
        r"ErrorBudgetBurn \(fast burn over 1h\): resolved",
    ]


@pytest.mark.parametrize("exhaustion", [0.0, None])
def test_an_exhausted_budget_has_no_time_until_it_is(exhaustion: float | None) -> None:
    found = report(objective(bad=[0] * 9 + [12], exhaustion=exhaustion))
    assert [each.status for each in found.services[0].objectives] == ["exhausted"]
    assert "| exhausted |" in markdown.render(found)
    assert "<dt>Gone in</dt><dd>exhausted</dd>" in html.render(found)
