"""Scenarios: what the link is like, what is on board, what is asked, and how long it may take.

One TOML file each, in `hil/scenarios/` or anywhere; the schema is the models below, told in `hil/scenarios/README.md`.
All times are mission seconds after the scenario's `epoch`.
"""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from flight.core.scenes import RESERVED, check, valid_name
from flight.errors import SceneRefused
from hil.errors import OrbitError, ScenarioError
from hil.link.faults import Burst, Impairments
from hil.orbit import LIGHT_KM_S, Orbit, Station

FOLDER = Path(__file__).resolve().parent / "scenarios"
"""Where the shipped scenarios lie."""

Odds = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Seconds = Annotated[float, Field(ge=0.0)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class BurstModel(_Model):
    """Gilbert–Elliott bursts: odds per bit of entering and leaving the bad state, and the bit error rate in it."""

    enter: Annotated[float, Field(gt=0.0, lt=1.0)]
    leave: Annotated[float, Field(gt=0.0, le=1.0)]
    ber: Odds


class ChannelModel(_Model):
    """One direction of the link."""

    rate_bps: Positive
    ber: Odds = 0.0
    loss: Odds = 0.0
    duplicate: Odds = 0.0
    reorder: Odds = 0.0
    reorder_hold_s: Positive = 0.05
    queue_frames: Annotated[int, Field(ge=1)] = 256
    burst: BurstModel | None = None

    @property
    def impairments(self) -> Impairments:
        """The odds as the link core takes them."""
        burst = Burst(self.burst.enter, self.burst.leave, self.burst.ber) if self.burst else None
        return Impairments(self.ber, burst, self.loss, self.duplicate, self.reorder)


class ContactModel(_Model):
    """One contact, in both directions."""

    start_s: Seconds
    end_s: Positive
    slant_range_km: Seconds

    @property
    def owlt_s(self) -> float:
        """One-way light time in seconds."""
        return self.slant_range_km / LIGHT_KM_S

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError(f"a contact must end after it starts, found {self.start_s} s to {self.end_s} s")
        return self


class StationModel(_Model):
    """A ground station: degrees north and east, metres, elevation mask in degrees."""

    name: str = "station"
    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    altitude_m: float = 0.0
    mask: Annotated[float, Field(ge=0, lt=90)] = 5.0

    @property
    def station(self) -> Station:
        """The station as `hil.orbit` takes it."""
        return Station(self.name, self.latitude, self.longitude, self.altitude_m, self.mask)


class OrbitModel(_Model):
    """Contacts and light time from an orbit, from the scenario's epoch on."""

    tle: tuple[str, str]
    station: StationModel
    duration_s: Positive

    @property
    def orbit(self) -> Orbit:
        """The orbit that the elements give."""
        return Orbit(*self.tle)


class EngineModel(_Model):
    """How fast the model decodes: 0 is as fast as it can; more simulates a bigger one (tokens per mission second)."""

    pace_tokens_per_s: Annotated[float, Field(ge=0.0)] = 0.0


class SceneModel(_Model):
    """A detector's output, dropped into flight's scene folder at `at_s`; flight's own rules for scenes apply."""

    name: Name
    text: Annotated[str, StringConstraints(min_length=1)]
    at_s: Seconds = 0.0
    raw_bytes: Annotated[int, Field(ge=0)] = 0
    """Size of the image that the detector read, which stays on board; 0 where no source is given."""

    @property
    def file_text(self) -> str:
        """The scene as it lies in flight's folder."""
        return self.text.strip("\n") + "\n"

    @field_validator("name")
    @classmethod
    def _flight_takes_the_name(cls, name: str) -> str:
        if not valid_name(name) or name in RESERVED:
            raise ValueError(f"flight takes no scene of the name '{name}'")
        return name

    @model_validator(mode="after")
    def _flight_takes_the_text(self) -> Self:
        try:
            check(self.name, self.file_text.encode())
        except SceneRefused as error:
            raise ValueError(str(error)) from error
        return self


class QuestionModel(_Model):
    """A question, the scene that it is about, and what a right answer must and must not say (case does not matter).

    Without `at_s` it is asked when the one before has ended.
    """

    ask: Annotated[str, StringConstraints(min_length=1)]
    scene: str = ""
    at_s: Seconds | None = None
    facts: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def wrong(self, answer: str) -> list[str]:
        """What is wrong with `answer`: one phrase for each missing or false fact; empty when it is right."""
        missing = [f"'{fact}' is missing" for fact in self.facts if not says(answer, fact)]
        return missing + [f"'{fact}' is said and is wrong" for fact in self.absent if says(answer, fact)]


def says(text: str, fact: str) -> bool:
    """Whether `text` holds `fact` as whole words, whatever the case and the line breaks: 'V1' is not in 'V12'."""
    text, wanted = (" ".join(each.split()).casefold() for each in (text, fact))
    start = text.find(wanted)
    while start >= 0:
        before = text[start - 1 : start]
        after = text[start + len(wanted) : start + len(wanted) + 2]
        # '4.5' goes on from '4', but a full stop at the end of a sentence does not.
        goes_on = after[:1].isalnum() or (after[:1] == "." and after[1:].isdigit())
        if not (before.isalnum() or (before == "." and wanted[0].isdigit()) or goes_on):
            return True
        start = text.find(wanted, start + 1)
    return False


class StoryModel(QuestionModel):
    """A question during whose answer one bit of the model is flipped on board: once with protection, once without."""

    pace_tokens_per_s: Positive
    """Decoding is slowed to this rate meanwhile (real seconds), so that the flip falls into the answer."""
    flip_after_tokens: Annotated[int, Field(ge=1)] = 3
    where: dict[str, tuple[str | int, ...]] = {}
    """Which bits are searched for one that does harm: words of the target weights (`hil.faults.weights`)."""


class Scenario(_Model):
    """A whole scenario."""

    name: Name
    title: str
    description: str
    epoch: datetime
    budget_s: Positive
    speed: Positive = 1.0
    uplink: ChannelModel
    downlink: ChannelModel
    contacts: tuple[ContactModel, ...] = ()
    orbit: OrbitModel | None = None
    engine: EngineModel = EngineModel()
    scenes: tuple[SceneModel, ...] = ()
    questions: tuple[QuestionModel, ...] = ()
    story: StoryModel | None = None
    source: Annotated[str, Field(exclude=True)] = ""
    """The file as it was read, for the record of a run."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.contacts) == (self.orbit is not None):
            raise ValueError("expected either [[contacts]] or [orbit], found both or none")
        for before, after in zip(self.contacts, self.contacts[1:], strict=False):
            if after.start_s < before.end_s:
                raise ValueError(
                    f"contacts must follow one another, found a start at {after.start_s} s before {before.end_s} s"
                )
        names = {scene.name for scene in self.scenes}
        for question in (*self.questions, *((self.story,) if self.story else ())):
            if question.scene not in names | {"", "latest", "housekeeping"}:
                raise ValueError(
                    f"the question '{question.ask[:40]}' names the scene '{question.scene}', which is not there"
                )
        if self.orbit is not None:
            try:
                _ = self.orbit.orbit
            except OrbitError as error:
                raise ValueError(str(error)) from error
        return self

    @property
    def waits(self) -> bool:
        """Whether the clock matters before the first question: the first contact comes later than the epoch."""
        return self.orbit is not None or self.contacts[0].start_s > 0

    @property
    def epoch_iso(self) -> str:
        """The epoch as ISO 8601 in UTC."""
        return datetime.fromtimestamp(self.epoch_s, UTC).isoformat().replace("+00:00", "Z")

    @property
    def epoch_s(self) -> float:
        """The epoch in mission time (seconds since 1970, UTC); a time without a zone is UTC."""
        zoned = self.epoch if self.epoch.tzinfo else self.epoch.replace(tzinfo=UTC)
        return zoned.timestamp()


def shipped() -> list[str]:
    """Names of the scenarios that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_scenario(which: str | Path) -> Scenario:
    """Read a scenario by its name or from its file; ScenarioError says what is wrong in one sentence."""
    path = Path(which)
    if path.suffix != ".toml":
        path = FOLDER / f"{which}.toml"
        if not path.is_file():
            raise ScenarioError(f"expected a scenario file (*.toml) or one of {', '.join(shipped())}, found '{which}'")
    try:
        source = path.read_text(encoding="utf-8")
        content = tomllib.loads(source)
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError(f"cannot read the scenario {path}: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError(f"the scenario {path} is not TOML: {error}") from error
    try:
        return Scenario.model_validate(content | {"source": source})
    except ValidationError as error:
        first = error.errors()[0]
        place = f" at {'.'.join(map(str, first['loc']))}" if first["loc"] else ""
        what = first["msg"].removeprefix("Value error, ")
        raise ScenarioError(f"the scenario {path} is wrong{place}: {what}") from error
