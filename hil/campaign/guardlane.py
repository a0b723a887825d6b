"""The guard lane: image and page codes alone, no answer is made. For models that take too long to ask so often.

A trial flips bits of the RAM image, makes one pass of the guard over all pages, and then proves the whole image by
hash. The "answer" of this lane is the image: golden when it is the model on flash again. So a flip that the pass missed
is `silent`, one that it found and could not repair `refused`, one that it found and repaired `corrected`.
"""

from __future__ import annotations

import contextlib
import mmap
from time import monotonic, perf_counter
from types import TracebackType
from typing import Final, Self

from xxhash import xxh3_128_digest

from flight.errors import FlightError
from flight.integrity.flash import Flash
from flight.integrity.guard import Guard, GuardSettings, prepare
from flight.integrity.image import prepare as prepare_image
from flight.integrity.image import release
from flight.supervisor.premises import claim
from hil.campaign.lane import Arm, Setup, Trial
from hil.campaign.outcome import Detection, Evidence
from hil.campaign.question import Golden, Question
from hil.campaign.shot import Shot
from hil.errors import CampaignError
from hil.faults import Subject, Victim

WHOLE: Final = "the image is the model on flash"
DAMAGED: Final = "the image is not the model on flash"
_CHUNK: Final = 8 << 20


class GuardLane:
    """Weights and parity of any model, without asking it."""

    name = "guard"

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        setup = self._setup
        try:
            self._stack.enter_context(claim(setup.folder))
            image = prepare_image(setup.model, data_dir=setup.folder, shm_dir=None)
            self._stack.callback(release, data_dir=setup.folder, shm_dir=None)
            self._settings = GuardSettings.of(setup.model, image.path, setup.folder)
            prepare(self._settings)
            self._guard = self._stack.enter_context(Guard.open(self._settings))
            self._flash = self._stack.enter_context(Flash(setup.model))
            with image.path.open("r+b") as file:
                self._memory = self._stack.enter_context(mmap.mmap(file.fileno(), 0))
        except FlightError as error:
            self._stack.close()
            raise CampaignError(f"The model {setup.model} cannot be guarded: {error}") from error
        except BaseException:
            self._stack.close()
            raise
        self._right = xxh3_128_digest(self._memory)
        self._subject = Subject(setup.model)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def golden(self, question: Question) -> Golden:
        """Two passes over the undamaged image find nothing, and it has the hash of the model."""
        for _ in range(2):
            if self._guard.full_pass().findings or xxh3_128_digest(self._memory) != self._right:
                raise CampaignError("The undamaged image does not pass its guard, so nothing can be measured here.")
        return Golden(question.id, (), 0, WHOLE, "", "", "", 0)

    def run(self, trial: Trial, arm: Arm) -> Evidence:
        """Flip, pass, prove."""
        shot = Shot(trial.fault, Victim.of_guard(self._subject, self._settings))
        began = monotonic()
        shot.reach("start")
        guard = self._guard
        start = perf_counter()
        findings = guard.check_codes()
        stripes = guard.ladder.stripes.scan()
        pages = guard.ladder.image.scan()
        found_s = perf_counter() - start
        start = perf_counter()
        findings += guard.settle(pages, stripes)
        repair_s = perf_counter() - start
        shot.passed()
        seconds = monotonic() - began
        whole = xxh3_128_digest(self._memory) == self._right  # before the bench takes back what is left of the fault
        shot.end()
        if not whole:
            self._restore()
        made = shot.injection
        return Evidence(
            answer=WHOLE if whole else DAMAGED,
            verdict="unverified" if any(not one.repaired for one in findings) else "verified",
            reason="unrepaired" if any(not one.repaired for one in findings) else "",
            how="pages",
            gated=True,
            detections=tuple(
                Detection("pages", found_s, str(one.outcome), one.bits or 0, repair_s) for one in findings
            ),
            injected=trial.fault is not None,
            activated=made is not None and made.activated,
            proven=whole,
            changed=made.flips if made is not None else (),
            seconds=seconds,
            note=shot.note,
            labels=shot.labels(),
        )

    def _restore(self) -> None:
        """Copy the model from flash over the image, chunk by chunk where they differ."""
        for start in range(0, len(self._memory), _CHUNK):
            right = self._flash.read(start, min(_CHUNK, len(self._memory) - start))
            if self._memory[start : start + len(right)] != right:
                self._memory[start : start + len(right)] = right
        if xxh3_128_digest(self._memory) != self._right:
            raise CampaignError(f"The image {self._settings.image} does not hold the right bytes.")
