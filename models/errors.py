"""Errors of the models package. Each message is one sentence to the person who can act.

ModelsError
└── ModelFileError    a model file is missing, damaged, truncated or of the wrong kind
"""


class ModelsError(Exception):
    """Base of every error that this package raises on purpose."""


class ModelFileError(ModelsError):
    """A model file cannot be used; the message says why."""
