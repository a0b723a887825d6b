"""The doctor: each check finds what is there, and names one fix for what is not."""

import socket
from collections import namedtuple
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hil import doctor
from hil.cli import app

Memory = namedtuple("Memory", "available")
Disk = namedtuple("Disk", "free")


def test_every_finding_that_is_bad_has_a_fix(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With everything missing at once, each check is bad and says what to do."""
    monkeypatch.setattr(doctor.sys, "version_info", (3, 9, 1, "final", 0))
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(doctor.sys.modules, "llama_cpp", None)
    monkeypatch.setattr("spacelink.crc.extension_loaded", lambda: False)
    monkeypatch.setattr("models.cadet_path", lambda: tmp_path / "none.gguf")
    monkeypatch.setattr(doctor.psutil, "virtual_memory", lambda: Memory(1000))
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: Disk(1000))
    monkeypatch.setattr(doctor, "is_free", lambda *_: False)
    findings = doctor.examine()
    assert [finding.name for finding in findings if finding.good] == []
    assert all(finding.fix for finding in findings)
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert done.output.count("FIX ") == len(findings)


def test_a_taken_port_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that something holds is found, and only that one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as held, socket.socket() as other:
        held.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, free = held.getsockname()[1], other.getsockname()[1]
        other.close()
        monkeypatch.setattr(doctor, "LINK_PORTS", (port,))
        monkeypatch.setattr(doctor, "API_PORT", free)
        finding = doctor.ports()
        assert (finding.good, finding.found) == (False, f"taken: UDP {port}")
    assert doctor.ports().good


def test_the_ports_that_are_looked_at_are_those_that_are_used_by_default() -> None:
    """docs/contract.md §4 and §5."""
    assert (list(doctor.LINK_PORTS), doctor.API_PORT) == ([10015, 10016, 10025, 10026], 8642)


def test_this_machine_can_run_the_tests() -> None:
    """Python, llama.cpp and the CRC extension are as they must be here, or other tests say less than they seem to."""
    for check in (doctor.python, doctor.compiler, doctor.llama, doctor.crc):
        finding = check()
        assert finding.good, finding
