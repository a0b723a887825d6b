"""OrbitLM's own product of Q8_0 batches, in the place of llama.cpp's where it gives the same bits (`README.md`)."""

from flight.inference.kernel.interposer import Kernel, kernel

__all__ = ["Kernel", "kernel"]
