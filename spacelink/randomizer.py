"""Pseudo-randomizer of 131.0-B §10: the 255-bit sequence of h(x) = x^8 + x^7 + x^5 + x^3 + 1 from a register of ones.

It begins FF 48 0E C0 9A 0D 70 BC and starts anew with every codeblock. Randomizing twice gives the data back.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

PERIOD = 255
"""Bits after which the sequence repeats."""


@cache
def sequence(length: int) -> npt.NDArray[np.uint8]:
    """The first `length` bytes of the sequence; read-only."""
    register = [1] * 8  # x(n+1) .. x(n+8); the recurrence is x(n+8) = x(n+7) + x(n+5) + x(n+3) + x(n)
    period = []
    for _ in range(PERIOD):
        period.append(register[0])
        register = [*register[1:], register[7] ^ register[5] ^ register[3] ^ register[0]]
    packed = np.packbits(np.resize(np.array(period, np.uint8), length * 8))
    packed.flags.writeable = False
    return packed


def randomize(codeblocks: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """XOR the sequence onto each row of uint8[n, length]."""
    return codeblocks ^ sequence(codeblocks.shape[-1])
