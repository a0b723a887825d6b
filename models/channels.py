"""The housekeeping channels that `cadet` knows: mnemonic, unit, plain name, usual values, and what to do.

`models/README.md` prints this table; `flight` renders live telemetry under these mnemonics. Ranges are those of small
spacecraft and of a Jetson-class board as a plausible teaching set, not the limits of any particular unit.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChannelKind:
    """One housekeeping channel: `unit` may be empty (a count); `low`/`high` are usual limits; `decimals` 0 or 1."""

    name: str
    unit: str
    words: str
    low: float
    high: float
    decimals: int
    when_low: str
    when_high: str


CHANNELS: tuple[ChannelKind, ...] = (
    ChannelKind("CPU_T", "degC", "CPU temperature", -10, 85, 1, "turn on the avionics heater", "lower the clock rate"),
    ChannelKind("GPU_T", "degC", "GPU temperature", -10, 80, 1, "turn on the payload heater", "pause inference"),
    ChannelKind("BRD_T", "degC", "board temperature", -20, 70, 1, "turn on the board heater", "switch off the payload"),
    ChannelKind("CPU_L", "%", "CPU load", 1, 90, 1, "check the scheduler", "shed background tasks"),
    ChannelKind("MEM_U", "%", "memory use", 2, 88, 1, "check the memory map", "restart the largest process"),
    ChannelKind("DSK_U", "%", "disk use", 1, 90, 1, "check the file system", "downlink and delete old files"),
    ChannelKind("PWR_W", "W", "board power", 4, 28, 1, "check the power feed", "choose a lower power mode"),
    ChannelKind("BUS_V", "V", "bus voltage", 26, 34, 1, "shed loads", "check the shunt regulator"),
    ChannelKind("BAT_V", "V", "battery voltage", 22, 30, 1, "stop discharge", "stop charging"),
    ChannelKind(
        "BAT_T", "degC", "battery temperature", -1, 44, 1, "turn on the battery heater", "reduce the charge rate"
    ),
    ChannelKind("SOC", "%", "battery charge", 30, 100, 0, "enter power saving", "check the charge meter"),
    ChannelKind("SA_I", "A", "solar array current", 1, 9, 1, "check the array pointing", "check the array sensor"),
    ChannelKind("WHL_S", "rpm", "wheel speed", 100, 5400, 0, "check the wheel drive", "dump momentum"),
    ChannelKind("LNK_M", "dB", "link margin", 2, 19, 1, "lower the data rate", "raise the data rate"),
    ChannelKind("UP_H", "h", "uptime", 0, 2000, 1, "read the reset log", "plan a restart"),
    ChannelKind("QUE_N", "", "queue length", 0, 16, 0, "check the queue counter", "pause new queries"),
    ChannelKind("TOK_S", "tok/s", "token rate", 5, 3000, 1, "check for throttling", "check the rate counter"),
    ChannelKind("RST_N", "", "restart count", 0, 5, 0, "check the restart counter", "read the crash log"),
    ChannelKind("CRC_N", "", "bad frame count", 0, 50, 0, "check the frame counter", "check the radio link"),
    ChannelKind("ECC_N", "", "memory error count", 0, 21, 0, "check the error counter", "scrub memory"),
)

BY_NAME: dict[str, ChannelKind] = {kind.name: kind for kind in CHANNELS}
