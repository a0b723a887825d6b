"""The examples do what they say, as scripts and as packages that bring entry points."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def python(*arguments: str, path: Path | None = None) -> str:
    """What a Python process prints, with `path` in front of its modules."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [str(path or ""), str(EXAMPLES.parent)]))}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder in which both examples lie as an installed package has them: modules and their entry points."""
    for name in ("own_fault", "own_protection"):
        (tmp_path / f"{name}.py").write_text((EXAMPLES / f"{name}.py").read_text())
    info = tmp_path / "own-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[orbitlm.fault_models]\ncolumn = own_fault:Column\n\n"
        "[orbitlm.protections]\ntensor-sums = own_protection:TensorSums\n"
    )
    return tmp_path


def test_the_own_fault_flips_the_same_bit_in_four_rows() -> None:
    printed = python(str(EXAMPLES / "own_fault.py"))
    flips = [line for line in printed.splitlines() if " -> " in line]
    assert [int(line.split("byte ")[1].split(":")[0]) for line in flips] == [1_000_000 + 8192 * row for row in range(4)]
    assert "taken back: True" in printed


def test_the_own_protection_finds_the_tensor_and_mends_it() -> None:
    printed = python(str(EXAMPLES / "own_protection.py")).splitlines()
    tensor = printed[0].split(" at ")[1].split(",")[0]
    assert f"Tensor {tensor} was damaged and was read again from flash." in printed
    assert printed[-1] == "whole again: True"


def test_an_installed_fault_model_is_known_by_its_name(installed: Path) -> None:
    code = (
        "from hil.faults import Fault, Subject, draw, model_of; from models import cadet_path\n"
        "fault = draw('weights', Subject(cadet_path()), seed=1, model='column:rows=3')\n"
        "assert Fault.from_json(fault.to_json()) == fault, fault\n"
        "print(fault.model, len(fault.model.strike((5, 1), 10**6, None)))"
    )
    assert python("-c", code, path=installed) == "column (rows 3, row_bytes 8192) 3\n"
    refused = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=EXAMPLES.parent)
    assert "There is no fault model 'column'" in refused.stderr


def test_an_installed_protection_is_known_by_its_name(installed: Path) -> None:
    code = "from hil.faults import protection_of; print(protection_of('tensor-sums').__name__)"
    assert python("-c", code, path=installed) == "TensorSums\n"


def test_an_installed_target_is_known_by_its_name(tmp_path: Path) -> None:
    """A target of one's own: the dust on a lens, say."""
    (tmp_path / "lens.py").write_text(
        "from dataclasses import dataclass\n"
        "from hil.faults import Injection, Place\n"
        "class Spot(Place):\n    x: int\n"
        "@dataclass(frozen=True)\nclass Lens:\n    name: str = 'lens'\n    place: type = Spot\n"
        "    def draw(self, subject, where, at, rng): return Spot(x=rng.randrange(100))\n"
        "    def inject(self, fault, victim): return Injection(fault, note=f'dust at {fault.place.x}')\n"
        "LENS = Lens()\n"
    )
    info = tmp_path / "lens-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lens\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[orbitlm.fault_targets]\nlens = lens:LENS\n")
    code = (
        "from hil.faults import Fault, Subject, Victim, draw, inject; from models import cadet_path\n"
        "fault = draw('lens', Subject(cadet_path()), seed=1)\n"
        "assert Fault.from_json(fault.to_json()) == fault\n"
        "print(inject(fault, Victim(Subject(cadet_path()))).note)"
    )
    assert python("-c", code, path=tmp_path).startswith("dust at ")
