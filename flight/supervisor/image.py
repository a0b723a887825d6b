"""The RAM image as the supervisor sees it: made once, before the workers start, so that it outlives all of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flight.errors import ModelUnfit, NoRoom
from flight.inference.settings import EngineSettings
from flight.inference.threads import thread_count
from flight.integrity import IntegrityError, RamImage, RoomRefused, prepare, release, sweep
from flight.integrity.settings import GuardSettings, ScrubberSettings, manifest_for
from flight.settings import FlightSettings
from flight.supervisor.log import LOG
from flight.supervisor.premises import in_use
from models.errors import ModelFileError
from models.manifest import load


class Image:
    """The image of one data directory, whose lock the caller holds. It is made of one slot's model file at a time."""

    def __init__(self, settings: FlightSettings) -> None:
        self._settings = settings
        self._shm = Path(settings.model.shm_dir).expanduser() if settings.model.shm_dir else None
        self._image: RamImage | None = None
        self._model = settings.model_path
        self._threads: int | None = None
        self.copy_to: Path | None = None
        """Where the scrubber keeps a copy of the model on flash; None: nowhere."""

    @property
    def path(self) -> str | None:
        """Where the image lies, while there is one."""
        return str(self._image.path) if self._image else None

    @property
    def model(self) -> Path:
        """The model file that the image was made of."""
        return self._model

    def prepare(self, model: Path, progress: Callable[[int, int], None] | None = None) -> None:
        """Copy `model`, or check what is left from before. Raises `ModelUnfit` with a sentence."""
        if not model.exists():
            raise ModelUnfit(f"There is no model file {model}: name a GGUF file with --model.")
        data = self._settings.data_dir
        try:
            path = manifest_for(model, data)
            self._image = prepare(
                model,
                data_dir=data,
                shm_dir=self._shm,
                n_ctx=self._settings.model.n_ctx,
                manifest=load(path) if path.exists() else None,  # the scrubber makes it at first boot
                progress=progress,
            )
        except ModelFileError as error:
            raise ModelUnfit(str(error)) from error
        except RoomRefused as error:
            raise NoRoom(str(error)) from error
        except IntegrityError as error:
            raise ModelUnfit(str(error)) from error
        self._model = model

    def sweep(self) -> None:
        """Clear what flight processes left that were killed and do not run any more."""
        for removed in sweep(self._shm, in_use):
            LOG.warning("cleared shared memory left in %s", removed)

    def release(self) -> None:
        """Give the shared memory back."""
        release(data_dir=self._settings.data_dir, shm_dir=self._shm)

    def child_json(self, name: str) -> str:
        """The `--settings` of a worker (docs/contract.md §4, §7)."""
        if name == "scrubber":
            return self._scrubber().model_dump_json()
        if name == "verifier":
            return self._verifier_json()
        return self._engine().model_dump_json()

    def _made(self) -> RamImage:
        if self._image is None:
            self.prepare(self._model)
        assert self._image is not None
        return self._image

    def _engine(self) -> EngineSettings:
        image, model = self._made(), self._settings.model
        if self._threads is None:  # once for both minds and all their starts: it changes rounding
            self._threads = thread_count(model.threads, image.bytes)
        return EngineSettings(
            image=image.path,
            image_sha256=image.sha256,
            name=self._model.stem,
            n_ctx=model.n_ctx,
            threads=self._threads,
            n_batch=model.n_batch,
            n_ubatch=model.n_ubatch,
            faults=self._settings.faults.allowed,
            gpu_layers=model.gpu_layers,
            checkpoint_s=self._settings.engine.checkpoint_s,
            own_kernel=model.own_kernel,
        )

    def _guard(self) -> GuardSettings:
        return GuardSettings.of(self._model, self._made().path, self._settings.data_dir)

    def _verifier_json(self) -> str:
        from flight.verifier.settings import VerifierSettings  # only where a verifier flies

        own = self._settings.integrity
        return VerifierSettings(
            engine=self._engine().model_copy(update={"gpu_layers": 0, "checkpoint_s": 0.0}),  # the CPU is the reference
            guard=self._guard(),
            pages=own.pages,
            repair=own.repair,
            replay=own.replay,
            margin=own.margin,
            uncalibrated=own.uncalibrated_margin,
            self_test_s=own.self_test_s,
        ).model_dump_json()

    def _scrubber(self) -> ScrubberSettings:
        own = self._settings.integrity
        return ScrubberSettings(
            guard=self._guard(),
            repair=own.repair,
            bytes_per_s=own.scrub_bytes_per_s,
            period_s=own.scrub_period_s,
            deep_s=own.deep_s,
            self_test_s=own.self_test_s,
            copy_to=self.copy_to,
            faults=self._settings.faults.allowed,
            code_bytes_per_s=own.code_bytes_per_s if own.code_check else 0.0,
        )
