"""The one right answer to each question about a scene, by task.

Lists, limit checks and extremes are answered as a scan: every item is copied beside what it is compared with and
judged, with a running count, before the conclusion. A small model needs these steps, and a reader can check them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from models.channels import BY_NAME
from models.scenes import Channel, Field, Fire, Flood, Item, Scene, Vessel


@dataclass(frozen=True)
class Answer:
    """An answer and the strings in it that carry its facts, in order."""

    text: str
    facts: tuple[str, ...]


ItemRule = Callable[[Scene, Item], Answer]
SceneRule = Callable[[Scene], Answer]


def not_there(name: str) -> Answer:
    """Return the answer for an item that the scene does not hold."""
    return Answer(f"{name} is not in the scene.", (name, "not in"))


def action_for(channel: Channel) -> str | None:
    """Return what to do about a channel out of limits, or None when it is within them."""
    state = channel.state()
    known = BY_NAME.get(channel.name)
    if state == "OK" or known is None:
        return None
    return known.when_low if state == "LOW" else known.when_high


def with_unit(channel: Channel) -> str:
    """Return the value now with the unit of the channel."""
    known = BY_NAME.get(channel.name)
    return f"{channel.now} {known.unit}" if known and known.unit else str(channel.now)


def listing(steps: Sequence[tuple[str, bool]], title: str) -> Answer:
    """Return a scan of `steps` (text, hit), with a running count, closed by the title, the count and the names hit."""
    parts, hits = [], []
    for text, hit in steps:
        if hit:
            hits.append(text.split(" ", 1)[0])
        parts.append(f"{text} {len(hits)}" if hit else text)
    total = f"{title} {len(hits)}: {', '.join(hits)}." if hits else f"{title} 0."
    return Answer(f"{'; '.join(parts)}. {total}", (total,))


def extreme(values: Sequence[tuple[str, Decimal]], title: str, unit: str, lowest: bool) -> Answer:
    """Return a scan in which every value is compared with the best so far, closed by the best."""
    best_name, best = values[0]
    parts = [f"{best_name} {best} top"]
    for name, value in values[1:]:
        better = value < best if lowest else value > best
        # First the bare comparison, the same for all tasks, then what it means for this one: two small steps.
        side = "above" if value > best else "below"
        parts.append(f"{name} {value} vs {best} {side} {'top' if better else 'no'}")
        if better:
            best_name, best = name, value
    end = f"{title} {best_name}, {best}{' ' + unit if unit else ''}."
    return Answer(f"{'; '.join(parts)}. {end}", (end,))


def counted(names: Sequence[str], what: str) -> Answer:
    """Return the names counted one by one, closed by the total."""
    parts = [f"{name} {number}" for number, name in enumerate(names, 1)]
    end = f"{what} {len(names)}."
    return Answer(f"{'; '.join(parts)}. {end}", (end, *names))


def _vessel(item: Item) -> Vessel:
    assert isinstance(item, Vessel)
    return item


def _flood(item: Item) -> Flood:
    assert isinstance(item, Flood)
    return item


def _field(item: Item) -> Field:
    assert isinstance(item, Field)
    return item


def _fire(item: Item) -> Fire:
    assert isinstance(item, Fire)
    return item


def _channel(item: Item) -> Channel:
    assert isinstance(item, Channel)
    return item


def _fact(text: str, *facts: str) -> Answer:
    return Answer(text, facts)


def _vessel_ais(scene: Scene, item: Item) -> Answer:
    vessel = _vessel(item)
    word = "dark" if vessel.ais == "OFF" else "not dark"
    return _fact(f"{item.name} AIS is {vessel.ais}: it is {word}.", f"AIS is {vessel.ais}")


def _flood_check(scene: Scene, item: Item) -> Answer:
    area, above = _flood(item).area, _flood(item).area > (scene.limit or 0)
    verdict = f"{item.name} is in alert." if above else f"{item.name} is not in alert."
    return _fact(f"{item.name} {area} lim {scene.limit} {'ABOVE' if above else 'below'}. {verdict}", str(area), verdict)


def _crop_check(scene: Scene, item: Item) -> Answer:
    ndvi, stressed = _field(item).ndvi, _field(item).ndvi < (scene.limit or 0)
    verdict = f"{item.name} is stressed." if stressed else f"{item.name} is not stressed."
    return _fact(
        f"{item.name} {ndvi} lim {scene.limit} {'BELOW' if stressed else 'above'}. {verdict}", str(ndvi), verdict
    )


def _check_text(channel: Channel) -> str:
    return f"{channel.name} {channel.now} lim {channel.low} to {channel.high} {channel.state()}"


def _channel_check(scene: Scene, item: Item) -> Answer:
    channel = _channel(item)
    action = action_for(channel)
    verdict = f"Action: {action}." if action else "No action."
    return _fact(f"{_check_text(channel)}. {verdict}", f"{channel.now}", channel.state(), verdict)


def _violations(scene: Scene) -> Answer:
    channels = [_channel(item) for item in scene.items]
    answer = listing([(_check_text(c), c.state() != "OK") for c in channels], "Out")
    actions = [f"{c.name} {action}" for c in channels if (action := action_for(c))]
    if not actions:
        return answer
    end = f"Action: {'; '.join(actions)}."
    return Answer(f"{answer.text} {end}", (*answer.facts, end))


def _vessel_report(scene: Scene) -> Answer:
    vessels = [_vessel(item) for item in scene.items]
    return listing([(f"{v.name} {v.speed} kn AIS {v.ais}", v.ais == "OFF") for v in vessels], "Dark")


def _fire_report(scene: Scene) -> Answer:
    fires = [_fire(item) for item in scene.items]
    return listing([(f"{f.name} {f.power} MW {f.confidence}", f.confidence == "high") for f in fires], "High")


ITEM_RULES: dict[str, ItemRule] = {
    "vessels.speed": lambda s, i: _fact(f"{i.name} makes {_vessel(i).speed} kn.", f"{_vessel(i).speed} kn"),
    "vessels.position": lambda s, i: _fact(f"{i.name} is at {_vessel(i).position}.", _vessel(i).position),
    "vessels.heading": lambda s, i: _fact(f"{i.name} heads {_vessel(i).heading} deg.", _vessel(i).heading),
    "vessels.length": lambda s, i: _fact(f"{i.name} is {_vessel(i).length} m long.", f"{_vessel(i).length} m"),
    "vessels.ais": _vessel_ais,
    "floods.area": lambda s, i: _fact(f"{i.name} has {_flood(i).area} km2 flooded.", f"{_flood(i).area} km2"),
    "floods.check": _flood_check,
    "crops.ndvi": lambda s, i: _fact(f"{i.name} has NDVI {_field(i).ndvi}.", str(_field(i).ndvi)),
    "crops.crop": lambda s, i: _fact(f"{i.name} grows {_field(i).crop}.", _field(i).crop),
    "crops.check": _crop_check,
    "fires.power": lambda s, i: _fact(f"{i.name} radiates {_fire(i).power} MW.", f"{_fire(i).power} MW"),
    "fires.position": lambda s, i: _fact(f"{i.name} is at {_fire(i).position}.", _fire(i).position),
    "fires.confidence": lambda s, i: _fact(f"{i.name} has {_fire(i).confidence} confidence.", _fire(i).confidence),
    "housekeeping.value": lambda s, i: _fact(f"{i.name} is {with_unit(_channel(i))}.", with_unit(_channel(i))),
    "housekeeping.limits": lambda s, i: _fact(
        f"{i.name} may be {_channel(i).low} to {_channel(i).high}.", f"{_channel(i).low} to {_channel(i).high}"
    ),
    "housekeeping.check": _channel_check,
}
"""Tasks about one item. `any.show` holds for every kind and is not listed here."""

SCENE_RULES: dict[str, SceneRule] = {
    "vessels.dark": lambda s: listing(
        [(f"{v.name} {_vessel(v).ais}", _vessel(v).ais == "OFF") for v in s.items], "Dark"
    ),
    "vessels.fastest": lambda s: extreme([(v.name, _vessel(v).speed) for v in s.items], "Fastest", "kn", False),
    "vessels.slowest": lambda s: extreme([(v.name, _vessel(v).speed) for v in s.items], "Slowest", "kn", True),
    "vessels.longest": lambda s: extreme([(v.name, _vessel(v).length) for v in s.items], "Longest", "m", False),
    "vessels.count": lambda s: counted(s.names, "Vessels"),
    "vessels.report": _vessel_report,
    "floods.over": lambda s: listing(
        [
            (
                f"{f.name} {_flood(f).area} lim {s.limit} {'ABOVE' if _flood(f).area > (s.limit or 0) else 'below'}",
                _flood(f).area > (s.limit or 0),
            )
            for f in s.items
        ],
        "In alert",
    ),
    "floods.worst": lambda s: extreme([(f.name, _flood(f).area) for f in s.items], "Worst", "km2", False),
    "floods.least": lambda s: extreme([(f.name, _flood(f).area) for f in s.items], "Least", "km2", True),
    "floods.count": lambda s: counted(s.names, "Districts"),
    "floods.limit": lambda s: _fact(f"The alert level is {s.limit} km2.", f"{s.limit} km2"),
    "crops.stressed": lambda s: listing(
        [
            (
                f"{f.name} {_field(f).ndvi} lim {s.limit} {'BELOW' if _field(f).ndvi < (s.limit or 0) else 'above'}",
                _field(f).ndvi < (s.limit or 0),
            )
            for f in s.items
        ],
        "Stressed",
    ),
    "crops.worst": lambda s: extreme([(f.name, _field(f).ndvi) for f in s.items], "Lowest", "", True),
    "crops.best": lambda s: extreme([(f.name, _field(f).ndvi) for f in s.items], "Highest", "", False),
    "crops.count": lambda s: counted(s.names, "Fields"),
    "crops.limit": lambda s: _fact(f"The stress limit is NDVI {s.limit}.", f"NDVI {s.limit}"),
    "fires.high": lambda s: listing(
        [(f"{f.name} {_fire(f).confidence}", _fire(f).confidence == "high") for f in s.items], "High confidence"
    ),
    "fires.strongest": lambda s: extreme([(f.name, _fire(f).power) for f in s.items], "Strongest", "MW", False),
    "fires.weakest": lambda s: extreme([(f.name, _fire(f).power) for f in s.items], "Weakest", "MW", True),
    "fires.count": lambda s: counted(s.names, "Fires"),
    "fires.report": _fire_report,
    "housekeeping.violations": _violations,
    "housekeeping.count": lambda s: counted(s.names, "Channels"),
}
"""Tasks about a whole scene. `any.repeat` holds for every kind and is not listed here."""


def tasks_of(kind: str) -> tuple[str, ...]:
    """Return the tasks that a kind of scene can be asked, those for any scene last."""
    own = [task for task in (*ITEM_RULES, *SCENE_RULES) if task.startswith(f"{kind}.")]
    return (*own, "any.show", "any.repeat")


def is_item_task(task: str) -> bool:
    """Return whether a task asks about one item."""
    return task in ITEM_RULES or task == "any.show"


def answer_item(task: str, scene: Scene, name: str) -> Answer:
    """Return the answer to a task about the item `name`, which may be absent."""
    for item in scene.items:
        if item.name == name:
            if task == "any.show":
                return Answer(item.line(), (item.line(),))
            return ITEM_RULES[task](scene, item)
    return not_there(name)


def answer_scene(task: str, scene: Scene) -> Answer:
    """Return the answer to a task about the whole scene."""
    if task == "any.repeat":
        return Answer(scene.text, (scene.text,))
    return SCENE_RULES[task](scene)
