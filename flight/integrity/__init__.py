"""The RAM image of the model: the bytes that llama.cpp maps, that can be checked and repaired while it runs.

>>> image = prepare(model, data_dir=data, shm_dir=None)     # at start; the directory is the caller's alone
>>> release(data_dir=data, shm_dir=None)                    # at the end
"""

from flight.integrity.errors import ImageRefused, IntegrityError, RoomRefused
from flight.integrity.image import RamImage, prepare, release, sweep
from flight.integrity.room import check_room

__all__ = [
    "ImageRefused",
    "IntegrityError",
    "RamImage",
    "RoomRefused",
    "check_room",
    "prepare",
    "release",
    "sweep",
]
