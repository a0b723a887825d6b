"""The supervisor's loop: start, listen, ping, judge, restart; feed the outer watchdog; end everything in order."""

from __future__ import annotations

import contextlib
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flight.errors import ChildUnfit, ModelUnfit, NoRoom, StartRefused
from flight.settings import FlightSettings
from flight.supervisor import premises, state
from flight.supervisor.child import Child, describe_end
from flight.supervisor.code_cure import CodeCure
from flight.supervisor.crew import Crew
from flight.supervisor.image import Image
from flight.supervisor.log import LOG, log_to
from flight.supervisor.outer_watchdog import Device, OuterWatchdog, Systemd
from flight.supervisor.publisher import Publisher
from flight.supervisor.record import Record
from flight.supervisor.slots import Slots
from flight.supervisor.watch import Watch

COMMANDED = "commanded"
SAFE_MODE = "safe mode"
OTHER_SLOT = "other slot"
CODE = "code renewed"
OWN_CODE = "code of the supervisor damaged"
OURSELVES = "supervisor"
"""Our name among the processes whose code is compared."""
RENEWED = {"restart_engine": ("engine",), "renew": ("engine", "verifier")}
"""What core may ask to be started anew, and whom it means."""
CAUSES = {"commanded": "command", "hung": "hang", "exited": "exit", "killed": "exit", "model_refused": "exit"}
"""Why a child was lost (reason codes of the dictionary), and the reset counter that it goes to."""
LEFT = (0, 4)
"""How a worker ends without a core: 0, its socket was closed; 4, there was nobody to connect to."""


class Supervisor:
    """The parent of core and workers. `run` returns when told to stop; raises `StartRefused` when it cannot start."""

    def __init__(self, settings: FlightSettings, announce: Callable[[str], None] = print) -> None:
        self._settings = premises.set_clock(settings)
        self._announce = announce
        self._data = settings.data_dir
        self._stopping = ""
        self._record = Record(self._data)
        self._watchdog = OuterWatchdog([Systemd()])
        self._slots = Slots(self._settings)
        self._cure = CodeCure()
        self._wake_r, self._wake_w = socket.socketpair()
        self._crew: Crew
        self._watch: Watch
        self._core: Child

    # ---- start and end ----------------------------------------------

    def run(self) -> None:
        """Fly until SIGTERM or SIGINT."""
        self._take_signals()
        lock = premises.claim(self._data)
        try:
            with contextlib.ExitStack() as stack:
                self._log = stack.enter_context(premises.open_log(self._data))
                log_to(LOG, self._log)
                link = stack.enter_context(premises.bind_link(self._settings))
                premises.check_peer(self._settings, link)
                self._link_address = link.getsockname()[:2]
                self._publisher = Publisher(self._settings, self._link_address)
                self._image = Image(self._settings)
                stack.callback(self._image.release)
                self._record.begin()
                self._open_watchdog()
                self._crew = Crew(self._settings, self._image, link.fileno(), stack)
                self._core = self._crew.core
                stack.push(self._end)
                self._image.sweep()
                with contextlib.suppress(_Stopped):
                    self._prepare_image()
                    self._core.start_at = now = time.monotonic()
                    ping_s = self._settings.supervisor.ping_s
                    self._watch = Watch(self._crew, self._log, self._wake_r, ping_s, self._record.event)
                    if not self._record.safe:
                        self._start_workers(now)
                    while not self._stopping:
                        self._turn()
                LOG.info("stopping: %s", self._stopping)
        finally:
            lock.close()

    def _take_signals(self) -> None:
        """From here on a signal only wakes the loop; it never interrupts between two instructions."""
        for end in (self._wake_r, self._wake_w):
            end.setblocking(False)
        signal.set_wakeup_fd(self._wake_w.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def _on_stop(self, number: int, _frame: object) -> None:
        self._stopping = signal.Signals(number).name

    def _open_watchdog(self) -> None:
        """The board's own watchdog, where the settings name it; flight goes on without one that is not there."""
        own = self._settings.supervisor
        if not own.watchdog_device:
            return
        try:
            self._watchdog.add(Device(Path(own.watchdog_device), own.watchdog_s))
        except OSError as error:
            LOG.error("the watchdog %s cannot be opened: %s", own.watchdog_device, error)
            said = {"device": own.watchdog_device, "detail": error.strerror or str(error)}
            self._record.event("supervisor.watchdog_missing", said)

    def _prepare_image(self) -> None:
        """Copy the model into its RAM image; where that is impossible, end with a sentence or fly on in safe mode."""
        if self._record.safe:
            return
        try:
            self._take_slot(time.monotonic())
        except StartRefused as error:
            if not self._settings.supervisor.stay_up:
                raise
            self._enter_safe_mode("model_refused", str(error))

    def _take_slot(self, now: float) -> None:
        """Make the image of the first slot that may be tried and can be used. Raises `StartRefused` for the last."""
        refused: StartRefused | None = None
        for slot in self._slots.candidates(self._record.state, now):
            try:
                self._image.prepare(self._slots.path(slot), self._still_wanted)
            except NoRoom:
                raise
            except StartRefused as error:
                refused = refused or error
                self._tell_failed(slot, "model_refused", str(error))
                continue
            self._image.copy_to = self._slots.copy if slot == state.FIRST else None
            if slot != self._record.state.slot:
                self._record.change(slot=slot, rungs=self._record.state.climbed("slot"))
                self._record.event("integrity.slot_changed", {"slot": slot})
            return
        raise refused or ModelUnfit("Both model slots failed within the window: uplink the model again.")

    def _tell_failed(self, slot: str, reason: str, detail: str) -> None:
        LOG.error("slot %s: %s: %s", slot, reason, detail)
        self._record.event("integrity.slot_failed", {"slot": slot, "reason": reason, "detail": detail})

    def _still_wanted(self, _done: int, _total: int) -> None:
        """Called while a large model is copied: a signal must not wait for its end, nor the outer watchdog."""
        if self._stopping:
            raise _Stopped
        self._watchdog.tick(time.monotonic(), True)

    def _start_workers(self, now: float) -> None:
        for child in self._crew.workers:
            if child.pid is None:
                child.start_at = now

    def _end(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """End all children, in order first and by force after the grace, whatever brought us here."""
        self._watchdog.stopping()
        if self._stopping:
            self._record.event("supervisor.shutdown", {"cause": self._stopping})
            self._hand_events_over()
        children = (*self._crew.workers, self._core)
        for child in children:
            child.terminate()
        until = time.monotonic() + self._settings.supervisor.grace_s
        for child in children:
            if not child.wait(until):
                child.kill("did not end in time")
                child.wait(time.monotonic() + 60.0)  # SIGKILL cannot be refused; only a stuck device delays it
        self._publisher.withdraw()
        if self._stopping or isinstance(error, StartRefused):  # refused with a sentence is no crash either
            self._record.change(clean=True)

    # ---- one turn ---------------------------------------------------

    def _turn(self) -> None:
        now = self._watch.turn(self._watchdog.due(), self._heard, self._lost)
        if self._watch.started:
            if self._core in self._watch.started:
                self._record.outbox.again()
            self._watch.started.clear()
            self._publisher.again()
        self._watchdog.tick(now, self._all_working(now))
        self._hand_events_over()
        self._publish()

    def _hand_events_over(self) -> None:
        """Give core the events that wait, once it works."""
        if self._core.proven:
            for message in self._record.outbox.take():
                self._core.send(message)

    def _heard(self, child: Child, message: dict[str, Any], now: float) -> None:
        if child is not self._core:
            return
        if isinstance(message.get("do"), str):
            self._obey(message, now)
        if isinstance(message.get("ack"), int):
            self._record.outbox.acknowledge(message["ack"])

    # ---- losses -----------------------------------------------------

    def _lost(self, child: Child, code: int, now: float) -> None:
        """A child has ended: count it, say so, and decide what comes next."""
        why = child.killed_for or ("model_refused" if child.unfit else "killed" if code < 0 else "exited")
        LOG.warning("%s ended (%s), %s", child.name, describe_end(code), child.unfit or why)
        self._publisher.again()
        if child is not self._core and self._record.safe:
            return
        child.lost += 1
        grounded = not self._publisher.announced and not self._settings.supervisor.stay_up
        if child.unfit and grounded:
            raise ChildUnfit(child.unfit)
        self._record.save(self._record.state.counted(f"{child.name}_{CAUSES.get(why, 'exit')}"))
        self._record.event("supervisor.child_restarted", {"child": child.name, "why": why, "exit": code})
        innocent = why == COMMANDED or self._orphaned(child, code)
        child.start_at = now + (0.0 if innocent else child.restarts.record(now))
        if not innocent and (child.unfit or child.restarts.exhausted(now)):
            self._give_up(child, code, grounded, now)

    def _orphaned(self, child: Child, code: int) -> bool:
        """Whether a worker left because core went away while it ran, back by now or not: no fault of its own."""
        core = self._core
        return child is not core and code in LEFT and (not core.alive or core.started > child.started)

    def _give_up(self, child: Child, code: int, grounded: bool, now: float) -> None:
        """Restarts alone do not help: the other slot, safe mode, or for the scrubber telling that it does not work."""
        detail = child.unfit or f"{child.restarts.count} losses, last {describe_end(code)}"
        if child is self._core:
            if grounded:
                raise StartRefused(
                    f"Core does not start ({describe_end(code)}); {self._data / 'flight.log'} tells more."
                )
            self._enter_safe_mode("core_crash_loop", detail)
        elif child.name == "scrubber":
            if not child.faulty:
                self._record.event("integrity.scrubber_faulty", {"detail": detail})
            child.faulty = True  # until the window is empty again
        else:
            self._next_slot("model_refused" if child.unfit else f"{child.name}_crash_loop", detail, now)

    def _next_slot(self, reason: str, detail: str, now: float) -> None:
        """Fly on with the other slot, or, when that failed of late or cannot be used, in safe mode."""
        if self._record.safe:
            return
        self._tell_failed(self._record.state.slot, reason, detail)
        self._record.save(self._slots.failed(self._record.state, self._record.state.slot, now))
        if not self._slots.candidates(self._record.state, now):
            self._enter_safe_mode(reason, detail)
            return
        self._end_workers(OTHER_SLOT)
        try:
            self._take_slot(now)
        except StartRefused as error:
            self._enter_safe_mode(reason, str(error))
            return
        for child in self._crew.workers:
            child.restarts.clear()
        self._start_workers(now)
        self._publisher.again()

    def _end_workers(self, reason: str) -> None:
        """Kill all that map the image, and wait for it: their memory is needed."""
        for child in self._crew.workers:
            child.kill(reason)
        for child in self._crew.workers:
            self._watch.end(child, reason, 10.0)

    def _enter_safe_mode(self, reason: str, detail: str) -> None:
        """Stop the workers; core goes on: commands and telemetry work, queries are refused. Kept over restarts."""
        if not self._record.safe:
            LOG.error("safe mode: %s (%s)", reason, detail)
            if reason == "model_refused":
                self._record.event("inference.model_refused", {"reason": reason, "detail": detail})
            self._record.change(mode=state.SAFE, safe_reason=reason, rungs=self._record.state.climbed("safe"))
            self._record.event("supervisor.safe_mode_entered", {"reason": reason})
        for child in self._crew.workers:
            child.start_at = None
            child.kill(SAFE_MODE)

    def _leave_safe_mode(self, now: float) -> str:
        """Start the workers again; returns the reason code why not, empty when done."""
        if not self._record.safe:
            return ""
        self._record.change(slots_failed={})
        try:
            self._take_slot(now)
        except StartRefused as error:
            LOG.error("safe mode stays: %s", error)
            return "model_refused"
        self._record.change(mode=state.NORMAL, safe_reason="")
        self._record.event("supervisor.safe_mode_left", {})
        for child in self._crew:
            child.restarts.clear()
        self._start_workers(now)
        return ""

    def _obey(self, message: dict[str, Any], now: float) -> None:
        """A command that core received for us, or a wish of its own; the answer goes back with its number."""
        do, trouble = message["do"], ""
        if do == "enter_safe_mode":
            self._enter_safe_mode("commanded", "by command")
        elif do == "leave_safe_mode":
            trouble = self._leave_safe_mode(now)
        elif do in RENEWED:
            if self._record.safe:
                trouble = "not_in_this_mode"
            else:
                for child in self._crew.workers:
                    if child.name in RENEWED[do]:
                        child.kill(COMMANDED)
        elif do == "restart_child" and message.get("child") == OURSELVES:
            self._renew_ourselves(now)
        elif do == "restart_child":
            for child in self._crew:
                if child.name == message.get("child"):
                    child.kill(COMMANDED)
        elif do == "renew_code":
            self._renew_code(str(message.get("mapping", "")), now)
        elif do == "other_slot":
            self._next_slot(str(message.get("reason", "commanded")), str(message.get("detail", "")), now)
        else:
            trouble = "unknown_command"
        self._publisher.again()
        self._core.send({"done": message.get("n"), "trouble": trouble})

    def _renew_code(self, mapping: str, now: float) -> None:
        """Code is damaged in the page cache: stop who maps it, drop it, look again; else safe mode until a reboot."""
        if self._record.safe:
            return
        self._end_workers(CODE)
        trouble = self._cure.cure(Path(mapping))
        if trouble:
            self._need_reboot(trouble)
            return
        self._record.event("integrity.code_renewed", {"mapping": mapping})
        self._start_workers(now)

    def _renew_ourselves(self, now: float) -> None:
        """Our own code is damaged in this process alone: end in order, where somebody outside starts flight anew.

        Damage that is there again within the window does not go away with the process: no circle of starts.
        """
        if self._stopping:
            return
        before, window_s = self._record.state.code_renewed, self._settings.supervisor.window_s
        if before is not None and 0 <= now - before <= window_s:
            self._need_reboot("the supervisor's code is damaged again after a fresh start")
        elif not self._watchdog.revives:
            self._need_reboot("the supervisor's code is damaged in memory, and nobody outside starts flight anew")
        else:
            self._record.change(code_renewed=now)
            self._stopping = OWN_CODE

    def _need_reboot(self, detail: str) -> None:
        """Damaged code that nothing here makes right: ground is told, and core alone goes on."""
        self._record.event("integrity.reboot_needed", {"detail": detail})
        self._enter_safe_mode("code_damaged", detail)

    # ---- what others may know ---------------------------------------

    def _all_working(self, now: float) -> bool:
        """Whether every critical child does its work; in safe mode the workers are off on purpose, so not critical."""
        critical = (self._core,) if self._record.safe else tuple(self._crew)
        return all(child.working(now) for child in critical)

    def _publish(self) -> None:
        """Tell core and `ready.json` what has changed; and, once, the world that flight is up."""
        if not self._publisher.publish(self._crew, self._image, self._record.state):
            return
        self._watchdog.ready()
        host, port = self._link_address
        with contextlib.suppress(OSError, ValueError):  # nobody may be listening any more
            mode, slot = self._record.state.mode, self._record.state.slot
            where = "" if slot == state.FIRST else f", model slot {slot}"
            self._announce(f"flight is up: link {host}:{port}, mode {mode}{where}, data {self._data}")


class _Stopped(Exception):  # noqa: N818 - not an error
    """Told to stop before everything was started."""


def fly(settings: FlightSettings) -> None:
    """Run the flight process until it is told to stop. Raises `StartRefused`."""
    Supervisor(settings, announce=lambda text: print(text, file=sys.stdout, flush=True)).run()
