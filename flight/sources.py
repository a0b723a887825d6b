"""Where settings come from: the configuration file and the environment, through pydantic-settings.

Apart from `settings`, so that a child, which gets its settings as JSON, need not load this.
"""

from __future__ import annotations

from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from flight.errors import SettingsRefused
from flight.settings import FlightSettings


class _Sources(BaseSettings, FlightSettings):
    """The fields of `FlightSettings`, filled from `ORBITLM_FLIGHT_SECTION__NAME` above the values handed in."""

    model_config = SettingsConfigDict(
        env_prefix="ORBITLM_FLIGHT_", env_nested_delimiter="__", extra="forbid", frozen=True, allow_inf_nan=False
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return env_settings, init_settings


def from_file_and_environment(file: dict[str, Any]) -> dict[str, Any]:
    """The values of the file, overlaid with the environment, over the defaults.

    Raises pydantic's ValidationError, and `SettingsRefused` for what is no JSON where a whole section is expected.
    """
    try:
        return _Sources(**file).model_dump()
    except SettingsError as error:
        raise SettingsRefused(f"A setting in the environment cannot be read: {error}.") from error
