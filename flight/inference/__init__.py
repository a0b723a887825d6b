"""The engine child: a quantized model on llama.cpp's low-level interface, behind a socket to core.

`protocol` and `channel` are what core needs to speak with it, and load no numerics.
"""
