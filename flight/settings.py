"""Every default of the flight process, with unit and meaning: a TOML file, `ORBITLM_FLIGHT_*`, the command line.

Later wins: defaults < file < environment < command line. The supervisor resolves them once and hands the result to its
children as JSON (`--settings`), so that a restarted child flies with exactly what the first one had.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from flight.errors import SettingsRefused


class Section(BaseModel):
    """A section of the file: unknown names are refused, values never change after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClockSettings(Section):
    """Mission time = epoch + speed x (monotonic - origin); the bench gives all processes the same three values."""

    epoch: str = Field(
        default="", description="Mission time at the origin, ISO 8601 in UTC; empty: the wall clock at start."
    )
    speed: float = Field(
        default=1.0, gt=0, description="Mission seconds per second; deadlines and watchdogs never scale."
    )
    origin: float | None = Field(default=None, description="CLOCK_MONOTONIC seconds of the epoch; empty: the start.")

    @field_validator("origin", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class LinkSettings(Section):
    """The radio's place: one UDP datagram is one CLTU up or one CADU down."""

    bind: str = Field(
        default="127.0.0.1:10025", description="Where telecommands arrive, host:port (UDP); port 0 picks a free one."
    )
    peer: str = Field(default="127.0.0.1:10015", description="Where telemetry goes, host:port (UDP).")
    downlink_bps: float = Field(
        default=0.0, ge=0, description="Paces the downlink, bit/s of mission time; 0: as fast as it comes."
    )
    insecure: bool = Field(
        default=False, description="Allows addresses beyond loopback, where commands are not authenticated yet."
    )


class ModelSettings(Section):
    """The model file and how it is loaded."""

    path: str = Field(default="", description="GGUF file with a chat template; empty: the embedded model, cadet.")
    other_path: str = Field(
        default="",
        description="The other slot: GGUF file to fly with when the first fails; empty: a copy in the data directory.",
    )
    n_ctx: int = Field(
        default=0, ge=0, le=131072, description="Context length in tokens; 0: the model's own, at most 4096."
    )
    threads: int = Field(
        default=0,
        ge=0,
        le=255,
        description="Threads of the arithmetic (pinned: they change rounding); 0: by the machine.",
    )
    n_batch: int = Field(
        default=512, ge=1, le=4096, description="Tokens handed to one decode call; also the prefill heartbeat."
    )
    n_ubatch: int = Field(default=512, ge=1, le=4096, description="Tokens computed at once, at most n_batch.")
    gpu_layers: int = Field(
        default=0, ge=0, le=10000, description="Layers for a GPU, outside the scrubbed image: never VERIFIED; 0: none."
    )
    own_kernel: bool = Field(
        default=True,
        description="Own kernel for batches of Q8_0 where the CPU has AVX-512 VNNI: same bits, less time.",
    )
    shm_dir: str = Field(
        default="", description="Where the RAM image lies; empty: /dev/shm, or a temporary folder without one."
    )


class EngineSettings(Section):
    """The engine child: budgets of an answer and the deadlines that the supervisor keeps."""

    loading_s: float = Field(default=120.0, gt=0, description="Longest time without progress while the model loads, s.")
    first_token_s: float = Field(default=60.0, gt=0, description="Longest time without progress during prefill, s.")
    token_s: float = Field(default=15.0, gt=0, description="Longest time from one token to the next, s.")
    max_tokens: int = Field(
        default=256, ge=1, le=65535, description="Tokens of an answer when the question does not say."
    )
    time_budget_s: float = Field(
        default=600.0, gt=0, description="Time for an answer when the question does not say, s."
    )
    pace_tokens_per_s: float = Field(
        default=0.0, ge=0, description="Slows decoding to this rate, for rehearsals; 0: as it comes."
    )
    checkpoint_s: float = Field(
        default=1.0,
        ge=0,
        description="Least time between two checkpoints of an answer, s, longer where they cost over 2 %; 0: none.",
    )


class SupervisorSettings(Section):
    """Watching and restarting the children."""

    ping_s: float = Field(default=1.0, gt=0, description="Time between pings, s.")
    answer_s: float = Field(
        default=10.0, gt=0, description="Longest time for an idle child or core to answer a ping, s."
    )
    start_s: float = Field(
        default=30.0, gt=0, description="Longest time from the start of a process to its first message, s."
    )
    grace_s: float = Field(default=3.0, gt=0, description="Time between SIGTERM and SIGKILL at the end, s.")
    backoff_s: float = Field(
        default=0.1, ge=0, description="Pause before a restart, s; doubles with each restart in the window."
    )
    backoff_max_s: float = Field(default=5.0, ge=0, description="Longest pause before a restart, s.")
    stay_up: bool = Field(
        default=False,
        description="When the engine says that it can never work here: true flies on in safe mode, false ends.",
    )
    restarts: int = Field(
        default=5, ge=1, description="Restarts of one child within the window that lead to safe mode."
    )
    window_s: float = Field(default=900.0, gt=0, description="The window in which restarts are counted, s.")
    watchdog_device: str = Field(
        default="", description="The board's watchdog to feed, such as /dev/watchdog; empty: systemd's alone."
    )
    watchdog_s: float = Field(default=30.0, ge=1, description="Time without food after which the board is reset, s.")


class IntegritySettings(Section):
    """Protection of the model in memory and of the answers; each part can be switched off by its parameter."""

    pages: bool = Field(default=True, description="Compares pages of the RAM image with their codes.")
    repair: bool = Field(default=True, description="Repairs damaged pages; false: only tells of them.")
    scrub_bytes_per_s: float = Field(
        default=1e8, ge=0, description="Rate of the scrubber, B/s, at least 1e6; 0: it does not scrub."
    )
    scrub_period_s: float = Field(
        default=1.0, ge=0, description="Least time from the start of one scrubber pass to the next, s."
    )
    deep_s: float = Field(
        default=600.0, gt=0, description="Time between scrubber passes that compare XXH3-64 of every page too, s."
    )
    self_test_s: float = Field(
        default=60.0, gt=0, description="Time between self-tests with a planted flip, of scrubber and verifier, s."
    )
    other_slot: bool = Field(
        default=True, description="Flies on with the other model slot when the first fails, before safe mode."
    )
    replay: bool = Field(default=True, description="The release gate makes every answer again before it is VERIFIED.")
    margin: float = Field(
        default=0.0, ge=0, description="Margin of the replay below which an exact re-run decides; 0: the manifest's."
    )
    uncalibrated_margin: float = Field(
        default=0.3, gt=0, description="The margin where the manifest has none (no calibration was made)."
    )
    rounds: int = Field(default=3, ge=1, le=100, description="Times that an answer is made before it is UNVERIFIED.")
    verifier_losses: int = Field(
        default=3, ge=1, description="Verifiers lost while they check one answer before it is UNVERIFIED."
    )
    verifier_wait_s: float = Field(
        default=120.0, gt=0, description="Longest time that an answer waits for a verifier to be there, s."
    )
    assurance: Literal["none", "pages", "full"] = Field(
        default="full", description="Checks of an answer whose question does not name them."
    )
    renew_answers: int = Field(
        default=1000, ge=0, description="Answers after which engine and verifier are renewed; 0: only after a fault."
    )
    code_check: bool = Field(
        default=True, description="Compares the code mappings of engine and verifier with their files on flash."
    )
    code_bytes_per_s: float = Field(
        default=2e7, gt=0, description="Rate at which code mappings are compared, B/s; a pass takes some seconds."
    )

    @field_validator("scrub_bytes_per_s")
    @classmethod
    def _off_or_fast_enough(cls, value: float) -> float:
        if 0 < value < 1e6:
            raise ValueError("expected 0, or at least 1e6 B/s: slower, a working scrubber looks like a hung one")
        return value


class CoreSettings(Section):
    """Telecommands, telemetry and the queue."""

    queue_length: int = Field(
        default=16, ge=1, le=1024, description="Queries that may wait; one more is refused (queue_full)."
    )
    hk_period_s: float = Field(default=5.0, gt=0, description="Time between housekeeping reports, s.")
    progress_s: float = Field(default=0.5, gt=0, description="Least time between progress reports of one query, s.")
    query_failures: int = Field(
        default=3, ge=1, description="Engine losses during one query after which it fails (engine_failed)."
    )
    backlog_bytes: int = Field(
        default=262_144, ge=4096, description="Downlink backlog above which housekeeping and progress are dropped, B."
    )


class StoreSettings(Section):
    """Bounds of the journal."""

    queries: int = Field(
        default=4096, ge=16, description="Queries kept until ground releases them; then questions are refused."
    )
    released: int = Field(
        default=64, ge=0, description="Released answers kept for follow-up questions; older ones are freed."
    )
    tombstones: int = Field(
        default=100_000, ge=1, description="Ids remembered after release, so that a late repeat runs nothing."
    )
    events: int = Field(default=10_000, ge=1, description="Events kept.")
    copy_rows: bool = Field(
        default=True, description="Keeps a second file of all queries, from which a damaged first one is made again."
    )
    check_rows: bool = Field(default=True, description="Proves each row by its hash when it is read.")


class HealthSettings(Section):
    """Where telemetry comes from, and the thermal gate."""

    sysfs: str = Field(default="/sys", description="Root of the sensor files (thermal zones, INA3221).")
    sample_s: float = Field(default=1.0, gt=0, description="Time between readings, s.")
    persistence: int = Field(default=3, ge=1, description="Readings in a row beyond a limit that make an event.")
    assumed_power_w: float = Field(
        default=0.0, ge=0, description="Power of the board where no sensor measures it, W; 0: energy is then unknown."
    )
    pause_cpu_degc: float = Field(default=95.0, description="No query starts while CPU_T is above this, degC.")
    resume_cpu_degc: float = Field(default=88.0, description="Queries start again when CPU_T is below this, degC.")


class FaultSettings(Section):
    """The bench's door for faults (docs/contract.md §7.4); a spacecraft that flies keeps it shut."""

    allowed: bool = Field(
        default=False, description="Lets a fault injector of the same user hold, trace and damage the processes."
    )


class FlightSettings(Section):
    """All settings of the flight process. `load` reads them from their sources; a child gets them as JSON."""

    data: str = Field(
        default="flight-data", description="Directory of everything that is kept: journal, scenes, state, log."
    )
    clock: ClockSettings = Field(default_factory=ClockSettings)
    link: LinkSettings = Field(default_factory=LinkSettings)
    model: ModelSettings = Field(default_factory=ModelSettings)
    engine: EngineSettings = Field(default_factory=EngineSettings)
    supervisor: SupervisorSettings = Field(default_factory=SupervisorSettings)
    integrity: IntegritySettings = Field(default_factory=IntegritySettings)
    core: CoreSettings = Field(default_factory=CoreSettings)
    store: StoreSettings = Field(default_factory=StoreSettings)
    health: HealthSettings = Field(default_factory=HealthSettings)
    faults: FaultSettings = Field(default_factory=FaultSettings)

    @property
    def data_dir(self) -> Path:
        """The data directory, absolute."""
        return Path(self.data).expanduser().absolute()

    @property
    def model_path(self) -> Path:
        """The model file, absolute; cadet when none is named."""
        if self.model.path:
            return Path(self.model.path).expanduser().absolute()
        from models import cadet_path

        return cadet_path()

    def child_json(self) -> str:
        """The settings in force as JSON, for the `--settings` argument of a child."""
        return self.model_dump_json()

    @classmethod
    def from_child_json(cls, text: str) -> FlightSettings:
        """The inverse of `child_json`: neither file nor environment is read again."""
        return cls.model_validate_json(text)


def _merge(low: dict[str, Any], high: dict[str, Any]) -> dict[str, Any]:
    """Return `low` overlaid with `high`, section by section."""
    merged = dict(low)
    for name, value in high.items():
        below = merged.get(name)
        merged[name] = _merge(below, value) if isinstance(value, dict) and isinstance(below, dict) else value
    return merged


def read_file(path: Path) -> dict[str, Any]:
    """Return the contents of a configuration file, or say in one sentence why it cannot be read."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsRefused(
            f"There is no configuration file {path}; `orbitlm flight config init --out {path}` writes one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"The configuration file {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused(f"The configuration file {path} is not valid TOML: {error}.") from error


def load(config: Path | None = None, overrides: dict[str, Any] | None = None) -> FlightSettings:
    """Return the settings in force from file, environment and overrides (the command line), checked."""
    from flight.sources import from_file_and_environment

    try:
        below = from_file_and_environment(read_file(config) if config else {})
        settings = FlightSettings.model_validate(_merge(below, overrides or {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the settings"
        found = "" if first["type"] in ("extra_forbidden", "missing") else f", found {first['input']!r}"
        raise SettingsRefused(f"Setting {where}: {first['msg'].lower()}{found}.") from error
    check(settings)
    return settings


def split_address(text: str, name: str) -> tuple[str, int]:
    """Return (host, port) of `host:port`; an IPv6 host stands in brackets."""
    host, colon, port = text.rpartition(":")
    host = host.strip("[]")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise SettingsRefused(f"Setting {name}: expected host:port such as 127.0.0.1:10025, found {text!r}.")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine; names other than localhost count as beyond it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check(settings: FlightSettings) -> None:
    """Refuse settings that contradict each other, or a link beyond loopback that nobody asked for in words."""
    for name, address in (("link.bind", settings.link.bind), ("link.peer", settings.link.peer)):
        host, port = split_address(address, name)
        if name == "link.peer" and port == 0:
            raise SettingsRefused(
                "Setting link.peer: port 0 cannot be sent to; name the port of ground or of the link."
            )
        if not settings.link.insecure and not is_loopback(host):
            raise SettingsRefused(
                f"Setting {name} is {address}, beyond this machine, and telecommands are not authenticated yet: "
                "use a loopback address, or --insecure-link if the network is yours alone."
            )
    if settings.model.n_ubatch > settings.model.n_batch:
        raise SettingsRefused(
            f"Setting model.n_ubatch: expected at most n_batch ({settings.model.n_batch}), "
            f"found {settings.model.n_ubatch}."
        )
    if settings.health.resume_cpu_degc > settings.health.pause_cpu_degc:
        raise SettingsRefused(
            f"Setting health.resume_cpu_degc: expected at most pause_cpu_degc ({settings.health.pause_cpu_degc}), "
            f"found {settings.health.resume_cpu_degc}."
        )
    if 0 < settings.engine.pace_tokens_per_s <= 1 / settings.engine.token_s:
        raise SettingsRefused(
            f"Setting engine.pace_tokens_per_s: expected more than one token in token_s ({settings.engine.token_s} s), "
            f"found {settings.engine.pace_tokens_per_s}."
        )
