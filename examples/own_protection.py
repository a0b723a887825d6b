"""A protection of your own: the sum of every tensor is compared before an answer is released.

    python examples/own_protection.py               # finds one flipped scale bit and mends the tensor from flash

To race it against the others, let your package say

    [project.entry-points."orbitlm.protections"]
    tensor-sums = "own_protection:TensorSums"

and name it in an arm of a campaign's plan:

    [arms.sums]
    assurance = "none"
    protection = "tensor-sums"
    settings.integrity = { pages = false, replay = false }
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from zlib import adler32

from flight.integrity.settings import GuardSettings
from hil.faults import Subject, Victim, draw, inject
from models import cadet_path
from models.gguf_file import TensorInfo, read_info


class TensorSums:
    """Made once over the image in use; `check` is called before each release."""

    def __init__(self, guard: GuardSettings) -> None:
        self._flash, self._image = guard.model, guard.image
        self._tensors = read_info(self._flash).tensors
        self._sums = {tensor.name: adler32(self._bytes(self._flash, tensor)) for tensor in self._tensors}

    def check(self) -> list[str]:
        """One sentence for each tensor that was damaged, and is mended now."""
        return [
            self._mend(one) for one in self._tensors if adler32(self._bytes(self._image, one)) != self._sums[one.name]
        ]

    def close(self) -> None:
        """Nothing is held."""

    def _mend(self, tensor: TensorInfo) -> str:
        right = self._bytes(self._flash, tensor)
        with self._image.open("r+b") as image:  # in place: llama.cpp maps this very file
            image.seek(tensor.offset)
            image.write(right)
        return f"Tensor {tensor.name} was damaged and was read again from flash."

    @staticmethod
    def _bytes(path: Path, tensor: TensorInfo) -> bytes:
        with path.open("rb") as file:
            file.seek(tensor.offset)
            return file.read(tensor.bytes)


def main() -> None:
    """Damage a copy of the embedded model and let the protection find it."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(shutil.copy(cadet_path(), folder))
        guard = GuardSettings.of(cadet_path(), image, Path(folder))
        protection = TensorSums(guard)
        subject = Subject(cadet_path())
        print(inject(draw("weights", subject, seed=7, where={"roles": ["scale"]}), Victim(subject, image=image)))
        print(*protection.check(), sep="\n")
        print("whole again:", protection.check() == [] and image.read_bytes() == cadet_path().read_bytes())
        protection.close()


if __name__ == "__main__":
    main()
