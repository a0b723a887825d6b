"""A CADU made by Dario Lucia's `ccsds` (Java) as witness for the whole chain: Reed-Solomon, randomizer, marker.

Dual basis, I = 5. The frame is that of its TmEncoderTest and TmDecoderTest: spacecraft 123, virtual channel 1, counts
22 and 14, data all zero, no FECF.
"""

from __future__ import annotations

from spacelink.cadu import decode_cadus, encode_cadus

FRAME = bytes.fromhex("07B3160E47FF") + bytes(1109)
BEGINNING = bytes.fromhex("1ACFFC1DF8FB18CEDDF270BC8E2C93ADA7B746CE5A977DCC32A2BF3E0A10F188")
PARITY = bytes.fromhex(
    "E249567843CA1921B540FCCF81769D6A4628A02A22B3949C3E58B92ADF0B5013D7BE755698B916EDDD8E83EA508ADC278C5767F7ECFC39F6"
    "D8CEEB6DE1A77E6E16D635240885C3A7FD520F714ADF606FCE18240CC2B0A9CE49F4D6817E0E203A0B2E1874A668FCEA2AB71C848D98D398"
    "B973CD59A4E3C63186E876B2AF30EBB5BE424F26154C4D3879B0D27B0CFD2202E3418A1A0295F8CDE9435F2638C2A469"
)
"""The 160 randomized parity bytes at its end."""


def test_our_cadu_is_theirs() -> None:
    """Beginning and all parity."""
    (cadu,) = encode_cadus([FRAME])
    assert cadu[: len(BEGINNING)] == BEGINNING
    assert cadu[-160:] == PARITY


def test_their_cadu_is_read() -> None:
    """Put together from their bytes, with as many wrong as the code bears."""
    (cadu,) = encode_cadus([FRAME])
    theirs = bytearray(cadu[:-160] + PARITY)
    for place in range(700, 780):
        theirs[place] ^= 0xFF
    (read,) = decode_cadus([bytes(theirs)])
    assert (read.frame, read.corrected, read.rejected) == (FRAME, 80, None)
