"""Templates: the texts that promtool 2.42 gave for the same ones, and what is refused."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import ConfigError, QueryError
from resilience.rules.template import Template, TemplateData
from resilience.rules.template.format import float_text, printf


def query(text: str) -> list[Any]:
    return (
        [((("__name__", "up"), ("job", job)), value) for job, value in (("b", 2.0), ("a", 1.0))]
        if text == "up"
        else []
    )


DATA = TemplateData({"job": "shop", "__name__": "up"}, 0.0512, {"region": "eu"}, "https://alerts/x", query)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{{ $value }}|{{ .Value }}|{{ $labels.job }}|{{ .Labels.job }}", "0.0512|0.0512|shop|shop"),
        (
            "{{ $labels.none }}|{{ $externalLabels.region }}|{{ .ExternalLabels.region }}|{{ $externalURL }}",
            "|eu|eu|https://alerts/x",
        ),
        ("{{ externalURL }} {{ pathPrefix }}", "https://alerts/x /x"),
        ("a {{- ' ' | print }}".replace("' '", '" b"') + " {{ 1 -}}   c{{/* no */}}d", "a b 1cd"),
        ('{{ printf "%.2f%%" $value }}', "0.05%"),
        ("{{ if gt $value 0.5 }}big{{ else if lt $value 0.1 }}small{{ else }}mid{{ end }}", "small"),
        ('{{ range query "up" }}{{ .Labels.job }}={{ .Value }},{{ end }}', "b=2,a=1,"),
        ('{{ range $i, $e := query "up" }}{{ $i }}{{ $e.Value }} {{ else }}none{{ end }}', "02 11 "),
        ('{{ range query "none" }}x{{ else }}none{{ end }}', "none"),
        ('{{ with query "up" }}{{ . | first | value | humanize }}{{ end }}', "2"),
        ('{{ with query "none" }}y{{ else }}n{{ end }}', "n"),
        ('{{ query "up" | sortByLabel "job" | first | label "job" }}', "a"),
        ('{{ (query "up" | first).Value }}', "2"),
        ("{{ range $k, $v := $externalLabels }}{{ $k }}:{{ $v }};{{ end }}", "region:eu;"),
        ("{{ $x := 3 }}{{ if true }}{{ $x = 4 }}{{ $x := 5 }}{{ end }}{{ $x }}", "4"),
        ('{{ "foo bar-baz" | title }} {{ "aB" | toUpper }} {{ "aB" | toLower }}', "Foo Bar-Baz AB ab"),
        ('{{ reReplaceAll "(a+)b" "<$1|${1}x>" "aaab ab" }}', "<aaa|aaax> <a|ax>"),
        ('{{ match "a.*" "xab" }} {{ stripPort "a:90" }} {{ stripDomain "a.b.c:80" }}', "true a a:80"),
        ('{{ stripPort "[::1]:90" }} {{ stripDomain "10.0.0.1:80" }}', "::1 10.0.0.1:80"),
        ("{{ and 1 0 }}{{ or 0 `z` }}{{ not true }}{{ index $labels `job` }}{{ len `abc` }}", "0zfalseshop3"),
        ('{{ print 1 2 "a" "b" 3.5 }}|{{ println "a" 1 }}', "1 2ab3.5|a 1\n"),
        ('{{ tableLink "up{a=\\"b c\\"}" }}', "/graph?g0.expr=up%7Ba%3D%22b+c%22%7D&g0.tab=1"),
        ('{{ html "<a>" }} {{ urlquery "a b&" }} {{ (args 1 "b").arg1 }}', "&lt;a&gt; a+b%26 b"),
        ('{{ "3" | humanize }} {{ 3 | humanize }} {{ parseDuration "1h" }}', "3 3 3600"),
        ("{{ eq $value 0.0512 }} {{ ne 1 2 }} {{ le 1 1 }} {{ ge 1.5 2.5 }}", "true true true false"),
        ('{{ (index (query "up") 1).Value }} {{ len (query "up") }} {{ len $labels }}', "1 2 2"),
        (
            '{{ eq "a" "b" "a" }} {{ lt "a" "b" }} {{ strvalue (query "up" | first) }} {{ safeHtml "<b>" }}',
            "true true  <b>",
        ),
        ("{{ with $x := 3 }}{{ $x }}{{ . }}{{ end }}{{ $.Value }}", "330.0512"),
        ("{{ $labels }}", "map[__name__:up job:shop]"),
        ('{{ "\\x41\\u00e9\\n\\t\\"" }}', 'Aé\n\t"'),
    ],
)
def test_renders_as_prometheus_does(template: str, text: str) -> None:
    assert Template(template).render(DATA) == text


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (
            123456789.0,
            (
                "1.23456789e+08",
                "123.5M",
                "117.7Mi",
                "1428d 21h 33m 9s",
                "1.235e+10%",
                "1973-11-29 21:33:09 +0000 UTC",
            ),
        ),
        (
            12345.678,
            (
                "12345.678",
                "12.35k",
                "12.06ki",
                "3h 25m 45s",
                "1.235e+06%",
                "1970-01-01 03:25:45.678 +0000 UTC",
            ),
        ),
        (
            99999.5,
            ("99999.5", "100k", "97.66ki", "1d 3h 46m 39s", "1e+07%", "1970-01-02 03:46:39.5 +0000 UTC"),
        ),
        (0.0001, ("0.0001", "100u", "0.0001", "100us", "0.01%", "1970-01-01 00:00:00 +0000 UTC")),
        (
            1.234e-05,
            ("1.234e-05", "12.34u", "1.234e-05", "12.34us", "0.001234%", "1970-01-01 00:00:00 +0000 UTC"),
        ),
        (math.inf, ("+Inf", "+Inf", "+Inf", "+Inf", "+Inf%", "+Inf")),
        (0.0, ("0", "0", "0", "0s", "0%", "1970-01-01 00:00:00 +0000 UTC")),
    ],
)
def test_numbers_are_humanized_as_prometheus_does(value: float, texts: tuple[str, ...]) -> None:
    forms = (
        "",
        "| humanize",
        "| humanize1024",
        "| humanizeDuration",
        "| humanizePercentage",
        "| humanizeTimestamp",
    )
    data = TemplateData({}, value)
    assert tuple(Template(f"{{{{ $value {form} }}}}").render(data) for form in forms) == texts


def test_the_dot_and_samples_are_printed_as_go_prints_structs() -> None:
    data = TemplateData({"a": "b"}, 1.5, query=lambda _: [((("x", "y"),), 1.0)])
    assert Template("{{ . }}").render(data) == "{map[a:b] map[]  1.5}"
    assert Template('{{ query "up" }}').render(data) == "[{map[x:y] 1}]"
    with pytest.raises(QueryError, match="can't evaluate field Nope; there are Labels, ExternalLabels"):
        Template("{{ .Nope }}").render(data)


def test_printf_writes_gos_faults() -> None:
    assert (
        printf("%d %5d %s %q %v %t %% %z", [3, 4, "x", "y", True, False])
        == '3     4 x "y" true false % %!z(MISSING)'
    )
    assert printf("a", [1]) == "a%!(EXTRA int=1)"
    assert (
        printf("%05.1f|%x|%X|%c|%U|%-8.2f|%+d", [3.14159, 255, "hi", 65, 65, 1.5, 7])
        == "003.1|ff|6869|A|U+0041|1.50    |+7"
    )


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_as_text_is_that_number(value: float) -> None:
    assert float(float_text(value)) == value


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ $value", "unclosed action"),
        ("{{ nope $value }}", "function 'nope' is not defined (character 4)"),
        ("a\n{{ $x }}", "undefined variable $x (line 2, character 4)"),
        ("{{ if true }}x", "if has no end"),
        ("{{ end }}", "unexpected {{end}}"),
        ('{{ template "x" }}', "template is not supported"),
        ('{{ define "x" }}{{ end }}', "define is not supported"),
        ("{{ toTime 3 }}", "toTime is not supported"),
        ("{{ $value | 3 }}", "a function must follow |"),
        ("{{ 3 4 }}", "takes no arguments"),
        ("{{ }}", "unexpected '}}'"),
        ("{{ # }}", "unexpected '#'"),
        ("{{ (1 }}", "expected )"),
        ('{{ "\\q" }}', "bad escape"),
        ("{{ if true }}{{ $y := 1 }}{{ end }}{{ $y }}", "undefined variable $y"),
        ("{{ " + "(" * 200 + "1" + ")" * 200 + " }}", "nested deeper"),
        ("{{ if true }}" * 200, "nested deeper"),
        ("x" * 100_001, "at most 100000 characters"),
    ],
)
def test_what_is_no_template_or_not_supported_is_refused_with_its_place(template: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Template(template)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ if gt $value 5 }}{{ end }}", "error calling gt: incompatible types for comparison"),
        ('{{ query "none" | first }}', "first() called on vector with no elements"),
        ('{{ "x" | humanize }}', "invalid syntax"),
        ("{{ $labels.job.x }}", "can't evaluate field x"),
        ('{{ index (query "up") 5 }}', "index out of range: 5"),
        ("{{ index $value 1 }}", "can't index"),
        ("{{ len $value }}", "len of 0.0512"),
        ("{{ lt true false }}", "invalid type for comparison"),
        ("{{ range $value }}{{ end }}", "range can't iterate over 0.0512"),
        ("{{ humanize true }}", "can't convert true to float"),
        ("{{ toUpper 3 }}", "expected string; got 3"),
        ("{{ first 3 }}", "expected the result of a query"),
        ("{{ value 3 }}", "expected a sample"),
        ('{{ parseDuration "x" }}', "must be a duration"),
        ("{{ humanize }}", "wrong number of arguments for humanize"),
        ('{{ reReplaceAll "(" "" "" }}', "error parsing regexp"),
        ("{{ 1e20 | humanizeTimestamp }}", "cannot be represented"),
    ],
)
def test_a_template_may_fail_for_some_data(template: str, message: str) -> None:
    with pytest.raises(QueryError) as failed:
        Template(template).render(DATA)
    assert message in failed.value.message


def test_an_expansion_is_bounded() -> None:
    squares = "{{ range query `up` }}" * 17 + "x" + "{{ end }}" * 17
    with pytest.raises(QueryError, match="more than 100000 steps"):
        Template(squares).render(DATA)
    with pytest.raises(QueryError, match="more than 1000000 characters"):
        Template("{{ range query `up` }}" * 6 + "x" * 50_000 + "{{ end }}" * 6).render(DATA)


def test_without_a_source_nothing_can_be_queried() -> None:
    with pytest.raises(QueryError, match="nothing can be queried here"):
        Template('{{ query "up" }}').render(TemplateData({}, 1.0))


def test_knows_whether_it_shows_a_value() -> None:
    assert Template("{{ if true }}{{ printf `%v` $value }}{{ end }}").reads_value
    assert Template("{{ .Value }}").reads_value
    assert not Template("{{ $labels.value }}").reads_value


PIECES = st.sampled_from(
    ["{{", "}}", "{{-", "-}}", " ", "$value", "$labels", ".x", ".", "|", "(", ")", "if", "range", "with", "else", "end", '"a"', "`b`", "1", "-2.5", "humanize", "printf", "query", "first", ":=", "=", ",", "$x", "/*", "*/", "true", "nil", "eq", "\n"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join) | st.text(max_size=30).map("{{{{{}}}}}".format))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        template = Template(text)
    except ConfigError:
        return
    try:
        shown = template.render(DATA)
    except QueryError:
        return
    assert isinstance(shown, str)
