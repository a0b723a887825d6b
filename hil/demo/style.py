"""One colour for each leg, in the terminal and in the figure. Readable on light and dark ground, and apart for the
colour-blind.
"""

LEG_COLOURS = {
    "QUEUED": "#8c96a8",
    "UPLINKED": "#5a7fd6",
    "ACCEPTED": "#4c9be8",
    "PREFILL": "#8f6fe0",
    "DECODE": "#e07a3f",
    "CHECKING": "#d64f8a",
    "ONBOARD_DONE": "#c9a227",
    "DOWNLINKING": "#2aa198",
    "DELIVERED": "#3fa34d",
    "REJECTED": "#d13438",
    "FAILED": "#d13438",
    "EXPIRED": "#d13438",
    "CANCELLED": "#8c96a8",
}
"""Hex colours by leg."""

LEG_MEANING = {
    "QUEUED": "stored on ground, on its way up",
    "UPLINKED": "frame acknowledged",
    "ACCEPTED": "in flight's journal, waiting for the engine",
    "PREFILL": "the model reads the prompt",
    "DECODE": "the model writes, segments come down",
    "CHECKING": "release gate",
    "ONBOARD_DONE": "finished on board, receipt on its way",
    "DOWNLINKING": "missing segments on their way down",
}
"""What happens in a leg, for the table."""
