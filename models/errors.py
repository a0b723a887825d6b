"""Errors of the models package. Each message is one sentence to the person who can act.

ModelsError
├── ModelFileError    a model file is missing, damaged, truncated or of the wrong kind
└── LayoutError       a tensor, block, field or bit was asked for that a model file does not have
"""


class ModelsError(Exception):
    """Base of every error that this package raises on purpose."""


class ModelFileError(ModelsError):
    """A model file cannot be used; the message says why."""


class LayoutError(ModelsError):
    """No such tensor, block, field or bit; the message says what there is."""
