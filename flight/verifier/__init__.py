"""The release gate: a second mind over the same image, that makes every answer again before it counts as verified."""
