"""The command line: errors of one line with a way out, exit codes, commands found where they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from florin_cli import __main__ as cli
from florin_cli import commands
from terminal.errors import EXIT_NOT_RUNNING, EXIT_USAGE


def florin(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "florin_cli", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | environment,
        check=False,
    )


def test_every_module_in_commands_is_a_command() -> None:
    shown = CliRunner().invoke(cli.build(), ["--help"]).output
    names = {path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py")}
    assert names >= {"checkout", "doctor", "down", "logs", "reset", "start", "status", "stop", "token", "up"}
    for name in names:
        assert f" {name} " in shown


@pytest.mark.parametrize("name", ["bench", "demo"])
def test_a_command_of_another_room_is_one_like_the_others(name: str) -> None:
    assert f" {name} " in CliRunner().invoke(cli.build(), ["--help"]).output
    assert "--json" in CliRunner().invoke(cli.build([name]), [name, "--help"], color=False).output


def test_only_the_command_asked_for_is_loaded() -> None:
    shown = CliRunner().invoke(cli.build(["status"]), ["--help"]).output
    assert " status " in shown
    assert " doctor " not in shown


def test_a_command_of_another_room_is_not_imported_unasked() -> None:
    look = "import sys; from florin_cli.__main__ import build; build(['status']); print(sorted(sys.modules))"
    ended = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert "'florin_cli.commands.status'" in ended.stdout
    assert "'bench" not in ended.stdout
    assert "'demo" not in ended.stdout


def test_a_setting_that_cannot_be_is_one_line_with_its_name(tmp_path: Path) -> None:
    ended = florin("status", FLORIN_EDGE_PORT="many")
    assert ended.returncode == EXIT_USAGE
    assert "FLORIN_EDGE_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_status_of_nothing_is_an_answer_and_not_an_error(tmp_path: Path) -> None:
    assert florin("status", FLORIN_DATA_DIR=str(tmp_path)).returncode == 0
    asked = florin("status", "--exit-code", FLORIN_DATA_DIR=str(tmp_path))
    assert asked.returncode == EXIT_NOT_RUNNING


def test_stopping_a_part_of_nothing_says_how_to_start(tmp_path: Path) -> None:
    ended = florin("stop", "redis", FLORIN_DATA_DIR=str(tmp_path))
    assert ended.returncode == EXIT_NOT_RUNNING
    assert "florin up" in ended.stderr


def test_reset_keeps_its_hands_off_other_folders(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    ended = florin("reset", "--yes", FLORIN_DATA_DIR=str(tmp_path))
    assert ended.returncode == 1
    assert (tmp_path / "thesis.tex").exists()


def test_reset_takes_what_a_demo_left_where_no_system_ever_ran(tmp_path: Path) -> None:
    (tmp_path / ".florin" / "demo").mkdir(parents=True)
    assert florin("reset", "--yes", FLORIN_DATA_DIR=str(tmp_path / ".florin")).returncode == 0
    assert not (tmp_path / ".florin").exists()


@pytest.mark.parametrize("wanted", ["order_svc", "order_svc=", "order_svc=two", "order_svc=-1"])
def test_a_scale_without_a_number_is_told_how_to_write_it(wanted: str) -> None:
    ended = florin("scale", wanted)
    assert ended.returncode == EXIT_USAGE
    assert f"{wanted} does not say how many." in ended.stderr
    assert "order_svc=2" in ended.stderr


@pytest.mark.parametrize("command", [("scale", "order_svc=2"), ("restart",)])
def test_replicas_of_a_system_that_does_not_run_are_told_so(command: tuple[str, ...], tmp_path: Path) -> None:
    ended = florin(*command, FLORIN_DATA_DIR=str(tmp_path))
    assert ended.returncode == EXIT_NOT_RUNNING
    assert "florin up" in ended.stderr
