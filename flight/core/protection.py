"""What core knows of the model's protection: the scrubber's words as events and telemetry, and what follows from them.

Sans-I/O. What is to go to the scrubber collects in `requests`; what no rung repairs becomes a wish to the supervisor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from flight.core.commander import Accept, Handler, Refused
from flight.core.custody import Custody
from flight.core.moment import Moment
from flight.core.reporter import Reporter
from flight.core.status import Status
from flight.integrity.protocol import CodeDamage, Copied, Found, Guarded, Passed, Rate, Request, Scrub, Watch
from flight.settings import IntegritySettings
from spacelink import Command

EVENTS_PER_S: Final = 16
"""Events of damage told in a second: a burst over many pages must not fill journal and downlink. All are counted."""

LEAST_RATE: Final = 1e6
"""Below this a working scrubber looks like a hung one (`IntegritySettings.scrub_bytes_per_s`)."""


class Protection:
    """Between scrubber, link and supervisor. `wish` asks the supervisor, `suspect` tells of damage as it is found.

    `loading`: whether there is no verifier that has loaded.
    """

    def __init__(
        self,
        settings: IntegritySettings,
        reporter: Reporter,
        custody: Custody,
        wish: Callable[..., None],
        suspect: Callable[[], None],
        loading: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._reporter = reporter
        self._custody = custody
        self._wish = wish
        self._suspect = suspect
        self._loading = loading
        self._restarted: int | None = None
        self.requests: list[Request] = []
        self.guarded: Guarded | None = None
        """What guards the image, as the scrubber said; None while there is no scrubber."""
        self.other_slot_ready = False
        self._slot = "first"
        self._passes = self._pages = 0
        self._rate: float | None = None
        self._asked: dict[int, bytes] = {}
        self._number = 0
        self._second = 0.0
        self._told = 0
        self._watched: dict[str, int] = {}
        self._rungs: Mapping[str, int] = {}
        self.code_damaged = 0
        """Pages of code that differed from their file, since core started."""

    # ---- the scrubber ------------------------------------------------------------------------

    def heard(self, message: Any, now: Moment) -> None:
        """Take a message of the scrubber."""
        match message:
            case Guarded():
                self._guarded(message, now)
            case Passed():
                self._passed(message, now)
            case Found():
                self.found(message, now)
            case Copied():
                self.other_slot_ready = not message.trouble
                if message.trouble:
                    self._reporter.event("integrity.copy_refused", {"detail": message.trouble}, now)
            case CodeDamage():
                self._code_damaged(message, now)
            case _:
                pass

    def _code_damaged(self, damage: CodeDamage, now: Moment) -> None:
        """Code differs from its file: what ran it starts anew, and where the page cache was hit, that goes first."""
        self._suspect()
        self.code_damaged += 1
        said = {"pid": damage.pid, "child": damage.child, "mapping": damage.mapping, "offset": damage.offset}
        self._reporter.event("integrity.code_damaged", {**said, "hit": damage.kind}, now)
        if damage.kind == "cache":
            self._wish("renew_code", mapping=damage.mapping)
        else:
            self._wish("restart_child", child=damage.child)

    def lost(self, now: Moment) -> None:
        """The scrubber is gone; what it was asked for is not carried out."""
        self.guarded = None
        self.requests.clear()
        for request_id in self._asked.values():
            self._reporter.failed(request_id, "scrubber_lost", "", now)
        self._asked.clear()

    def found(self, found: Found, now: Moment) -> None:
        """Damage, found by the scrubber or by the verifier: counted, told, and where it stays, handed on."""
        if found.acts:
            self._suspect()
        self._custody.found(found.outcome)
        told = self._may_tell(now)
        if told:
            said = {"part": found.part, "page": found.page, "outcome": found.outcome, "bits": found.bits or 0}
            self._reporter.event("integrity.damage_found", {**said, "place": _place(found)}, now)
        if found.outcome == "unrepaired" and found.acts:  # without a parity page there is still flash
            self._unrepaired(found, told, now)
        elif found.part == "image" and self._loading():
            self._load_again()

    def _load_again(self) -> None:
        """Engine and verifier may both have copied what is repaired now: one of them must load from proven pages."""
        pid = self._watched.get("verifier", 0)
        if pid != self._restarted:
            self._restarted = pid
            self._wish("restart_child", child="verifier")

    def _unrepaired(self, found: Found, told: bool, now: Moment) -> None:
        first, self._custody.unrepaired = not self._custody.unrepaired, found.sentence
        if first or told:
            said = {"part": found.part, "page": found.page, "chunk": max(found.chunk, 0), "detail": found.sentence}
            self._reporter.event("integrity.damage_unrepaired", said, now)
        if first and self._settings.repair:
            chunk = f" (chunk {found.chunk})" if found.chunk >= 0 else ""
            self._wish("other_slot", reason="unrepaired", detail=found.sentence.rstrip(".") + chunk)

    def _guarded(self, message: Guarded, now: Moment) -> None:
        self.guarded = message
        self._custody.manifest_sha256 = bytes.fromhex(message.manifest_sha256)
        self._custody.self_made = message.self_made
        self._custody.unrepaired = ""
        if self._rate is not None and self._rate != message.bytes_per_s:
            self.requests.append(Rate(bytes_per_s=self._rate))
        self._watch()
        said = {"pages": message.pages, "self_made": message.self_made, "seconds": message.seconds}
        self._reporter.event("integrity.guarded", said, now)

    def _passed(self, message: Passed, now: Moment) -> None:
        self._passes += 1
        self._pages += message.pages
        self._custody.passed(1, now.monotonic)
        if message.asked in self._asked:
            said = {"pages": message.pages, "seconds": message.seconds, "findings": message.findings}
            self._reporter.event("integrity.pass_done", {**said, "deep": message.deep}, now)
            self._reporter.completed(self._asked.pop(message.asked), now)

    def _may_tell(self, now: Moment) -> bool:
        if now.monotonic - self._second >= 1.0:
            self._second, self._told = now.monotonic, 0
        self._told += 1
        return self._told <= EVENTS_PER_S

    # ---- the supervisor ----------------------------------------------------------------------

    def status(self, status: Status) -> None:
        """The supervisor's word on scrubber and slots, and on the processes whose code is to be compared."""
        self._custody.blind = "scrubber" in status.faulty
        self._rungs = status.rungs
        pids = {name: pid for name, pid in status.pids.items() if pid and name != "scrubber"}
        if pids != self._watched:
            self._watched = pids
            if self.guarded is not None:
                self._watch()
        if status.slot != self._slot:
            self._slot = status.slot
            self._custody.unrepaired = ""
            self.other_slot_ready = False  # it is the slot in use now, or one that has to be proven again

    def _watch(self) -> None:
        if self._settings.code_check:
            self.requests.append(Watch(pids=self._watched))

    # ---- commands ----------------------------------------------------------------------------

    def handlers(self) -> dict[str, Handler]:
        """The commands of this component."""
        return {
            "integrity.scrub": self._scrub,
            "integrity.report": self._report,
            "integrity.set_scrub_rate": self._set_rate,
        }

    def _scrub(self, command: Command, _now: Moment, accept: Accept) -> bool:
        self._need_scrubber()
        accept()
        self._number += 1
        self._asked[self._number] = command.request_id
        self.requests.append(Scrub(n=self._number, deep=command.args["deep"]))
        return False

    def _set_rate(self, command: Command, _now: Moment, accept: Accept) -> bool:
        rate = float(command.args["bytes_per_s"])
        if not (rate == 0 or LEAST_RATE <= rate < math.inf):  # a NaN is neither
            raise Refused("bad_argument", f"expected 0, or at least {LEAST_RATE:g} B/s, found {rate:g}")
        self._need_scrubber()
        accept()
        self._rate = rate
        self.requests.append(Rate(bytes_per_s=rate))
        return True

    def _report(self, _command: Command, now: Moment, accept: Accept) -> bool:
        accept()
        guarded, outcomes = self.guarded, self._custody.outcomes
        self._reporter.report(
            "integrity.status",
            {
                "manifest_sha256": bytes.fromhex(guarded.manifest_sha256) if guarded else bytes(32),
                "self_made": bool(guarded and guarded.self_made),
                "pages": guarded.pages if guarded else 0,
                "code_bytes": guarded.code_bytes if guarded else 0,
                "parity_bytes": guarded.parity_bytes if guarded else 0,
                **{f"by_{name}": outcomes[name] for name in ("bit", "parity", "flash", "copy")},
                "gone": outcomes["gone"],
                "unrepaired": outcomes["unrepaired"],
                "detail": self._custody.unrepaired,
            },
            now,
        )
        return True

    def _need_scrubber(self) -> None:
        if self.guarded is None:
            raise Refused("scrubber_lost", "it does not run, or has not prepared the guard yet")

    # ---- telemetry ---------------------------------------------------------------------------

    def values(self, now: Moment) -> dict[str, Any]:
        """The channels of this component."""
        guarded, custody = self.guarded, self._custody
        rate = self._rate if self._rate is not None else self._settings.scrub_bytes_per_s
        fixed = custody.outcomes
        return {
            "SCR_N": self._passes,
            "SCR_P": self._pages,
            "SCR_A": None if custody.last_pass is None else now.monotonic - custody.last_pass,
            "SCR_B": rate if guarded else 0.0,
            "FND_N": fixed.total(),
            "FIX_1": fixed["bit"],
            "FIX_2": fixed["parity"],
            "FIX_3": fixed["flash"],
            "FIX_4": self._rungs.get("slot", 0),
            "FIX_5": self._rungs.get("safe", 0),
            "FIX_C": fixed["copy"],
            "GON_N": fixed["gone"],
            "UNR_N": fixed["unrepaired"],
            "GRD_B": guarded.code_bytes + guarded.parity_bytes if guarded else 0,
            "MAN_S": bool(guarded and guarded.self_made),
            "SLF_T": guarded is not None and not custody.blind,
            "SLOT": self._slot,
            "SLT_2": self.other_slot_ready,
        }


def _place(found: Found) -> str:
    """Where it is, for a person; parity and codes hold no tensors."""
    if found.places:
        return found.places[0].text
    elsewhere = {"parity": f"stripe {found.page}", "codes": f"block {found.page} of the page codes"}
    return ", ".join(found.tensors) or elsewhere.get(found.part, "no tensor")
