"""A plan: what a campaign injects, where, how often, and in which arms. TOML in, checked values out.

name = "weights-by-field"
description = "One sentence."
short = "what is hit"               # for a row of a table
goal = "≥ 37,000; 0 silent"         # what the project wants it to show, for the same row
lane = "fast"                       # fast, flight, guard
model = "cadet"                     # or a GGUF file, relative to the plan
seed = 20261120

[questions]                         # of cadet's corpus, or file = "own.jsonl"
families = ["vessels", "floods"]
count = 24

[arms.protected]                    # flight's defaults
[arms.bare]
assurance = "none"
settings.integrity = { pages = false, replay = false }

[[strata]]
name = "scale"
count = 4000                        # share of the campaign when another number is asked for
target = "weights"                  # a target of hil.faults, or "none"
model = ["single"]                  # fault models; one is drawn for each trial
at = ["start"]                      # when: one is drawn
where = { roles = ["scale"] }       # the target's own words: see its `draw`
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from flight.settings import FlightSettings
from hil.campaign.lane import Arm
from hil.campaign.question import Question, cadet_questions, questions_from
from hil.errors import CampaignError

CADET = "cadet"


def _words(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words), Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Questions(_Part):
    """Which questions are asked; `file` (JSONL) takes the place of cadet's families."""

    families: tuple[str, ...] = Field(
        default=("vessels", "floods", "crops", "fires", "housekeeping", "closed-book"), min_length=1
    )
    count: int = Field(default=24, ge=1, le=10_000)
    seed: int = 1
    file: str = ""
    max_prompt_chars: int = Field(default=0, ge=0, description="Longer ones are left out; 0: none is.")


class ArmPlan(_Part):
    """Parameters of one arm, as in `Arm`."""

    settings: dict[str, Any] = Field(default_factory=dict)
    assurance: Literal["none", "pages", "full"] = "full"
    protection: str = ""


class Stratum(_Part):
    """One kind of fault. `model` and `at` are drawn from for each trial; `where` is for the target to understand."""

    name: str = Field(min_length=1)
    count: int = Field(ge=1)
    target: str = "weights"
    model: Words = ("single",)
    at: Words = ("start",)
    where: dict[str, Any] = Field(default_factory=dict)


def _bare() -> dict[str, ArmPlan]:
    return {
        "protected": ArmPlan(),
        "bare": ArmPlan(settings={"integrity": {"pages": False, "replay": False}}, assurance="none"),
    }


class Plan(_Part):
    """A campaign as it is asked for. `strata` are interleaved, so that any beginning of a campaign holds them all."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")
    description: str = ""
    short: str = ""
    goal: str = ""
    lane: Literal["fast", "flight", "guard"] = "fast"
    model: str = CADET
    seed: int = Field(default=1, ge=0)
    margin: int = Field(default=16, ge=1, description="Tokens beyond the golden answer after which a run is cut.")
    deadline_s: float = Field(default=30.0, gt=0, description="A run without an end after this long is hung, s.")
    questions: Questions = Field(default_factory=Questions)
    arms: dict[str, ArmPlan] = Field(default_factory=_bare, min_length=1)
    strata: tuple[Stratum, ...] = Field(min_length=1)
    options: dict[str, Any] = Field(default_factory=dict, description="For the lane.")
    folder: str = Field(default="", description="Where the plan lies: relative files are found from here.")

    @model_validator(mode="after")
    def _names_differ(self) -> Plan:
        names = [stratum.name for stratum in self.strata]
        if len(set(names)) != len(names):
            raise ValueError(f"two strata have the same name: {', '.join(names)}")
        return self

    @property
    def bare(self) -> str | None:
        """The arm without protection, if there is one."""
        return next((name for name, arm in self.arms.items() if arm.assurance == "none"), None)

    @property
    def total(self) -> int:
        """Injections of the whole plan; each is run in every arm."""
        return sum(stratum.count for stratum in self.strata)

    @property
    def targets(self) -> tuple[str, ...]:
        """What the strata hit, each named once."""
        return tuple(dict.fromkeys(stratum.target for stratum in self.strata))

    @property
    def model_path(self) -> Path:
        """The GGUF file, absolute."""
        if self.model == CADET:
            from models import cadet_path

            return cadet_path()
        return (Path(self.folder) / Path(self.model).expanduser()).absolute()

    def need_model(self) -> None:
        """Raise `CampaignError` where its file is not there."""
        if not self.model_path.is_file():
            raise CampaignError(
                f"Plan {self.name} needs the model {self.model}, and there is no {self.model_path}: name one with "
                "--model (orbitlm models random makes one of random weights)."
            )

    def arm_values(self) -> tuple[Arm, ...]:
        """The arms, in the plan's order."""
        return tuple(Arm(name, arm.settings, arm.assurance, arm.protection) for name, arm in self.arms.items())

    def ask(self) -> list[Question]:
        """The questions, in order."""
        asked = self.questions
        if asked.file:
            return questions_from(Path(self.folder) / asked.file)
        if not asked.max_prompt_chars:
            return cadet_questions(asked.families, asked.count, asked.seed)
        many = cadet_questions(asked.families, asked.count * 8, asked.seed)
        short = [one for one in many if len(one.scene) + len(one.question) <= asked.max_prompt_chars]
        if len(short) < asked.count:
            raise CampaignError(
                f"Plan {self.name} asks for {asked.count} questions of at most {asked.max_prompt_chars} characters, "
                f"and only {len(short)} of {len(many)} are that short."
            )
        return short[: asked.count]

    @cached_property
    def _order(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The stratum of each index of one round: element k of c lies at (k + 1/2) / c of the way."""
        counts = [stratum.count for stratum in self.strata]
        places = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
        numbers = np.repeat(np.arange(len(counts)), counts)
        return np.asarray(numbers[np.lexsort((numbers, places))], dtype=np.int64)

    def shares(self, injections: int) -> dict[str, int]:
        """How many of the first `injections` trials fall to each stratum, by its name."""
        rounds, rest = divmod(injections, self.total)
        more = np.bincount(self._order[:rest], minlength=len(self.strata))
        return {one.name: rounds * one.count + int(extra) for one, extra in zip(self.strata, more, strict=True)}

    def stratum_of(self, index: int) -> Stratum:
        """The stratum of trial `index`; beyond `total` the round begins anew."""
        return self.strata[int(self._order[index % self.total])]


ALL: Final = "all"
"""The name of the list of plans that one command runs, each into a folder of its own."""


def load_plans(name: str) -> list[Plan]:
    """The plans of a name: several for `all`, whose file lists others by their names."""
    if name != ALL:
        return [load_plan(name)]
    text = (files("hil.campaign") / "plans" / f"{ALL}.toml").read_text("utf-8")
    return [load_plan(one) for one in tomllib.loads(text)["plans"]]


def shipped() -> dict[str, str]:
    """Name and text of the plans that come with the bench."""
    folder = files("hil.campaign") / "plans"
    found = {
        one.name.removesuffix(".toml"): one.read_text("utf-8") for one in folder.iterdir() if one.name[-5:] == ".toml"
    }
    del found[ALL]
    return dict(sorted(found.items()))


def load_plan(name: str) -> Plan:
    """A shipped plan by its name, or the one in a TOML file. Raises `CampaignError` in one sentence."""
    texts = shipped()
    path = Path(name)
    if name in texts:
        return parse_plan(texts[name], name, "")
    try:
        return parse_plan(path.read_text("utf-8"), name, str(path.absolute().parent))
    except OSError as error:
        raise CampaignError(
            f"There is no plan {name!r} ({error.strerror}); shipped are {', '.join(texts)}, or name a TOML file."
        ) from error


def parse_plan(text: str, name: str, folder: str) -> Plan:
    """The plan in a TOML text; `name` is for messages."""
    place = ""
    try:
        values: Mapping[str, Any] = tomllib.loads(text)
        plan = Plan.model_validate({**values, "folder": folder})
        for arm, parameters in plan.arms.items():
            place = f"arms.{arm}.settings."
            FlightSettings.model_validate(parameters.settings)
    except tomllib.TOMLDecodeError as error:
        raise CampaignError(f"The plan {name} is not valid TOML: {error}.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = place + _place(first["loc"], values) or "the plan"
        said = first["msg"].removeprefix("Value error, ")
        raise CampaignError(f"The plan {name}: {where}: {said}.") from error
    return plan


def _place(loc: tuple[int | str, ...], values: Mapping[str, Any]) -> str:
    """Where in the TOML text; a stratum is called by its name, or counted from 1 where it has none."""
    words = [str(part) for part in loc]
    if len(loc) > 1 and loc[0] == "strata" and isinstance(loc[1], int):
        found = values["strata"][loc[1]]
        name = found.get("name") if isinstance(found, dict) else ""
        words[:2] = [f"stratum {name!r}" if isinstance(name, str) and name else f"stratum {loc[1] + 1}"]
        return " ".join([words[0], ".".join(words[1:])]).rstrip()
    return ".".join(words)
