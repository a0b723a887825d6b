"""Settings of the link emulator: four addresses, the clock, the seed and the folder for its counters."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hil.errors import LinkError

Address = tuple[str, int]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ClockSettings(_Section):
    """Mission time, the same triple in all three processes (contract §2)."""

    epoch: str = Field(default="", description="mission time at the origin, ISO 8601; empty: the scenario's epoch")
    speed: float = Field(default=1.0, gt=0, description="mission seconds per second")
    origin: float | None = Field(
        default=None, description="CLOCK_MONOTONIC at the epoch, seconds; none: the start of the link"
    )


class LinkSettings(_Section):
    """Where the emulator stands between ground and flight; the peers' defaults are those of ground and flight."""

    ground_bind: str = Field(default="127.0.0.1:10026", description="ground sends its CLTUs here")
    ground_peer: str = Field(default="127.0.0.1:10016", description="ground listens here")
    flight_bind: str = Field(default="127.0.0.1:10015", description="flight sends its CADUs here")
    flight_peer: str = Field(default="127.0.0.1:10025", description="flight listens here")


class EmulatorSettings(_Section):
    """The whole file."""

    data: Path = Field(default=Path("out/link"), description="folder for link.json")
    seed: int = Field(default=1, ge=0, description="seed of every fault that the channel draws")
    clock: ClockSettings = Field(default_factory=ClockSettings)
    link: LinkSettings = Field(default_factory=LinkSettings)

    def epoch_s(self, default: float) -> float:
        """Mission time at the clock's origin; `default` is the scenario's."""
        if not self.clock.epoch:
            return default
        try:
            moment = datetime.fromisoformat(self.clock.epoch)
        except ValueError as error:
            raise LinkError(f"expected an ISO 8601 time as clock.epoch, found '{self.clock.epoch}'") from error
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def load_settings(path: Path | None) -> EmulatorSettings:
    """Read the settings; LinkError says in one sentence what is wrong."""
    if path is None:
        return EmulatorSettings()
    try:
        return EmulatorSettings.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise LinkError(f"cannot read the configuration {path}: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise LinkError(f"the configuration {path} is not TOML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise LinkError(f"the configuration {path} is wrong at {place}: {first['msg']}") from error


def address(text: str) -> Address:
    """Split 'host:port'; LinkError names what was found instead."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isdigit() or int(port) > 65535:
        raise LinkError(f"expected an address like 127.0.0.1:10025, found '{text}'")
    return host.strip("[]"), int(port)
