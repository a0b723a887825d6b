"""The errors of the RAM image and of its protection, each a sentence to the person who can act.

IntegrityError
├── ImageRefused     the model file cannot be read, or the image's directory is not ours
│   └── ManifestMismatch   the model file is not the one of its manifest; chunks and tensors are in the message
├── RoomRefused      the model does not fit into what is free; the figures are in the message
└── CodesRefused     page codes are missing, damaged in both copies, or of another model; or flash is not the manifest's
    └── NotPrepared  what guards the image is not in place yet: wait for the scrubber, which makes it
"""

from __future__ import annotations


class IntegrityError(Exception):
    """Root of every error that this package raises on purpose."""


class ImageRefused(IntegrityError):  # noqa: N818 - named as the sentence reads
    """The image cannot be made: the message names the file and what is wrong with it."""


class ManifestMismatch(ImageRefused):
    """The model file is not the one of its manifest: the message names the chunks that differ and what lies there."""


class RoomRefused(IntegrityError):  # noqa: N818
    """The model does not fit: the message compares what it needs with what is free."""


class CodesRefused(IntegrityError):  # noqa: N818
    """The image cannot be checked: the message says which codes or chunks are wrong, and what to do."""


class NotPrepared(CodesRefused):
    """Manifest, codes or parity are not there yet: `flight.integrity.guard.prepare` makes them."""
