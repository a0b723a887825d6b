"""The bench: link emulator, demo, scenarios, benchmarks, doctor."""
