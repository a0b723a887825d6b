"""Models for OrbitLM: the embedded model `cadet`, its recipe, the catalogue of larger models, GGUF tools.

This package stands alone: it imports nothing of flight, ground, spacelink or hil. Importing it is cheap;
numerics, PyTorch and llama.cpp are imported only inside the commands that need them.
"""

from models.errors import ModelFileError, ModelsError
from models.paths import cadet_path

__all__ = ["ModelFileError", "ModelsError", "cadet_path"]
