"""The RAM image as the supervisor sees it: made once before the engine starts, so that it outlives every engine."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

from flight.errors import ModelUnfit
from flight.integrity import IntegrityError, RamImage, prepare, release, sweep
from flight.settings import FlightSettings
from flight.supervisor.premises import in_use

LOG = logging.getLogger("flight.supervisor")


class Image:
    """The image of one data directory, whose lock the caller holds."""

    def __init__(self, settings: FlightSettings) -> None:
        self._settings = settings
        self._shm = Path(settings.model.shm_dir).expanduser() if settings.model.shm_dir else None
        self._image: RamImage | None = None

    @property
    def path(self) -> str | None:
        """Where the image lies, while there is one."""
        return str(self._image.path) if self._image else None

    def prepare(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the model, or check what is left from before. Raises `ModelUnfit` with a sentence."""
        model = self._settings.model_path
        if not model.exists():
            raise ModelUnfit(f"There is no model file {model}: name a GGUF file with --model.")
        try:
            self._image = prepare(
                model,
                data_dir=self._settings.data_dir,
                shm_dir=self._shm,
                n_ctx=self._settings.model.n_ctx,
                progress=progress,
            )
        except IntegrityError as error:
            raise ModelUnfit(str(error)) from error

    def sweep(self) -> None:
        """Clear what flight processes left that were killed and do not run any more."""
        for removed in sweep(self._shm, in_use):
            LOG.warning("cleared shared memory left in %s", removed)

    def release(self) -> None:
        """Give the shared memory back."""
        release(data_dir=self._settings.data_dir, shm_dir=self._shm)

    def engine_json(self) -> str:
        """The `--settings` of the engine (`flight.inference.settings.EngineSettings`, docs/contract.md §4)."""
        if self._image is None:
            self.prepare()
        assert self._image is not None
        model = self._settings.model
        return json.dumps(
            {
                "image": str(self._image.path),
                "image_sha256": self._image.sha256,
                "name": self._settings.model_path.stem,
                "n_ctx": model.n_ctx,
                "threads": model.threads,
                "n_batch": model.n_batch,
                "n_ubatch": model.n_ubatch,
                "faults": self._settings.faults.allowed,
            }
        )
