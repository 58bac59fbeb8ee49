"""Commands whose surroundings fail: streams, hosts, disks, secrets, and what people mistype at length."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from resilience.cli import output
from resilience.cli.main import main

COMMAND = f"{sys.executable} -c 'import sys; from resilience.cli.main import main; sys.exit(main())'"
FILE = """
services: [{name: shop, slos: [{id: ok, target: 99.9}]}]
"""
WITH_SECRETS = """
service: shop
token: "${TOKEN}"
services: [{name: shop, slos: [{id: ok, target: 99.9}]}]
channels:
  ops: {slack: "${SLACK_URL}"}
  mail: {email: {host: mail.example, sender: a@b.example, to: [c@d.example], password_file: secret/mail}}
routes: [{severity: critical, to: ops}]
heartbeat: "${BEAT_URL}"
prometheus: {url: "http://prometheus:9090", token: "${PROM}"}
health: {db: {http: "${DB_URL}"}}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "reliability.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shell(line: str) -> tuple[int, str]:
    done = subprocess.run(
        ["bash", "-c", line.replace("resilience", COMMAND, 1)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
@pytest.mark.parametrize("command", ["validate", "slo rules --json", "--help", "config show"])
def test_a_full_stdout_is_one_line_and_1(command: str) -> None:
    assert shell(f"resilience {command} > /dev/full") == (1, "error: No space left on device\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_stderr_changes_no_exit_code() -> None:
    assert shell("resilience slo explain nope 2> /dev/full") == (2, "")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("resilience validate <&-", 0),
        ("resilience validate >&-", 0),
        ("resilience slo explain nope 2>&-", 2),
        ("resilience validate <&- >&- 2>&-", 0),
        ("resilience backtest --logs - --config reliability.yaml <&-", 2),
    ],
)
def test_a_closed_stream_leaves_no_traceback(line: str, code: int) -> None:
    found, shown = shell(line)
    assert (found, "Traceback" in shown) == (code, False)


def test_what_the_encoding_of_stdout_lacks_is_escaped(folder: Path) -> None:
    (folder / "reliability.yaml").write_text(FILE.replace("id: ok", 'id: ok, name: "\u2713 ok"'))
    code, shown = shell("PYTHONIOENCODING=latin-1 resilience slo explain ok")
    assert code == 0
    assert "\\u2713 ok" in shown


@pytest.mark.parametrize("option", ["--url", "--prometheus"])
@pytest.mark.parametrize("host", ["a..b", "", "ann:s3cret@a..b", "ann:s3/cret@127.0.0.1:9", "[::1"])
def test_a_host_that_is_none_is_2_and_shows_no_password(
    option: str, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["budgets", option, f"http://{host}/"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "s3" not in told


@pytest.mark.parametrize("command", [["budgets"], ["alerts", "list"], ["top", "--once"]])
def test_a_service_that_cannot_be_reached_is_named_without_its_password(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--url", "http://ann:s3cret@127.0.0.1:9"]) == 1
    told = capsys.readouterr().err
    assert "http://***@127.0.0.1:9 cannot be reached" in told
    assert "s3cret" not in told


def test_an_output_keeps_its_permissions_and_links(folder: Path) -> None:
    (folder / "real.yml").write_text("old")
    (folder / "real.yml").chmod(0o640)
    (folder / "rules.yml").symlink_to("real.yml")
    assert main(["slo", "rules", "--output", "rules.yml"]) == 0
    assert (folder / "rules.yml").is_symlink()
    assert "groups:" in (folder / "real.yml").read_text()
    assert stat.S_IMODE((folder / "real.yml").stat().st_mode) == 0o640
    assert sorted(each.name for each in folder.iterdir()) == ["real.yml", "reliability.yaml", "rules.yml"]


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_output_that_is_not_written_to_its_end_leaves_the_old_file(
    failure: BaseException, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "rules.yml").write_text("old")

    def fail(handle: int) -> None:
        raise failure

    monkeypatch.setattr(output.os, "fsync", fail)
    assert main(["slo", "rules", "--output", "rules.yml"]) == (2 if isinstance(failure, OSError) else 130)
    assert (folder / "rules.yml").read_text() == "old"
    assert len(list(folder.iterdir())) == 2


def test_an_output_may_be_a_device() -> None:
    assert main(["slo", "rules", "--output", os.devnull]) == 0


def test_an_output_that_is_an_input_is_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "slos.yaml").write_text("services: [{name: pay, slos: [{id: paid, target: 99}]}]\n")
    (folder / "reliability.yaml").write_text(FILE + "include: [slos.yaml]\n")
    (folder / "openslo.yaml").write_text("apiVersion: openslo/v1\n")
    (folder / "link.yaml").symlink_to("reliability.yaml")
    for arguments in (
        ["slo", "rules", "--output", "reliability.yaml"],
        ["slo", "export", "--output", "slos.yaml"],
        ["slo", "rules", "--output", "link.yaml"],
    ):
        assert main(arguments) == 2
        assert "is read by this command" in capsys.readouterr().err
    assert "target: 99.9" in (folder / "reliability.yaml").read_text()


_LOST = 1  # `slo export`, because OpenSLO cannot express all of an objective
COMMANDS = [
    ["validate"],
    ["config", "show"],
    ["slo", "rules"],
    ["slo", "export"],
    ["slo", "explain", "ok"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("form", [[], ["--config"]], ids=["FILE", "--config"])
def test_a_configuration_is_given_as_file_or_by_config(
    command: list[str], form: list[str], folder: Path
) -> None:
    (folder / "reliability.yaml").rename(folder / "other.yaml")
    assert main([*command, *form, "other.yaml"]) in {0, _LOST}
    assert main(command) == 2


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_secrets_need_not_be_there_except_with_strict(
    command: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "reliability.yaml").write_text(WITH_SECRETS)
    assert main(command) in {0, _LOST}
    capsys.readouterr()
    assert main([*command, "--strict"]) == 2
    told = "".join(capsys.readouterr())
    assert "TOKEN is not set" in told


def test_validate_names_what_it_could_not_check(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "reliability.yaml").write_text(WITH_SECRETS)
    main(["validate"])
    told = capsys.readouterr().err
    assert "not checked: channels.ops.slack (SLACK_URL is not set)" in told
    assert "not checked: channels.mail.email.password_file (secret/mail does not exist)" in told


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ('{slack: {url: "${SLACK_URL}", tmeout: 3}}', "must be one of"),
        ('{slak: "${SLACK_URL}"}', "must be one of"),
        ('{email: {host: mail.example, password: "${SLACK_URL}"}}', "needs sender, to"),
    ],
)
def test_a_channel_without_its_secret_is_still_checked(
    written: str, told: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "reliability.yaml").write_text(f"{FILE}channels:\n  ops: {written}\n")
    assert main(["validate"]) == 2
    assert told in capsys.readouterr().out


def test_other_variables_must_be_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "reliability.yaml").write_text(FILE.replace("99.9", '"${TARGET}"'))
    assert main(["validate"]) == 2
    assert "TARGET is not set" in capsys.readouterr().out


LONG = "x" * 5_000


@pytest.mark.parametrize(
    "arguments",
    [
        [LONG],
        [f"--{LONG}"],
        ["slo", "explain", LONG],
        ["report", "--format", LONG],
        ["budgets", "--url", LONG],
        ["alerts", "silence", "a=b", "--for", LONG, "--comment", "why"],
        ["init", "--name", f"{LONG}!"],
    ],
    ids=lambda arguments: " ".join(arguments)[:20],
)
def test_a_message_repeats_at_most_200_characters_of_what_was_given(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert len(capsys.readouterr().err) < 1000


@pytest.mark.parametrize(
    "written",
    [f"{LONG}: 1", f"service: [{LONG}]", f"interval: {LONG}", f"packs: [{LONG}]", f"routes: [{{to: {LONG}}}]",
     f"routes: [{{to: '{'a b ' * 1000}'}}]", f"channels: {{{LONG}: {{slak: 1}}}}", f"include: ['{LONG}*']"],
    ids=lambda written: written[:20],
)  # fmt: skip
def test_a_message_about_a_file_repeats_at_most_200_characters(
    written: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "reliability.yaml").write_text(FILE + written + "\n")
    assert main(["validate"]) == 2
    assert len(capsys.readouterr().out) < 1500
