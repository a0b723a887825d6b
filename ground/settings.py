"""Every default of the ground station, with its unit and its meaning.

Sources: a TOML file, the environment (`ORBITLM_GROUND_*`), the command line.

Later wins: defaults < file < environment (`ORBITLM_GROUND_LINK__BIND`) < command line.
"""

from __future__ import annotations

import ipaddress
import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ground.errors import SettingsRefused


class Section(BaseModel):
    """A section of the file: unknown names are refused, values never change after the start."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClockSettings(Section):
    """Mission time = epoch + speed x (monotonic - origin); the bench gives all processes the same three values."""

    epoch: str = Field(
        default="", description="Mission time at the origin, ISO 8601 in UTC; empty: the wall clock at start."
    )
    speed: float = Field(default=1.0, gt=0, description="Mission seconds per second; retry timers never scale.")
    origin: float | None = Field(default=None, description="CLOCK_MONOTONIC seconds of the epoch; empty: the start.")

    @field_validator("origin", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value


class LinkSettings(Section):
    """The radio's place: one UDP datagram is one CLTU up or one CADU down."""

    bind: str = Field(
        default="127.0.0.1:10016", description="Where telemetry arrives, host:port (UDP); port 0 picks one."
    )
    peer: str = Field(default="127.0.0.1:10026", description="Where telecommands go, host:port (UDP).")
    contact_plan: str = Field(default="", description="Contact plan (JSON, HDTN shape); empty: always in contact.")
    uplink_bps: float = Field(
        default=0.0, ge=0, description="Paces the uplink, bit/s of mission time; 0: as fast as it comes."
    )
    ground_node: int = Field(default=1, description="This station's number in the contact plan.")
    flight_node: int = Field(default=2, description="The spacecraft's number in the contact plan.")
    insecure: bool = Field(
        default=False, description="Allows addresses beyond loopback although nothing is authenticated yet."
    )
    receipt_key: str = Field(
        default="",
        description="Public key of the spacecraft's receipts, as `orbitlm flight key` prints it, or the path of its "
        "receipt.pub; empty: signatures are not checked.",
    )


class StationSettings(Section):
    """Retry timers, in seconds of real time (never scaled); the light time both ways is added to each."""

    repeat_s: float = Field(
        default=1.0, gt=0, description="A command without an answer is repeated after this long, s."
    )
    repeat_max_s: float = Field(default=15.0, gt=0, description="Longest pause between repeats of a command, s.")
    poll_s: float = Field(
        default=1.5, gt=0, description="A query that is silent for this long is asked for a report, s."
    )
    poll_max_s: float = Field(default=10.0, gt=0, description="Longest pause between reports when nothing changes, s.")
    settle_s: float = Field(default=0.4, gt=0, description="Missing segments are asked for after this much quiet, s.")
    gap_s: float = Field(
        default=1.5, gt=0, description="A gap in an answer still being written is asked for after this long, s."
    )
    backoff: float = Field(
        default=1.6, ge=1, description="Each repeat waits this many times longer than the one before."
    )
    window: int = Field(
        default=12,
        ge=1,
        description="Queries on board or on their way at once; more wait here. Below flight's queue_length.",
    )
    stale_s: float = Field(
        default=15.0, gt=0, description="A link that is silent for this long in contact is shown as stale, s."
    )


class ApiSettings(Section):
    """Where people and programs ask."""

    host: str = Field(default="127.0.0.1", description="Address of the HTTP API and the page.")
    port: int = Field(default=8642, ge=0, le=65535, description="Port of the HTTP API; 0 picks a free one.")
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="More host names that a browser may use for this station, beside loopback and `host`."
    )
    keepalive_s: float = Field(default=15.0, gt=0, description="A quiet event stream sends a comment this often, s.")


class ArchiveSettings(Section):
    """What is remembered, and how much of it."""

    url: str = Field(
        default="",
        description="SQLAlchemy address; empty: SQLite in the data directory. PostgreSQL: install psycopg yourself.",
    )
    flush_s: float = Field(
        default=0.1, ge=0, description="Segments, reports and telemetry are written together this often, s."
    )
    telemetry_rows: int = Field(default=500_000, ge=1000, description="Telemetry samples kept; the oldest go first.")
    event_rows: int = Field(default=100_000, ge=1000, description="Events kept; the oldest go first.")
    raw_packets: bool = Field(default=False, description="Keeps every packet, up and down, as it was on the link.")
    packet_rows: int = Field(default=100_000, ge=1000, description="Raw packets kept; the oldest go first.")


class GroundSettings(Section):
    """All settings of the ground station. `load` reads them from their sources and checks them."""

    data: str = Field(
        default="ground-data", description="Directory of everything that is kept: archive, ready.json, lock."
    )
    clock: ClockSettings = Field(default_factory=ClockSettings)
    link: LinkSettings = Field(default_factory=LinkSettings)
    station: StationSettings = Field(default_factory=StationSettings)
    api: ApiSettings = Field(default_factory=ApiSettings)
    archive: ArchiveSettings = Field(default_factory=ArchiveSettings)

    @property
    def data_dir(self) -> Path:
        """The data directory, absolute."""
        return Path(self.data).expanduser().absolute()

    @property
    def archive_url(self) -> str:
        """The SQLAlchemy address of the archive in force."""
        return self.archive.url or f"sqlite:///{self.data_dir / 'archive.sqlite'}"

    @property
    def api_url(self) -> str:
        """Where a client finds the API, as far as settings know (port 0 is only known once bound)."""
        host = "127.0.0.1" if self.api.host in ("0.0.0.0", "") else self.api.host  # noqa: S104 - a comparison
        return f"http://{f'[{host}]' if ':' in host else host}:{self.api.port}"


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
            f"There is no configuration file {path}; `orbitlm ground config init --out {path}` writes one."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsRefused(f"The configuration file {path} cannot be read: {error}.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsRefused(f"The configuration file {path} is not valid TOML: {error}.") from error


def load(config: Path | None = None, overrides: dict[str, Any] | None = None) -> GroundSettings:
    """Return the settings in force from file, environment and overrides (the command line), checked."""
    from ground.sources import from_file_and_environment

    try:
        below = from_file_and_environment(read_file(config) if config else {})
        settings = GroundSettings.model_validate(_merge(below, overrides or {}))
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
        raise SettingsRefused(f"Setting {name}: expected host:port such as 127.0.0.1:10016, found {text!r}.")
    return host, int(port)


def is_loopback(host: str) -> bool:
    """Whether a host name or address stays on this machine; names other than localhost count as beyond it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check(settings: GroundSettings) -> None:
    """Refuse settings that contradict each other, or addresses beyond loopback that nobody asked for in words."""
    addresses = {
        "link.bind": split_address(settings.link.bind, "link.bind")[0],
        "link.peer": split_address(settings.link.peer, "link.peer")[0],
        "api.host": settings.api.host,
    }
    if split_address(settings.link.peer, "link.peer")[1] == 0:
        raise SettingsRefused("Setting link.peer: port 0 cannot be sent to; name the port of flight or of the link.")
    for name, host in addresses.items():
        if not settings.link.insecure and not is_loopback(host):
            raise SettingsRefused(
                f"Setting {name} is {host}, beyond this machine, and neither link nor API is authenticated yet: "
                "use a loopback address, or --insecure-link if the network is yours alone."
            )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return '""'
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(_toml(each) for each in value)}]"
    # A JSON string is a TOML basic string but for DEL; TOML knows no pairs of surrogates, so nothing else is escaped.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def dump(settings: GroundSettings) -> str:
    """Return a configuration file in TOML that gives exactly these settings, each with its meaning above it."""
    top, sections = [], []
    for name, field in GroundSettings.model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, Section):
            lines = [f"# {' '.join((type(value).__doc__ or '').split())}", f"[{name}]"]
            for inner, told in type(value).model_fields.items():
                lines += [f"# {told.description}", f"{inner} = {_toml(getattr(value, inner))}"]
            sections.append("\n".join(lines))
        else:
            top += [f"# {field.description}", f"{name} = {_toml(value)}"]
    return "\n\n".join(["# The ground station of OrbitLM.", "\n".join(top), *sections]) + "\n"
