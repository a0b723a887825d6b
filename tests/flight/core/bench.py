"""Core without sockets: commands in, reports out, an engine of a few lines whose text follows from the prompt."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flight.core.core import Core
from flight.core.moment import Moment
from flight.inference.protocol import Cancel, Done, ModelFacts, Prefill, Ready, Run, Started, Text
from flight.integrity.protocol import Found
from flight.settings import FlightSettings
from flight.store.journal import Journal
from flight.verifier.protocol import Check, Checked
from spacelink import Report, pack_command, request_id, unpack_report
from spacelink.downlink import DownlinkSender
from tests.flight.store.death import abandon

EPOCH = 1_800_000_000.0

FOUND = Found(part="image", page=3, outcome="bit", bits=1, places=(), tensors=("t",), chunk=0, sentence="Page 3.")
FACTS = ModelFacts(
    name="pocket",
    path="/none",
    sha256="ab" * 32,
    architecture="none",
    quantization="F32",
    n_ctx=1024,
    threads=1,
    n_batch=512,
    n_ubatch=512,
    build="test",
    image_mapped=True,
    image_bytes=1,
    devices=(),
)


class Ear(DownlinkSender):
    """Hears packets as they are pushed, without frames."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Report] = []

    def push(self, packet: bytes, vc: int) -> None:
        self.heard.append(unpack_report(packet))


def text_for(run: Run) -> bytes:
    """What the pocket engine answers: a pure function of what it is asked, 100 to 355 bytes."""
    digest = hashlib.sha256(repr([(one.role, one.content) for one in run.messages]).encode()).hexdigest()
    return (digest * 6).encode()[: 100 + int(digest[:2], 16)]


class PocketEngine:
    """Stands in for the engine at its socket: the real one is in the tests with processes."""

    def __init__(self, core: Core, verifier: PocketVerifier) -> None:
        self._core = core
        self._verifier = verifier
        self.run: Run | None = None
        self.text = b""
        self.told = 0

    def take(self, now: Moment) -> None:
        """Take what core asks."""
        requests, self._core.runner.requests[:] = list(self._core.runner.requests), []
        for request in requests:
            if isinstance(request, Run):
                assert self.run is None, "two runs at once"
                self.run, self.text, self.told = request, text_for(request), 0
                self.tell(Prefill(id=request.id, done=0, total=9), now)
                self.tell(Started(id=request.id, prompt_tokens=9, prompt_sha256="cd" * 32, prefill_ms=3), now)
            elif isinstance(request, Cancel) and self.run is not None and self.run.id == request.id:
                self.finish(now, "cancelled")

    def tell(self, indication: Any, now: Moment) -> None:
        self._core.runner.indication(indication, now)

    def write(self, count: int, now: Moment) -> None:
        """The next bytes of the answer."""
        assert self.run is not None
        delta = self.text[self.told : self.told + count]
        self.told += len(delta)
        if delta:
            self.tell(Text(id=self.run.id, tokens=self.told, answer=delta, thinking=b""), now)

    def finish(self, now: Moment, stop: Any = "eos") -> None:
        """The end of the answer; all of it unless it is cancelled."""
        assert self.run is not None
        run = self.run
        if stop != "cancelled":
            self.write(len(self.text), now)
        told = self.text[: self.told]
        self.run = None
        self.tell(
            Done(
                id=run.id,
                stop=stop,
                tokens=self.told,
                token_ids=tuple(told),
                prompt_tokens=9,
                prefill_ms=3,
                decode_ms=5,
                answer_sha256=hashlib.sha256(told).hexdigest(),
                thinking_sha256=hashlib.sha256(b"").hexdigest(),
                pace=0.0,
            ),
            now,
        )
        self._verifier.take(now)


class PocketVerifier:
    """Stands in for the verifier at its socket: agrees, unless `word` says otherwise; silent while `holds`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.asked: list[Check] = []
        self.holds = False
        self.word: dict[str, Any] = {}

    def take(self, now: Moment) -> None:
        """Take what core asks."""
        requests, self._core.runner.gate.requests[:] = list(self._core.runner.gate.requests), []
        for request in requests:
            if isinstance(request, Check):
                self.asked.append(request)
                if not self.holds:
                    self.tell(now)

    def tell(self, now: Moment, **word: Any) -> None:
        """The word on what was asked last."""
        check = self.asked[-1]
        how = "pages" if check.assurance == "pages" else "rerun" if check.suspect else "replay"
        said = {"id": check.id, "attempt": check.attempt, "agrees": True, "how": how, "pages": 9, "passes": 1}
        checked = Checked.model_validate(
            {**said, "is": "checked", "pass_s": 0.01, "seconds": 0.02, **self.word, **word}
        )
        self._core.runner.verifier_indication(checked, now)


class Bench:
    """One data directory, and the core that lives in it now."""

    def __init__(
        self,
        data: Path,
        store: Mapping[str, Any] | None = None,
        integrity: Mapping[str, Any] | None = None,
        **core: Any,
    ) -> None:
        self.data = data
        (data / "scenes").mkdir(exist_ok=True)
        sections = {"core": core, "store": store or {}, "integrity": integrity or {}}
        self.settings = FlightSettings.model_validate({"data": str(data), **sections})
        self.time = 100.0
        self._seq = 0
        self.ear = Ear()
        self.journals: list[Journal] = []
        self.begin()

    @property
    def now(self) -> Moment:
        return Moment(self.time, EPOCH + self.time)

    @property
    def heard(self) -> list[Report]:
        return self.ear.heard

    def begin(self) -> None:
        """A new core over what is on disk; what the old one had in memory is gone."""
        journal, self.set_aside = Journal.recover(self.data / "journal.sqlite", self.settings.store)
        self.journals.append(journal)
        self.core = Core(self.settings, journal, self.data, "test", self.ear)
        self.verifier = PocketVerifier(self.core)
        self.engine = PocketEngine(self.core, self.verifier)
        self.core.start(self.now, self.set_aside)

    def crash(self) -> None:
        """Core is killed: nothing is closed, committed or said."""
        abandon(self.journals[-1])
        self.begin()

    def ready(self) -> None:
        """The engine has loaded."""
        self.engine = PocketEngine(self.core, self.verifier)
        self.engine.tell(Ready(model=FACTS), self.now)
        self.verifier_ready()
        self.pump()

    def verifier_ready(self) -> None:
        """The verifier has loaded."""
        self.core.runner.verifier_indication(Ready(model=FACTS), self.now)

    def verifier_lost(self) -> None:
        self.core.runner.verifier_lost(self.now)
        self.pump()

    def engine_lost(self) -> None:
        self.core.runner.engine_lost(self.now)
        self.engine = PocketEngine(self.core, self.verifier)
        self.pump()

    def pump(self) -> None:
        """A turn of the loop."""
        for _ in range(3):
            self.core.pump(self.now)
            self.engine.take(self.now)
            self.verifier.take(self.now)

    def command(self, name: str, args: Mapping[str, Any] | None = None) -> bytes:
        """Execute a command; returns its request id."""
        packet = pack_command(name, args or {}, seq=self._seq)
        self._seq = (self._seq + 1) % 16384
        self.core.commander.packet(packet, self.now)
        self.pump()
        return request_id(packet)

    def ask(self, query_id: int, question: str = "What?", **args: Any) -> bytes:
        return self.command("inference.ask", {"query_id": query_id, "question": question.encode(), **args})

    def said(self, name: str, since: int = 0, **args: Any) -> list[Report]:
        """Reports of that name with these arguments."""
        return [
            one
            for one in self.heard[since:]
            if one.name == name and all(one.args.get(key) == args[key] for key in args)
        ]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [one.args["args"] for one in self.heard if one.name == "event" and one.args["event"] == name]

    def verdict(self, request: bytes) -> str:
        """accepted, or the reason why not."""
        for one in self.heard:
            if one.name == "verification.accepted" and one.args["request_id"] == request:
                return "accepted"
            if one.name == "verification.rejected" and one.args["request_id"] == request:
                return str(one.args["reason"])
        raise AssertionError("no verification report")

    def state(self, query_id: int) -> str:
        """Where flight says that the query stands."""
        since = len(self.heard)
        self.command("inference.report", {"query_id": query_id})
        return str(self.said("inference.query_state", since, query_id=query_id)[-1].args["state"])

    def joined(self, query_id: int) -> bytes:
        """The answer as ground would join it, after asking for all segments of the latest attempt."""
        since = len(self.heard)
        self.command("inference.resend", {"query_id": query_id})
        segments = self.said("inference.segment", since, query_id=query_id, kind="answer")
        return b"".join(one.args["data"] for one in sorted(segments, key=lambda one: one.args["number"]))

    def close(self) -> None:
        for journal in self.journals:
            abandon(journal)


def messages(bench: Bench) -> list[tuple[str, str]]:
    """What the engine was given."""
    assert bench.engine.run is not None
    return [(one.role, one.content) for one in bench.engine.run.messages]


def scene(bench: Bench, name: str, text: str) -> None:
    """Put a scene on board."""
    (bench.data / "scenes" / f"{name}.txt").write_text(text)


def finish(bench: Bench) -> None:
    """Let the engine end its run, and core take the next."""
    bench.engine.finish(bench.now)
    bench.pump()


def receipt(bench: Bench, query_id: int = 1) -> dict[str, Any]:
    """The last receipt of a query."""
    return dict(bench.said("inference.receipt", query_id=query_id)[-1].args)


def wishes(bench: Bench) -> list[str]:
    """What core has asked of the supervisor."""
    return [message["do"] for message in bench.core.bridge.outgoing if "do" in message]
