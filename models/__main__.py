"""`python -m models …` inside the checkout: the same as `orbitlm models …`."""

from models.cli import app

if __name__ == "__main__":
    app(prog_name="python -m models")
