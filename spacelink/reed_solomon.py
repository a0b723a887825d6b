"""Reed-Solomon (255,223), E = 16, dual basis, interleaving depth 5 (131.0-B §4), batched over frames in numpy.

The code generator has the roots α^(11·j), j = 112..143. A frame of 1115 bytes is dealt out to five codewords byte by
byte; their parity follows the frame in the same order. Encoding is an XOR over tables of each byte's parity. Decoding
encodes again and compares; only codewords that differ take the way of syndromes, riBM (Sarwate and Shanbhag, 2001),
Chien and Forney, all of them at once; a correction counts only if it explains every syndrome.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from spacelink import galois
from spacelink.galois import ORDER, Bytes

DEPTH = 5
"""Interleaving depth I."""
SYMBOLS = 255
INFORMATION = 223
PARITY = SYMBOLS - INFORMATION
MAX_ERRORS = PARITY // 2
"""E: wrong symbols that a codeword bears."""
FRAME_BYTES = DEPTH * INFORMATION
CODEBLOCK_BYTES = DEPTH * SYMBOLS

_STEP = 11
"""The generator's roots are powers of α^11 (131.0-B §4.3)."""
_FIRST = 128 - MAX_ERRORS
"""j of the first root."""
_CHUNK = 640
"""Codewords a batch step works on: the gathered tables stay within the cache."""

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Decoded:
    """n frames after decoding."""

    data: Bytes
    """uint8[n, 1115]; as received where `ok` is False."""
    corrected: npt.NDArray[np.int64]
    """int[n]: wrong symbols undone, in data and parity."""
    ok: npt.NDArray[np.bool_]
    """bool[n]: False where one of the five codewords has more wrong symbols than the code bears."""


def encode(frames: Bytes) -> Bytes:
    """Codeblocks uint8[n, 1275] of frames uint8[n, 1115]."""
    count = len(frames)
    blocks = np.empty((count, CODEBLOCK_BYTES), np.uint8)
    blocks[:, :FRAME_BYTES] = frames
    parity = _parity(_deal(frames, INFORMATION))
    blocks[:, FRAME_BYTES:] = parity.reshape(count, DEPTH, PARITY).transpose(0, 2, 1).reshape(count, DEPTH * PARITY)
    return blocks


def decode(codeblocks: Bytes) -> Decoded:
    """Correct up to 16 wrong bytes in each of the five codewords of the codeblocks uint8[n, 1275]."""
    count = len(codeblocks)
    data = codeblocks[:, :FRAME_BYTES].copy()
    received = _deal(codeblocks[:, FRAME_BYTES:], PARITY)
    difference = _parity(_deal(data, INFORMATION)) ^ received
    corrected = np.zeros(count, np.int64)
    ok = np.ones(count, np.bool_)
    # Whole frames to a chunk: a frame is given back as received when one of its codewords fails.
    step = _CHUNK // DEPTH
    wrong = np.flatnonzero(difference.reshape(count, DEPTH * PARITY).any(axis=1))
    for first in range(0, len(wrong), step):
        _correct(wrong[first : first + step], difference, data, corrected, ok)
    return Decoded(data, corrected, ok)


def _correct(
    frames: npt.NDArray[np.int64],
    difference: Bytes,
    data: Bytes,
    corrected: npt.NDArray[np.int64],
    ok: npt.NDArray[np.bool_],
) -> None:
    """Correct these frames of a batch in place, given the difference in parity uint8[n * 5, 32]."""
    words = (frames[:, None] * DEPTH + np.arange(DEPTH)).ravel()
    words = words[difference[words].any(axis=1)]
    errors = _locate(_syndromes(difference[words]))
    ok[words[~errors.ok] // DEPTH] = False
    keep = ok[words[errors.codeword] // DEPTH]
    word, position, value = words[errors.codeword[keep]], errors.position[keep], errors.value[keep]
    np.add.at(corrected, word // DEPTH, 1)
    inside = position < INFORMATION
    data[word[inside] // DEPTH, position[inside] * DEPTH + word[inside] % DEPTH] ^= value[inside]


def _deal(rows: Bytes, symbols: int) -> Bytes:
    """Codewords uint8[n * 5, symbols] of interleaved rows uint8[n, symbols * 5]."""
    return np.ascontiguousarray(rows.reshape(len(rows), symbols, DEPTH).transpose(0, 2, 1)).reshape(-1, symbols)


def _parity(codewords: Bytes) -> Bytes:
    """Parity uint8[m, 32] of information uint8[m, 223], both in the dual basis."""
    table = _parity_table()
    parity = np.empty((len(codewords), PARITY // 8), np.uint64)
    offsets = np.arange(INFORMATION)[:, None] * 256
    for first in range(0, len(codewords), _CHUNK):
        index = codewords[first : first + _CHUNK].T + offsets
        np.bitwise_xor.reduce(table.take(index, axis=0), axis=0, out=parity[first : first + _CHUNK])
    return parity.view(np.uint8)


@cache
def _parity_table() -> Words:
    """Parity of byte value b at position p in row p * 256 + b, uint64[223 * 256, 4]."""
    generator = _generator()
    products = galois.products()
    # remainder[p]: x^(254-p) mod g, coefficients from x^31 down.
    remainder = np.empty((INFORMATION, PARITY), np.uint8)
    row = generator[1:].copy()  # x^32 mod g
    for position in range(INFORMATION - 1, -1, -1):
        remainder[position] = row
        row = np.append(row[1:], np.uint8(0)) ^ products[row[0]][generator[1:]]
    # Dual basis in, dual basis out.
    times = galois.to_dual()[products[galois.to_conventional()]]
    table = times.T[remainder].transpose(0, 2, 1)
    return np.ascontiguousarray(table).view(np.uint64).reshape(-1, PARITY // 8)


def _generator() -> Bytes:
    """Coefficients of the code generator from x^32 down to 1, conventional basis."""
    exponents, products = galois.exponents(), galois.products()
    generator = np.array([1], np.uint8)
    for j in range(_FIRST, _FIRST + PARITY):
        root = exponents[_STEP * j % ORDER]
        shifted = np.append(generator, np.uint8(0))
        shifted[1:] ^= products[root][generator]
        generator = shifted
    return generator


@cache
def _syndrome_table() -> Words:
    """Syndromes of dual-basis byte b at parity position p in row p * 256 + b, uint64[32 * 256, 4]."""
    exponents, products = galois.exponents(), galois.products()
    powers = np.arange(PARITY - 1, -1, -1)[:, None]
    roots = _STEP * np.arange(_FIRST, _FIRST + PARITY)[None, :]
    weight = exponents[powers * roots % ORDER]
    table = products[galois.to_conventional()].T[weight].transpose(0, 2, 1)
    return np.ascontiguousarray(table).view(np.uint64).reshape(-1, PARITY // 8)


def _syndromes(difference: Bytes) -> Bytes:
    """Syndromes uint8[m, 32], conventional basis, of the difference in parity uint8[m, 32]: received minus encoded,
    which is the received word modulo the generator."""
    index = difference.T + np.arange(PARITY)[:, None] * 256
    syndromes: Bytes = np.bitwise_xor.reduce(_syndrome_table().take(index, axis=0), axis=0).view(np.uint8)
    return syndromes


@dataclass(frozen=True)
class _Errors:
    """Wrong symbols of m codewords, flat."""

    codeword: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    value: Bytes
    """To be XORed on, dual basis."""
    ok: npt.NDArray[np.bool_]
    """bool[m]: the codeword's errors explain all its syndromes."""


def _locate(syndromes: Bytes) -> _Errors:
    """Positions and values of the wrong symbols behind syndromes uint8[m, 32]."""
    count = len(syndromes)
    locator, evaluator = _key_equation(syndromes)
    table = _root_table()
    index = locator.T + np.arange(MAX_ERRORS + 1)[:, None] * 256
    values = np.bitwise_xor.reduce(table.take(index, axis=0), axis=0).view(np.uint8)[:, :SYMBOLS]
    codeword, position = np.nonzero(values == 0)
    degree = MAX_ERRORS - np.argmax(locator[:, ::-1] != 0, axis=1)
    ok = (np.bincount(codeword, minlength=count) == degree) & locator.any(axis=1)
    keep = ok[codeword]
    codeword, position = codeword[keep], position[keep]
    value = _magnitudes(locator[codeword], evaluator[codeword], position)
    # A correction counts only if it explains every syndrome.
    products, exponents = galois.products(), galois.exponents()
    roots = _STEP * np.arange(_FIRST, _FIRST + PARITY)
    terms = products[value[:, None], exponents[(SYMBOLS - 1 - position)[:, None] * roots % ORDER]]
    explained = np.zeros_like(syndromes)
    named, starts = np.unique(codeword, return_index=True)
    if len(named):
        explained[named] = np.bitwise_xor.reduceat(terms, starts, axis=0)
    ok &= (explained == syndromes).all(axis=1)
    keep = ok[codeword]
    return _Errors(codeword[keep], position[keep], galois.to_dual()[value[keep]], ok)


def _key_equation(syndromes: Bytes) -> tuple[Bytes, Bytes]:
    """Error locator uint8[m, 17] and scaled evaluator uint8[m, 16], lowest coefficient first, by riBM.

    One register of 3t + 1 = 49 coefficients holds discrepancies and locator; 2t steps of shift, multiply and add turn
    its lower end into the high-order evaluator and its upper end into the locator.
    """
    products = galois.products().ravel()
    count = len(syndromes)
    width = 3 * MAX_ERRORS + 1
    delta = np.zeros((count, width + 1), np.uint8)
    delta[:, :PARITY] = syndromes
    delta[:, width - 1] = 1
    theta = delta[:, :width].copy()
    gamma = np.ones(count, np.uint8)
    order = np.zeros(count, np.int64)
    for _ in range(PARITY):
        head = delta[:, 0].copy()
        shifted = delta[:, 1:]
        turned = np.zeros_like(delta)
        turned[:, :width] = products.take((gamma.astype(np.intp) << 8)[:, None] | shifted)
        turned[:, :width] ^= products.take((head.astype(np.intp) << 8)[:, None] | theta)
        grow = (head != 0) & (order >= 0)
        theta[grow] = shifted[grow]
        gamma = np.where(grow, head, gamma)
        order = np.where(grow, -order - 1, order + 1)
        delta = turned
    return delta[:, MAX_ERRORS : 2 * MAX_ERRORS + 1].copy(), delta[:, :MAX_ERRORS].copy()


@cache
def _root_table() -> Words:
    """b·x^k at the inverse locators of all positions, row k * 256 + b: 256 bytes in uint64[17 * 256, 32]."""
    exponents, products = galois.exponents(), galois.products()
    inverse = -_STEP * (SYMBOLS - 1 - np.arange(SYMBOLS))
    table = np.zeros((MAX_ERRORS + 1, 256, 256), np.uint8)
    for k in range(MAX_ERRORS + 1):
        table[k, :, :SYMBOLS] = products[:, exponents[inverse * k % ORDER]]
    return table.reshape(-1, 256).view(np.uint64)


def _magnitudes(locator: Bytes, evaluator: Bytes, position: npt.NDArray[np.int64]) -> Bytes:
    """Forney's values uint8[e], conventional basis, for e errors with their codeword's polynomials."""
    exponents, products, inverses = galois.exponents(), galois.products(), galois.inverses()
    log = _STEP * (SYMBOLS - 1 - position)[:, None]  # of the locator X
    even = np.arange(MAX_ERRORS)
    top = np.bitwise_xor.reduce(products[evaluator, exponents[-log * even % ORDER]], axis=1)
    odd = np.arange(1, MAX_ERRORS + 1, 2)
    bottom = np.bitwise_xor.reduce(products[locator[:, odd], exponents[-log * odd % ORDER]], axis=1)
    # The value is X^(1-j0) Ω(1/X) / Λ'(1/X), j0 the first root's j. riBM gives Ω divided by x^2t, and the odd part of
    # Λ at 1/X is Λ' / X.
    scale = exponents[(-log[:, 0] * (_FIRST + PARITY)) % ORDER]
    return products[products[top, inverses[bottom]], scale]
