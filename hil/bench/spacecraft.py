"""The flight process alone, asked over its own link: real telecommands in CLTUs, real telemetry frames, no ground."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from hil.errors import BenchError
from hil.files import read_json, toml_text, write_whole
from hil.process import ManagedProcess, orbitlm, wait_for
from spacelink import DownlinkReceiver, UplinkSender, pack_command, unpack_report

_START_S: Final = 120.0
_LISTEN_S: Final = 0.1


class Spacecraft:
    """`orbitlm flight run` with one model and some scenes. Use it as a context manager."""

    def __init__(self, folder: Path, model: Path, *, threads: int, scenes: Sequence[str]) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._uplink = UplinkSender()
        self._downlink = DownlinkReceiver()
        self._asked = 0
        self._seq = 0
        self._data = folder / "data"
        for number, scene in enumerate(scenes):
            write_whole(self._data / "scenes" / f"bench{number}.txt", scene)
        settings = {
            "data": str(self._data),
            "link": {"bind": "127.0.0.1:0", "peer": f"127.0.0.1:{self._sock.getsockname()[1]}"},
            "model": {"path": str(model.absolute()), "threads": threads},
            "engine": {"first_token_s": 600.0, "token_s": 120.0},
        }
        write_whole(folder / "flight.toml", toml_text(settings))
        self._process = ManagedProcess(
            "flight", orbitlm("flight", "run", "--config", str(folder / "flight.toml")), folder / "flight.log"
        )

    def __enter__(self) -> Self:
        wait_for(self._is_up, "flight to be ready", _START_S, [self._process])
        link = self._ready()["link"]
        self._address = (str(link["host"]), int(link["port"]))
        self.image = Path(str(self._ready()["image"]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()
        self._sock.close()

    def ask(self, scene: int, question: str, *, max_tokens: int, deadline_s: float) -> Mapping[str, Any]:
        """Ask about one of the scenes; returns the receipt of the answer. Raises `BenchError`."""
        self._asked += 1
        args = {
            "query_id": self._asked,
            "scene": f"bench{scene}",
            "question": question.encode(),
            "max_tokens": max_tokens,
        }
        self._send("inference.ask", {**args, "temperature": 0.0, "time_budget_s": int(deadline_s)})
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            for report in self._listen():
                if report.name == "inference.receipt" and report.args["query_id"] == self._asked:
                    found: Mapping[str, Any] = report.args
                    return found
                if report.name == "verification.rejected":
                    raise BenchError(f"flight refuses the question {question!r}: {report.args['reason']}.")
        raise BenchError(f"flight gave no answer to {question!r} within {deadline_s:.0f} s.")

    def release(self, receipt: Mapping[str, Any]) -> None:
        """Let flight forget the answer, so that nothing of it is sent again."""
        self._send("inference.release", {"query_id": receipt["query_id"], "sha256": receipt["answer_sha256"]})
        self._listen()

    def _send(self, name: str, args: Mapping[str, Any]) -> None:
        self._sock.sendto(self._uplink.send(pack_command(name, args, seq=self._seq)), self._address)
        self._seq += 1

    def _listen(self) -> list[Any]:
        """What came within a while, decoded at once: decoding each frame alone would take time from the engine."""
        datagrams: list[bytes] = []
        end = time.monotonic() + _LISTEN_S
        while (left := end - time.monotonic()) > 0:
            self._sock.settimeout(left)
            try:
                datagrams.append(self._sock.recv(65535))
            except TimeoutError:
                break
        return [unpack_report(packet) for packet in self._downlink.receive(datagrams)] if datagrams else []

    def _ready(self) -> dict[str, Any]:
        return read_json(self._data / "ready.json") or {}

    def _is_up(self) -> bool:
        ready = self._ready()
        return bool(ready.get("engine_pid") and ready.get("link") and ready.get("model"))
