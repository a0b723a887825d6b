"""What the README tells a stranger to type exists, and CI types the same."""

import re
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = sorted(
    {line.split("#")[0].strip() for line in re.findall(r"^(?:\.venv/bin/)?orbitlm (.+)$", README, re.MULTILINE)}
)


def options_of(path: list[str]) -> set[str]:
    """The options of the command that `path` begins with; a group must name one of its own."""
    group = __import__(f"{path[0]}.cli", fromlist=["app"]).app
    command = typer.main.get_command(group)
    for word in path[1:]:
        if not hasattr(command, "commands"):
            break  # what follows are arguments
        command = command.commands[word]
    return {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_of_the_readme_exists_with_its_options(line: str) -> None:
    """A renamed option must not survive in the README."""
    bare = re.sub(r'"[^"]*"', "TEXT", line)
    path = [word for word in bare.split() if re.fullmatch(r"[a-z][a-z-]*", word)]
    assert set(re.findall(r"--[a-z-]+", bare)) <= options_of(path)


def test_ci_calls_the_readmes_own_test_command() -> None:
    """Else CI could pass where the README's command fails."""
    assert "make test" in README
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip().endswith("make test")


def test_every_make_target_of_the_readme_exists() -> None:
    """`make X` in a code block names a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"^make ([a-z-]+)", README, re.MULTILINE)) <= targets
