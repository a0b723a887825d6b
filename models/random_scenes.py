"""Random scenes for training, tests and the bench: the same seed gives the same scene everywhere.

The margin rule: values that a question may compare differ by at least `MARGINS[...]`, so that an answer does not hang
on the last digit. A scene made with `margin=False` may hold closer values (training shows some of them).
"""

import random
import zlib
from decimal import Decimal

from models.channels import CHANNELS, ChannelKind
from models.scenes import KINDS, Channel, Field, Fire, Flood, Item, Scene, Vessel

MAX_ITEMS = 6
"""Items per scene that `cadet` is trained for."""

MARGINS = {
    "speed": Decimal("1.0"),
    "length": Decimal(8),
    "area": Decimal("1.5"),
    "ndvi": Decimal("0.03"),
    "power": Decimal(12),
}
"""Least difference between compared values: kn, m, km2, NDVI, MW. Housekeeping: 4 % of the span of the limits."""

CROPS = ("soy", "maize", "wheat", "rice", "barley", "cotton", "potato", "beet")
_STARTS = ("b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "y", "z", "br", "kr", "st", "tr")
_VOWELS = ("a", "e", "i", "o", "u")
_ENDS = ("", "", "n", "r", "s", "l", "m", "k", "t")


def is_held_out(name: str) -> bool:
    """Return whether a name is kept out of training: one in ten, by its CRC-32."""
    return zlib.crc32(name.encode()) % 10 == 0


def random_scene(kind: str, seed: int, items: int | None = None, margin: bool = True) -> Scene:
    """Return a random scene of a kind with 2 to 6 items (or `items`), from a seed."""
    return make_scene(random.Random(f"scene/{kind}/{seed}"), kind, items, margin)


def make_scene(
    rng: random.Random, kind: str, items: int | None = None, margin: bool = True, held_out: bool | None = None
) -> Scene:
    """Return a random scene drawn from `rng`; `held_out` False keeps to training names, True allows all names."""
    if kind not in KINDS:
        raise ValueError(f"There is no scene kind {kind!r}; there are {', '.join(KINDS)}.")
    count = items if items is not None else rng.randint(2, MAX_ITEMS)
    if kind == "vessels":
        return _vessels(rng, count, margin, held_out)
    if kind == "floods":
        return _floods(rng, count, margin, held_out)
    if kind == "crops":
        return _crops(rng, count, margin, held_out)
    if kind == "fires":
        return _fires(rng, count, margin, held_out)
    chosen = rng.sample(CHANNELS, count)
    return Scene("housekeeping", tuple(random_channel(rng, known, margin) for known in chosen))


def _spaced(
    rng: random.Random,
    low: int,
    high: int,
    places: int,
    count: int,
    gap: Decimal | None,
    away: tuple[Decimal, ...] = (),
) -> list[Decimal]:
    """Return `count` values between low and high (in units of the last place), `gap` apart and away from `away`."""
    step = Decimal(1).scaleb(-places)
    values: list[Decimal] = []
    while len(values) < count:
        value = rng.randint(low, high) * step
        least = gap if gap is not None else step
        if all(abs(value - other) >= least for other in (*values, *away)):
            values.append(value)
    return values


def _labels(rng: random.Random, letter: str, count: int, held_out: bool | None) -> list[str]:
    names: list[str] = []
    # In training some scenes hold labels that are easily mistaken for each other, such as V6, V63, V36, V66.
    digits = rng.sample("123456789", 3) if held_out is False and rng.random() < 0.3 else None
    while len(names) < count:
        number = "".join(rng.choices(digits, k=rng.choice((1, 2, 2, 2)))) if digits else str(rng.randint(1, 99))
        name = f"{letter}{number}"
        if name not in names and not (held_out is False and is_held_out(name)):
            names.append(name)
    return names


def district_name(rng: random.Random) -> str:
    """Return an invented district name of two or three syllables."""
    syllables = "".join(rng.choice(_STARTS) + rng.choice(_VOWELS) for _ in range(rng.choice((1, 2))))
    return (syllables + rng.choice(_STARTS) + rng.choice(_VOWELS) + rng.choice(_ENDS)).capitalize()


def _districts(rng: random.Random, count: int, held_out: bool | None) -> list[str]:
    names: list[str] = []
    while len(names) < count:
        name = district_name(rng)
        # Names that begin alike are confused by a small model; within a scene the first two letters differ.
        fresh = all(name[:2] != other[:2] for other in names)
        if fresh and not (held_out is False and is_held_out(name)):
            names.append(name)
    return names


def _position(rng: random.Random) -> str:
    latitude, longitude = rng.randint(0, 6999), rng.randint(0, 17999)
    north, east = rng.choice("NS"), rng.choice("EW")
    return f"{latitude // 100}.{latitude % 100:02d}{north} {longitude // 100}.{longitude % 100:02d}{east}"


def _vessels(rng: random.Random, count: int, margin: bool, held_out: bool | None) -> Scene:
    names = _labels(rng, "V", count, held_out)
    speeds = _spaced(rng, 2, 299, 1, count, MARGINS["speed"] if margin else None)
    lengths = _spaced(rng, 20, 399, 0, count, MARGINS["length"] if margin else None)
    share = rng.choice((0.2, 0.4, 0.6))
    items = tuple(
        Vessel(
            name, "OFF" if rng.random() < share else "ON", _position(rng), f"{rng.randint(0, 359):03d}", speed, length
        )
        for name, speed, length in zip(names, speeds, lengths, strict=True)
    )
    return Scene("vessels", items)


def _floods(rng: random.Random, count: int, margin: bool, held_out: bool | None) -> Scene:
    gap = MARGINS["area"] if margin else None
    limit = rng.randint(60, 600) * Decimal("0.1")
    high = rng.choice((999, int(limit * 20), int(limit * 20)))
    areas = _spaced(rng, 4, max(high, 300), 1, count, gap, (limit,))
    names = _districts(rng, count, held_out)
    return Scene("floods", tuple(Flood(n, a) for n, a in zip(names, areas, strict=True)), limit)


def _crops(rng: random.Random, count: int, margin: bool, held_out: bool | None) -> Scene:
    limit = rng.randint(30, 70) * Decimal("0.01")
    values = _spaced(rng, 8, 92, 2, count, MARGINS["ndvi"] if margin else None, (limit,))
    names = _labels(rng, "F", count, held_out)
    items: tuple[Item, ...] = tuple(Field(n, rng.choice(CROPS), v) for n, v in zip(names, values, strict=True))
    return Scene("crops", items, limit)


def _fires(rng: random.Random, count: int, margin: bool, held_out: bool | None) -> Scene:
    powers = _spaced(rng, 4, rng.choice((199, 599, 599)), 0, count, MARGINS["power"] if margin else None)
    names = _labels(rng, "H", count, held_out)
    share = rng.choice((0.25, 0.5))
    return Scene(
        "fires",
        tuple(
            Fire(n, _position(rng), p, "high" if rng.random() < share else rng.choice(("low", "mid")))
            for n, p in zip(names, powers, strict=True)
        ),
    )


def random_channel(rng: random.Random, kind: ChannelKind, margin: bool = True) -> Channel:
    """Return a channel with limits near the usual ones and a value inside (65 %), below or above them."""
    span = kind.high - kind.low
    low = round(kind.low + rng.uniform(-0.1, 0.1) * span) if kind.low else 0
    low = max(low, 0) if kind.low >= 0 else low
    high = max(round(kind.high + rng.uniform(-0.15, 0.15) * span), low + 2)
    high = min(high, 95) if kind.unit == "%" else high
    least = 0.04 * (high - low) if margin else 0.0
    places = kind.decimals if rng.random() < 0.9 else 1 - kind.decimals
    step = 10.0**-places
    reach = max(0.35 * (high - low), 3 * step)
    side = rng.random()
    # A count or a share is never below zero, so such a channel with a low limit of zero cannot be LOW.
    floor = 0.0 if kind.low >= 0 else -99.0
    can_be_low = low - least - step >= floor
    if side < 0.175 and can_be_low:
        value = rng.uniform(max(low - reach, floor), low - least - step)
    elif side < 0.35:
        value = rng.uniform(high + least + step, high + reach + least + step)
    else:
        # Nothing lies below a low limit of zero, so values next to it are no close call: an idle board has many.
        nearest = low + (least if can_be_low else 0.0)
        value = rng.uniform(nearest, high - least if rng.random() < 0.75 else low + 0.2 * (high - low))
    if kind.unit == "%":
        value = min(value, 100.0)
    now = Decimal(round(value / step)).scaleb(-places)
    return Channel(kind.name, Decimal(low), Decimal(high), now)
