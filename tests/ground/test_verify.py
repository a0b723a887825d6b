"""`orbitlm ground verify` against a running station whose archive somebody has changed."""

from __future__ import annotations

import json
import signal
import sqlite3
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner, Result

from ground.cli import UNDECIDED, app
from spacelink.receipts import write_key
from tests.ground.conftest import StationProcess
from tests.ground.udp_double import UdpSpacecraft

pytestmark = pytest.mark.slow


def verify(url: str, query_id: str, *more: str) -> Result:
    return CliRunner().invoke(app, ["verify", query_id, "--url", url, *more], env={"COLUMNS": "160"})


def test_a_changed_archive_fails_and_the_untouched_one_passes(tmp_path: Path) -> None:
    """The key comes as a file that flight writes after ground's start."""
    secret = Ed25519PrivateKey.generate()
    public = tmp_path / "receipt.pub"
    with UdpSpacecraft(secret=secret) as craft:
        process = StationProcess(tmp_path, craft.port, link={"receipt_key": str(public)})
        try:
            with process.start() as client:
                query = client.ask("Which vessels are dark?", scene="latest").wait(30)
                told = verify(client.url, query.id)
                assert told.exit_code == UNDECIDED
                assert "cannot be read" in told.output
                public.write_text(write_key(secret.public_key().public_bytes_raw()))
                told = verify(client.url, query.id[:8])
                assert (told.exit_code, told.output.split(":")[0]) == (0, "AUTHENTIC")
                assert query.verify()["seal"] == "AUTHENTIC"
                assert query.refresh().data["sealed"]["seal"] == "AUTHENTIC"
                shown = CliRunner().invoke(app, ["show", query.id, "--url", client.url], env={"COLUMNS": "160"})
                assert "AUTHENTIC" in shown.output
            assert process.end(signal.SIGTERM) == 0
            with sqlite3.connect(process.data / "archive.sqlite") as archive:
                archive.execute("UPDATE queries SET answer = replace(answer, 'dark', 'lit')")
            archive.close()
            with process.start() as client:
                told = verify(client.url, query.id, "--json")
                assert told.exit_code == 1
                assert json.loads(told.output)["differs"] == ["answer"]
            assert process.end(signal.SIGTERM) == 0
            with sqlite3.connect(process.data / "archive.sqlite") as archive:
                archive.execute("UPDATE queries SET leg = 'DOWNLINKING'")
            archive.close()
            with process.start() as client:
                told = verify(client.url, query.id)
                assert (told.exit_code, told.output.split(":")[0]) == (1, "ALTERED")
                shown = CliRunner().invoke(app, ["show", query.id, "--url", client.url], env={"COLUMNS": "160"})
                assert "VERIFIED" not in shown.output
                assert "no verdict" in shown.output
        finally:
            if process.process is not None:
                process.end(signal.SIGKILL)
