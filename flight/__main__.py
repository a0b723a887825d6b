"""`python -m flight …` inside the checkout: the same as `orbitlm flight …`."""

from flight.cli import app

if __name__ == "__main__":
    app(prog_name="python -m flight")
