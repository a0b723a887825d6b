"""`python -m hil`: the same as `orbitlm hil`."""

from hil.cli import app

if __name__ == "__main__":
    app()
