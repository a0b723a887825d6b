"""The mission as a figure: wrong answers per million, and failures per day, over upset rates. All of it is derived."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from hil.campaign.interval import percent_up
from hil.campaign.mission import CITED, RELOAD_DAYS, saa_wave

Where = tuple[Literal["-", ":"], str]

_UPSETS: Final = ("#777777", "upsets of the model")
_BARE: Final = ("#c2410c", f"bare, loaded every {24 * RELOAD_DAYS:g} h")
_PROTECTED: Final = ("#2166ac", "protected: upper bound")
_MEAN: Final[Where] = ("-", "weighted over the orbit")
_SAA: Final[Where] = (":", "within the SAA")


@dataclass(frozen=True)
class Curve:
    """A value of the points, whose it is (colour, label), where (style, label), and the ends of its interval."""

    name: str
    whose: tuple[str, str]
    where: Where = _MEAN
    ends: tuple[str, str] | None = None


WRONG: Final = (
    Curve("bare_wrong", _BARE, ends=("bare_wrong_low", "bare_wrong_high")),
    Curve("protected_bound", _PROTECTED),
    Curve("protected_bound_saa", _PROTECTED, _SAA),
)
FAILURES: Final = (
    Curve("upsets_per_day", _UPSETS),
    Curve("bare_failures_per_day", _BARE, ends=("bare_failures_per_day_low", "bare_failures_per_day_high")),
    Curve("bare_failures_per_day_saa", _BARE, _SAA),
    Curve("protected_failures_per_day_bound", _PROTECTED),
    Curve("protected_failures_per_day_bound_saa", _PROTECTED, _SAA),
)


def caption(found: dict[str, Any]) -> str:
    """What the figure rests on, from the values of the mission in a summary."""
    inside, peak, _ = saa_wave()
    parts = [
        "The mission (derived: shares measured, upset rates cited, formulas in hil/campaign/mission.py).",
        "A failure is an upset after which a wrong answer is given unflagged.",
        f"Bare: so after {_of(found['bare'])} uniform upsets, which stand until the model is loaded again.",
    ]
    if (protected := found["protected"]) is not None:
        parts.append(
            f"Protected: after {_of(protected)}, so the curves are bounds, made of the upper end of the 95 % interval "
            f"(≤ {percent_up(protected['high'])}), with an upset found within {found['window_s']:.2g} s."
        )
    parts.append(
        f"Within the SAA are {100 * inside:.0f} % of the time and, by a square wave, {100 * inside * peak:.0f} % of "
        "the upsets: dotted, failures per day at the pace there. Bare answers are wrong there as often as elsewhere, "
        "since flips of many orbits stand."
    )
    return " ".join(parts)


def draw_mission(figure: Any, found: dict[str, Any], model: str) -> bool:
    """Draw it; `found` is the mission of a summary."""
    shielded = found["protected"] is not None
    for axes, words, curves in zip(
        figure.subplots(1, 2), ("wrong answers per million", "failures per day"), (WRONG, FAILURES), strict=True
    ):
        for curve in curves:
            if shielded or curve.whose != _PROTECTED:
                _draw(axes, found["points"], curve)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("upsets per bit and day (orbit mean)")
        axes.set_ylabel(words)
        _cite(axes)
    _explain(figure, [whose for whose in (_UPSETS, _BARE, _PROTECTED) if shielded or whose != _PROTECTED])
    figure.suptitle(f"{model}, {found['bits'] / 8e6:.1f} MB: shares measured, rates cited, joined by formula")
    return True


def _draw(axes: Any, points: list[dict[str, Any]], curve: Curve) -> None:
    rates = [point["rate"] for point in points]
    axes.plot(rates, [point[curve.name] for point in points], curve.where[0], color=curve.whose[0])
    if curve.ends:
        low, high = ([point[end] for point in points] for end in curve.ends)
        axes.fill_between(rates, low, high, color=curve.whose[0], alpha=0.25, linewidth=0)


def _cite(axes: Any) -> None:
    """The cited rates, named above the panel, where no curve is."""
    for rate, name in CITED:
        axes.axvline(rate, color="#999999", linewidth=0.7, linestyle="--")
        axes.annotate(
            name, (rate, 1), xycoords=axes.get_xaxis_transform(), xytext=(-3, 3), textcoords="offset points",
            rotation=25, fontsize=8, va="bottom", ha="left", color="#555555",
        )  # fmt: skip


def _explain(figure: Any, drawn: list[tuple[str, str]]) -> None:
    """One legend for both panels: colours say whose, styles where."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour, label=label) for colour, label in drawn]
    lines += [Line2D([], [], color="black", linestyle=style, label=label) for style, label in (_MEAN, _SAA)]
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), fontsize=8, frameon=False)


def _of(interval: dict[str, Any]) -> str:
    return f"{interval['hits']:,} of {interval['trials']:,}"
