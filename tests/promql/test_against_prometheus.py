"""The same samples and expressions, here and in a real Prometheus 2.x server: the same answers."""

from __future__ import annotations

import json
import math
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest

from resilience.core.ports import Labels
from resilience.errors import QueryError
from resilience.promql import Matrix, MemorySource, Scalar, Value, evaluate, evaluate_range
from tests import servers

pytestmark = pytest.mark.server("prometheus", "promtool")

BASE = 1_700_000_000
NAN, INF = math.nan, math.inf

SAMPLES: dict[Labels, list[tuple[float, float]]] = {}


def series(name: str, values: list[float], step: int = 15, start: int = 0, **labels: str) -> None:
    key = tuple(sorted({"__name__": name, **labels}.items()))
    SAMPLES[key] = [(BASE + start + index * step, float(value)) for index, value in enumerate(values)]


series("requests_total", [index * 7 + index % 5 for index in range(120)], job="api", code="200")
series("requests_total", [(index * 3) % 50 for index in range(120)], job="api", code="500")
series("requests_total", [10 + index * 2 for index in range(80)], start=307, job="web", code="200")
series("requests_total", [5, 6], start=900, job="web", code="500")
series("temperature", [20 + 5 * math.sin(index / 7) for index in range(120)], room="a")
series("temperature", [NAN if index % 9 == 4 else index % 13 - 6 for index in range(120)], room="b")
series("temperature", [INF if index == 50 else 3 for index in range(120)], room="c")
series("limit", [1], start=1000, job="api", tier="gold")
series("limit", [2], start=1000, job="web", tier="tin")
series("birthday", [1_709_164_800 + index * 86_400 for index in range(30)])
for _bound, _weight in (("0.1", 3), ("0.5", 8), ("1", 9), ("2.5", 9), ("+Inf", 10)):
    series("latency_bucket", [index * _weight for index in range(120)], le=_bound, job="api")
    series("latency_bucket", [index * (_weight - 3) for index in range(120)], le=_bound, job="web")

AT = [BASE + 1000, BASE + 1003.5, BASE + 1207, BASE + 1785, BASE + 1900, BASE + 2086]

_RANGE_FUNCTIONS = [
    "rate",
    "increase",
    "delta",
    "irate",
    "idelta",
    "deriv",
    "changes",
    "resets",
    "avg_over_time",
    "sum_over_time",
    "min_over_time",
    "max_over_time",
    "count_over_time",
    "last_over_time",
    "present_over_time",
    "stddev_over_time",
    "stdvar_over_time",
    "absent_over_time",
]
_MATH = [
    "abs",
    "ceil",
    "floor",
    "exp",
    "ln",
    "log2",
    "log10",
    "sqrt",
    "sgn",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "deg",
    "rad",
    "round",
]
_LIBRARY = tuple(
    f"{name}(" for name in _MATH if name not in {"abs", "ceil", "floor", "sgn", "deg", "rad", "round"}
)
_DATES = [
    "minute",
    "hour",
    "day_of_week",
    "day_of_month",
    "day_of_year",
    "days_in_month",
    "month",
    "year",
    "timestamp",
]

EXPRESSIONS = [
    *(f"{name}({metric}[{window}])" for name in _RANGE_FUNCTIONS for metric in ("requests_total", "temperature") for window in ("1m", "5m", "37s")),
    *(f"{name}(temperature)" for name in _MATH),
    *(f"{name}(birthday)" for name in _DATES),
    "time()", "vector(1)", "scalar(limit)", 'scalar(limit{job="api"})', "pi()", "hour()", "-temperature", "1 - -2 ^ 2",
    "predict_linear(temperature[5m], 600)", "predict_linear(requests_total[3m] offset 2m, 60)",
    "quantile_over_time(0.3, temperature[5m])", "quantile_over_time(1.3, requests_total[5m])",
    "clamp(temperature, -2, 2)", "clamp_max(temperature, 1)", "clamp_min(temperature, 1)", "round(temperature, 0.3)",
    "holt(1)", "holt_winters(temperature[5m], 0.3, 0.6)", "holt_winters(temperature[5m], 1, 0.6)", 'absent(nothing{a="b"})',
    'absent(x{job=~"a|b",job="a"})', 'absent(x{job="a",job=~"a|b"})', 'absent(x{job="a",job="b"})', 'absent(x{job="a",job!="",n="1"})',
    'count_values without (job) ("job", limit)', 'count_values by (tier) ("tier", limit)', 'count_values by (job) ("v", requests_total)',
    "3 + on() 4", "temperature * on() 2", "2 < ignoring() group_left(job) limit", "temperature > bool on(room) 1",
    "limit == on() (requests_total)", "limit >= on() group_right() requests_total", "requests_total == on(job) limit", "requests_total == bool on(job) limit",
    "requests_total{code='500'} > on(code) requests_total", 'nothing + label_join(limit, "job", "", "no")', 'nothing and label_join(limit, "job", "", "no")',
    'rate({__name__=~"limit|requests_total"}[10m])', '-{__name__=~"temperature|limit"}', "count by (__name__) (rate(requests_total[5m]))",
    'label_replace(rate(requests_total[5m]), "n", "$1", "__name__", "(.*)")', "1__000", "up[99999y]", "absent(limit)", "requests_total offset 5m", "requests_total offset -2m",
    f"requests_total @ {BASE + 600}", "sum(requests_total @ start())", f"rate(requests_total[2m] @ {BASE + 600})",
    *(f"{name}(temperature)" for name in ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")),
    *(f"{name} by (job) (requests_total)" for name in ("sum", "avg", "min", "max", "count", "group", "stddev", "stdvar")),
    "sum without (code) (requests_total)", "topk(2, requests_total)", "bottomk(1, requests_total) by (job)", "topk(3, temperature)",
    "bottomk(2, temperature)", "quantile(0.4, temperature)", "quantile by (job) (0.9, requests_total)", 'count_values("v", limit)',
    "requests_total / on(job) group_left(tier) limit", "limit * on(job) group_right requests_total", "limit / on(job) requests_total",
    "requests_total and on(job) limit", 'requests_total unless on(job) limit{tier="tin"}', "limit or requests_total",
    "requests_total > 100", "requests_total > bool 100", "100 < requests_total", "requests_total % 7", "2 ^ limit", "limit / 0", "0 / (limit - 1)",
    "requests_total == requests_total", "temperature != temperature", "temperature atan2 2", "limit == on(job) group_right requests_total",
    'label_replace(limit, "x", "$1-${2}", "job", "(a)(.*)")', 'label_replace(limit, "job", "", "job", "api")', 'label_join(limit, "x", "-", "job", "tier")',
    "histogram_quantile(0.5, rate(latency_bucket[5m]))", "histogram_quantile(0.99, latency_bucket)", "histogram_quantile(0.2, sum by (le) (latency_bucket))",
    "sum_over_time(temperature[5m:1m])", "max_over_time(rate(requests_total[1m])[5m:30s])", "avg_over_time(temperature[2m:7s] offset 1m)",
    "rate(requests_total[5m:20s])", "min_over_time(sum(requests_total)[3m:])", f"sum_over_time(temperature[1m:10s] @ {BASE + 777})",
    f"predict_linear(temperature[5m] @ {BASE + 800}, 600)", f"predict_linear(requests_total[4m] @ {BASE + 1500} offset 2m, 60)",
    f"predict_linear(avg_over_time(temperature[1m])[5m:30s] @ {BASE + 900}, 120)", "predict_linear(requests_total[5m:20s], -60)",
    "max_over_time(max_over_time(rate(requests_total[1m])[3m:20s])[6m:1m])", "sum_over_time(sum_over_time(limit[1m:10s])[2m:30s] offset 1m)",
    f"avg_over_time(min_over_time(temperature[1m] @ {BASE + 700})[2m:30s])", "stddev_over_time(deriv(requests_total[2m:15s])[4m:45s])",
    f"count_over_time(requests_total[2m:7s] @ {BASE + 1111} offset 33s)", "quantile_over_time(0.9, delta(temperature[1m])[5m:1m])",
    f"deriv(requests_total[3m] @ {BASE + 1500}) + on(job, code) requests_total offset -1m", "changes((requests_total > 40)[5m:])",
    "absent_over_time((limit > 5)[5m:1m])", "sum(irate(requests_total[5m:10s])) by (job)", "resets(requests_total[10m:15s] offset 3m)",
    "timestamp(requests_total offset 1m)", f"timestamp(limit @ {BASE + 1010})", "holt(1)", "topk(2, rate(requests_total[5m]) * 60) by (code)",
    'requests_total{code=~"5.."}', 'requests_total{code!~"5..", job!=""}', '{__name__=~"lim.*|temp.*"}', 'sum({job=~".+"})', "temperature[1m]", "sort(temperature)",
    "sort_desc(requests_total)", 'ceil({__name__=~"limit|temperature"})', "1 > bool 2", "requests_total > on(job) limit",
]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    lines = []
    for name in sorted({dict(labels)["__name__"] for labels in SAMPLES}):
        lines.append(f"# TYPE {name} unknown")
        for labels, samples in SAMPLES.items():
            if dict(labels)["__name__"] == name:
                text = ",".join(f'{label}="{value}"' for label, value in labels if label != "__name__")
                lines += [f"{name}{{{text}}} {value} {at}" for at, value in samples]
    (folder / "samples.om").write_text(
        "\n".join(lines).replace(" inf", " +Inf").replace(" nan", " NaN") + "\n# EOF\n"
    )
    subprocess.run(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", folder / "samples.om", folder / "data"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (folder / "prometheus.yml").write_text("global: {}\n")
    with servers.prometheus(folder / "prometheus.yml", "--storage.tsdb.retention.time=100y") as (url, _):
        yield f"{url}/api/v1/"


@pytest.fixture(scope="module")
def source() -> MemorySource:
    memory = MemorySource()
    for labels, samples in SAMPLES.items():
        memory.add(labels, samples)
    return memory


Answer = dict[Labels, list[tuple[float, float]]] | float | None


def ask(server: str, path: str, **parameters: object) -> Answer:
    try:
        with urllib.request.urlopen(f"{server}{path}?{urllib.parse.urlencode(parameters)}") as response:
            data = json.load(response)["data"]
    except urllib.error.HTTPError:
        return None
    if data["resultType"] == "scalar":
        return float(data["result"][1])
    return {
        tuple(sorted(one["metric"].items())): [
            (at, float(value)) for at, value in one.get("values") or [one["value"]]
        ]
        for one in data["result"]
    }


def answer(value: Value, at: float) -> Answer:
    if isinstance(value, Scalar):
        return value.value
    if isinstance(value, Matrix):
        return {one.labels: list(zip(one.times, one.values, strict=True)) for one in value}
    return {labels: [(at, result)] for labels, result in value}  # type: ignore[union-attr]  # a vector is left


def assert_same(got: Answer, wanted: Answer, *, tolerance: float = 0.0) -> None:
    if not isinstance(wanted, dict) or not isinstance(got, dict):
        assert got == pytest.approx(wanted, nan_ok=True)
        return
    assert got.keys() == wanted.keys()
    for labels, samples in wanted.items():
        assert [at for at, _ in got[labels]] == pytest.approx([at for at, _ in samples], abs=1e-3)
        values = [value for _, value in got[labels]]
        wanted_values = [value for _, value in samples]
        assert values == pytest.approx(wanted_values, rel=tolerance, abs=tolerance, nan_ok=True)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_instants_agree(server: str, source: MemorySource, expression: str) -> None:
    for at in AT:
        wanted = ask(server, "query", query=expression, time=at)
        try:
            got = answer(evaluate(expression, source, at, semantics=2), at)
        except QueryError:
            got = None
        # To the last digit, as `rules test` compares, except where the two languages' libraries differ.
        assert_same(got, wanted, tolerance=1e-9 if expression.startswith(_LIBRARY) else 0.0)


@pytest.mark.parametrize(
    "expression",
    [
        "requests_total",
        "sum by (job) (rate(requests_total[1m]))",
        "max_over_time(temperature[2m:10s])",
        "temperature > 2",
        "requests_total @ start() + requests_total @ end()",
        "-requests_total or limit",
        "predict_linear(temperature[2m] @ end(), 60)",
        "max_over_time(rate(requests_total[1m])[3m:20s] @ start())",
        "sum_over_time(max_over_time(temperature[1m:15s])[2m:30s] offset 40s)",
        "time()",
    ],
)
def test_ranges_agree(server: str, source: MemorySource, expression: str) -> None:
    start, end, step = BASE + 290.0, BASE + 2200.0, 17.0
    wanted = ask(server, "query_range", query=expression, start=start, end=end, step=step)
    series = evaluate_range(expression, source, start, end, step, semantics=2)
    assert_same({one.labels: list(zip(one.times, one.values, strict=True)) for one in series}, wanted)
