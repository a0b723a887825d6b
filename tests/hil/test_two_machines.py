"""The commands of the README's section "Two machines", run as they stand there: two folders, no emulated link."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hil.files import read_json
from hil.ports import Ports
from hil.process import ManagedProcess, wait_for

README = Path(__file__).parents[2] / "README.md"
BOARD, LAPTOP = "192.168.1.20", "192.168.1.10"


def blocks(text: str) -> list[str]:
    """The shell blocks of the section."""
    section = re.search(r"^## Two machines\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section, "README.md has no section 'Two machines'"
    return re.findall(r"^```sh\n(.*?)^```", section.group(1), re.DOTALL | re.MULTILINE)


@pytest.mark.slow
def test_the_commands_of_the_readme_bring_an_answer_from_the_other_machine(tmp_path: Path) -> None:
    """Both addresses become loopback and the ports free ones; everything else is run as printed."""
    on_board, on_laptop, ask = blocks(README.read_text(encoding="utf-8"))
    ports = Ports.free()
    swaps = {BOARD: "127.0.0.1", LAPTOP: "127.0.0.1", "10025": str(ports.flight), "10016": str(ports.ground)}
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "ORBITLM_GROUND_API__PORT": str(ports.api),
    }
    assert shutil.which("orbitlm", path=environment["PATH"])

    def shell(block: str) -> list[str]:
        for old, new in swaps.items():
            block = block.replace(old, new)
        return ["bash", "-ec", block]

    started: list[ManagedProcess] = []
    try:
        for name, block in (("board", on_board), ("laptop", on_laptop)):
            folder = tmp_path / name
            folder.mkdir()
            command = ["env", "-C", str(folder), *shell(block)]
            started.append(ManagedProcess(name, command, tmp_path / f"{name}.log", environment))
        for ready in (tmp_path / "board" / "flight-data", tmp_path / "laptop" / "ground-data"):
            wait_for(lambda ready=ready: read_json(ready / "ready.json") is not None, str(ready), 60, started)  # type: ignore[misc]
        asked = subprocess.run(
            shell(ask),
            env=environment,
            cwd=tmp_path / "laptop",
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert asked.returncode == 0, asked.stdout + asked.stderr + started[0].tail() + started[1].tail()
        assert "restart" in asked.stdout.lower()
        for process in started:
            os.killpg(process.pid, signal.SIGINT)  # Ctrl-C in each terminal
            process.popen.wait(30)
    finally:
        for process in reversed(started):
            process.stop()
