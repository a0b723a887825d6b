"""The settings that the supervisor hands to its workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flight.settings import FlightSettings
from flight.supervisor import image as image_module
from flight.supervisor.image import Image
from flight.supervisor.premises import claim
from models import cadet_path


def test_both_minds_have_the_threads_of_the_first_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count changes rounding: a child that starts when fewer cores are free must not count anew."""
    free = iter([2, 1, 1, 1])
    monkeypatch.setattr(image_module, "thread_count", lambda _wanted, _size: next(free))
    settings = FlightSettings.model_validate({"data": str(tmp_path), "model": {"shm_dir": str(tmp_path)}})
    with claim(tmp_path):
        image = Image(settings)
        image.prepare(cadet_path())
        try:
            engine = json.loads(image.child_json("engine"))
            verifier = json.loads(image.child_json("verifier"))["engine"]
            again = json.loads(image.child_json("engine"))
        finally:
            image.release()
    assert [one["threads"] for one in (engine, verifier, again)] == [2, 2, 2]
