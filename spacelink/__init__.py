"""The contract both sides share: dictionary, packets, frames, codes. No I/O, no clock of its own."""
