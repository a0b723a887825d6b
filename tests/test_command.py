"""The `orbitlm` command as a person meets it: its groups, its versions, its refusals."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from orbitlm import GROUPS

ROOT = Path(__file__).parents[1]


def orbitlm(*words: str, hide: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own; `hide` makes one package look as if it were not installed."""
    script = (
        f"import sys; sys.modules.update({{name: None for name in {hide.split()!r}}}); import orbitlm; orbitlm.main()"
    )
    return subprocess.run(
        [sys.executable, "-c", script, *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "120", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_names_every_group_without_importing_any() -> None:
    """A flight install lacks ground and hil, and its help must still come up."""
    shown = orbitlm("--help", hide="flight.cli ground.cli hil.cli models.cli")
    assert shown.returncode == 0, shown.stderr
    assert all(f"│ {group} " in shown.stdout for group in ("flight", "ground", "hil", "models"))


def commands(command: Any, path: str) -> Iterator[tuple[str, str]]:
    """Path and help of every command below a group."""
    for name, below in getattr(command, "commands", {}).items():
        yield from commands(below, f"{path} {name}")
    if not hasattr(command, "commands"):
        yield path, command.help or ""


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_explains_itself_with_an_example(group: str) -> None:
    """So that `--help` is enough to begin."""
    found = dict(commands(typer.main.get_command(import_module(f"{group}.cli").app), group))
    assert found
    assert [path for path, told in found.items() if "Example" not in told or "`" not in told] == []


@pytest.mark.parametrize("group", GROUPS)
def test_a_groups_help_begins_with_examples(group: str) -> None:
    """The same under `orbitlm` as under `python -m`."""
    shown = orbitlm(group, "--help")
    assert shown.returncode == 0, shown.stderr
    assert re.search(rf"(Try|Start) it: +orbitlm {group} \w+", shown.stdout), shown.stdout


def test_version_names_package_llama_cpp_and_dictionary() -> None:
    """Two people who compare results must be able to say what they ran."""
    from spacelink import DICTIONARY

    shown = orbitlm("--version").stdout
    assert shown.startswith("orbitlm 0.")
    assert "llama-cpp-python 0.3.36" in shown
    assert DICTIONARY.sha256[:16] in shown


def test_a_group_whose_packages_are_missing_says_what_to_install() -> None:
    """One sentence and a non-zero exit, not a traceback."""
    refused = orbitlm("ground", "--help", hide="fastapi uvicorn sqlalchemy httpx")
    assert refused.returncode == 1
    assert "pip install 'orbitlm[ground]'" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_an_unknown_log_level_is_refused_with_those_that_exist() -> None:
    """The sentence carries what was expected and what was found."""
    refused = orbitlm("--log-level", "loud", "models", "list")
    assert refused.returncode == 2
    assert "debug, info, warning or error" in refused.stderr
    assert "loud" in refused.stderr


FLIGHT_ONLY = "llama_cpp psutil crc32c xxhash jinja2"
GROUND_ONLY = "fastapi starlette uvicorn sqlalchemy httpx"
BENCH_ONLY = "matplotlib sgp4 gguf tokenizers torch hil"


@pytest.mark.parametrize(
    ("package", "lacks"),
    [
        ("flight", f"ground {GROUND_ONLY} {BENCH_ONLY}"),
        ("ground", f"flight {FLIGHT_ONLY} {BENCH_ONLY}"),
        ("spacelink", f"flight ground models typer rich {FLIGHT_ONLY} {GROUND_ONLY} {BENCH_ONLY}"),
    ],
)
def test_every_module_loads_with_what_its_own_install_brings(package: str, lacks: str) -> None:
    """The board has no ground and no bench, the laptop of a ground station no llama.cpp."""
    script = (
        f"import importlib, pkgutil, sys; sys.modules.update({{name: None for name in {lacks.split()!r}}})\n"
        f"import {package}\n"
        f"names = [one.name for one in pkgutil.walk_packages({package}.__path__, '{package}.')]\n"
        "for name in names:\n"
        "    if not name.endswith('__main__'):\n"
        "        importlib.import_module(name)\n"
        "print(len(names))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 10
