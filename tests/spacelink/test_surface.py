"""The public surface of `spacelink`: what is promised is there, and is cheap until it is used."""

import ast
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import spacelink

SOURCE = Path(spacelink.__file__)


def test_every_public_name_can_be_imported_and_none_is_listed_twice() -> None:
    assert len(set(spacelink.__all__)) == len(spacelink.__all__)
    for name in spacelink.__all__:
        assert getattr(spacelink, name) is not None
    assert set(spacelink.__all__) <= set(dir(spacelink))


def test_what_the_type_checker_sees_is_what_is_loaded() -> None:
    seen = {}
    for node in ast.walk(ast.parse(SOURCE.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("spacelink."):
            seen |= {alias.name: node.module.removeprefix("spacelink.") for alias in node.names}
    assert seen == spacelink._MODULES
    assert sorted(seen) == sorted(spacelink.__all__)


def modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(spacelink.__path__, "spacelink.")
    return [import_module(one.name) for one in found]


def test_every_error_hangs_in_the_tree_that_is_shown() -> None:
    shown = import_module("spacelink.errors").__doc__ or ""
    for module in modules():
        for name, kind in vars(module).items():
            if isinstance(kind, type) and issubclass(kind, Exception) and kind.__module__ == module.__name__:
                assert issubclass(kind, spacelink.SpacelinkError), name
                assert name in shown


def test_the_readme_names_every_module() -> None:
    readme = (SOURCE.parent / "README.md").read_text()
    for module in modules():
        if module.__name__.count(".") == 1:
            assert f"`{module.__name__.removeprefix('spacelink.')}" in readme


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="moonshine"):
        _ = spacelink.moonshine


def test_the_dictionary_loads_no_numerics_and_no_packet_library() -> None:
    """The supervisor stays small."""
    code = "import sys; from spacelink import DICTIONARY; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert "spacelink.dictionary" in run.stdout.split()
    assert not {"numpy", "spacepackets"} & set(run.stdout.split())
