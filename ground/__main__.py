"""`python -m ground`: the same as `orbitlm ground`."""

from ground.cli import app

app(prog_name="python -m ground")
