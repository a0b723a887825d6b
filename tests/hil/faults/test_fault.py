"""A fault is a value: drawn by a seed, read as a sentence, stored as JSON, and the same bits again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.errors import FaultError
from hil.faults import Fault, Instant, Subject, Victim, draw, inject, target_of
from hil.faults.places import BitPlace
from hil.faults.targets import target_names
from hil.faults.weights import labels
from models import cadet_path

ANSWERED = Subject(cadet_path(), prompt=(5, 6, 7, 8), tokens=tuple(range(40)), text="a text", seconds=0.5)


@given(
    st.sampled_from(target_names()), st.integers(0, 2**32), st.sampled_from(["now", "token", "token..done", "final"])
)
@settings(max_examples=120, deadline=None)
def test_a_fault_of_any_target_survives_json_and_is_drawn_again_by_its_seed(target: str, seed: int, at: str) -> None:
    fault = draw(target, ANSWERED, seed=seed, at=at)
    assert Fault.from_json(fault.to_json()) == fault
    assert draw(target, ANSWERED, seed=seed, at=at) == fault
    assert fault.target in str(fault)
    assert str(fault.place) in str(fault)


@pytest.mark.parametrize("model", ["single", "multi", "upset", "two", "page", "row", "stuck", "poisson:rate=1e-6"])
def test_weights_are_changed_as_told_the_same_by_its_json_and_undone(
    model: str, image: Path, bare_subject: Subject
) -> None:
    right = image.read_bytes()
    fault = draw("weights", bare_subject, seed=11, model=model)
    first = inject(fault, Victim(bare_subject, image=image))
    damaged = image.read_bytes()
    told = {change.offset: (change.before, change.after) for change in first.changed}
    differ = np.flatnonzero(np.frombuffer(right, np.uint8) != np.frombuffer(damaged, np.uint8)).tolist()
    found = {offset: (right[offset], damaged[offset]) for offset in differ}
    assert told == found
    first.undo()
    assert image.read_bytes() == right
    again = inject(Fault.from_json(fault.to_json()), Victim(bare_subject, image=image))
    assert again.changed == first.changed
    assert image.read_bytes() == damaged or model == "stuck"
    again.undo()
    assert image.read_bytes() == right


@pytest.mark.parametrize(
    ("where", "label", "value"),
    [
        ({"roles": ["scale"]}, "role", "scale"),
        ({"fields": "qs"}, "field", "qs"),
        ({"types": ["F32"]}, "type", "F32"),
        ({"tensors": ["blk.*.ffn_up.weight"]}, "kind", "ffn_up"),
        ({"layers": [2]}, "layer", "2"),
        ({"roles": ["scale"], "bits": [14]}, "bit", "14"),
    ],
)
def test_weights_are_chosen_by_what_they_are(
    where: dict[str, Any], label: str, value: str, image: Path, bare_subject: Subject
) -> None:
    for seed in range(20):
        made = inject(draw("weights", bare_subject, seed=seed, where=where), Victim(bare_subject, image=image))
        assert made.labels[label] == value
        assert len(made.flips) == 1
        assert made.changed[0].what == str(made.fault.place)


def test_uniform_weights_are_uniform(bare_subject: Subject) -> None:
    """Each tenth of the file gets its tenth of 3,000 flips, to five standard errors."""
    size = bare_subject.info.file_bytes
    counts = [0] * 10
    for seed in range(3000):
        place = draw("weights", bare_subject, seed=seed).to_dict()["place"]
        counts[place["offset"] * 10 // size] += 1
    assert all(abs(count - 300) < 5 * 17 for count in counts)


def test_a_burst_that_begins_before_the_tensors_and_reaches_them_is_called_by_what_it_reaches(
    image: Path, bare_subject: Subject
) -> None:
    """It can act on answers, which is what a campaign asks the label for; one that stays in the header cannot."""
    first = min(tensor.offset for tensor in bare_subject.info.tensors)
    page = {"name": "page", "page_bytes": 4096}
    for offset, named in ((first - 100, True), (first - 20_000, False)):
        fault = Fault.from_dict({"target": "weights", "place": {"offset": offset, "bit": 0}, "model": page, "seed": 5})
        made = inject(fault, Victim(bare_subject, image=image))
        touched = any(one.offset >= first for one in made.changed)
        assert touched == bool(made.labels["tensor"]) == named
        assert named or made.labels == labels(bare_subject.map.place(offset, 0))
        made.undo()


def test_a_burst_that_begins_in_a_tensor_is_called_by_the_bit_that_was_drawn(
    image: Path, bare_subject: Subject
) -> None:
    """Not by the first of its page: a stratum of scales is one of scales in the table, too."""
    for seed in range(5):
        fault = draw("weights", bare_subject, seed=seed, where={"roles": ["scale"], "bits": [14]}, model="page")
        made = inject(fault, Victim(bare_subject, image=image))
        assert (made.labels["role"], made.labels["bit"]) == ("scale", "14")
        made.undo()


def test_upsets_that_pass_their_place_by_are_called_by_what_they_hit(image: Path, bare_subject: Subject) -> None:
    """Poisson upsets fall anywhere: the place drawn for them, here of a tensor, says nothing of what they change."""
    tensors = bare_subject.info.tensors
    first, size = min(tensor.offset for tensor in tensors), bare_subject.info.file_bytes
    values = {
        "target": "weights",
        "place": {"offset": max(tensor.offset for tensor in tensors), "bit": 0},
        "model": {"name": "poisson", "rate": 4e-8, "days": 1.0},
    }
    faults = [Fault.from_dict({**values, "seed": seed}) for seed in range(2000)]
    hits = [[one.offset for one in fault.model.strike((0, 0), size, fault.rng("model"))] for fault in faults]
    header = next(fault for fault, hit in zip(faults, hits, strict=True) if hit and max(hit) < first)
    both = next(fault for fault, hit in zip(faults, hits, strict=True) if hit and min(hit) < first <= max(hit))
    for fault, named in ((header, False), (both, True)):
        made = inject(fault, Victim(bare_subject, image=image))
        assert bool(made.labels["tensor"]) == named
        assert made.labels["field"] != "header" if named else made.labels["field"] == "header"
        made.undo()


def test_a_repair_is_not_undone(image: Path, bare_subject: Subject) -> None:
    right = image.read_bytes()
    made = inject(draw("weights", bare_subject, seed=1), Victim(bare_subject, image=image))
    image.write_bytes(right)
    made.undo()
    assert image.read_bytes() == right


def test_only_its_own_bits_are_taken_back(image: Path, bare_subject: Subject) -> None:
    made = inject(draw("weights", bare_subject, seed=1, model="page"), Victim(bare_subject, image=image))
    change = made.changed[7]
    other = next(1 << bit for bit in range(8) if bit not in change.bits)
    with image.open("r+b") as file:
        file.seek(change.offset)
        file.write(bytes([change.after ^ other]))
    made.undo()
    right = bytearray(bare_subject.model.read_bytes())
    right[change.offset] ^= other
    assert image.read_bytes() == bytes(right)


def test_a_stuck_bit_comes_back_until_it_is_taken_away(image: Path, bare_subject: Subject) -> None:
    right = image.read_bytes()
    for value in (0, 1):
        fault = draw("weights", bare_subject, seed=5, model=f"stuck:value={value}")
        made = inject(fault, Victim(bare_subject, image=image))
        if made.changed:
            break
    offset, after = made.changed[0].offset, made.changed[0].after
    with image.open("r+b") as file:
        file.seek(offset)
        file.write(right[offset : offset + 1])
    deadline = 2000
    while image.read_bytes()[offset] != after:
        deadline -= 1
        assert deadline, "the bit stays repaired"
    made.undo()
    assert image.read_bytes() == right


@pytest.mark.parametrize("target", ["codes", "parity"])
def test_what_guards_the_image_is_damaged_in_its_file(target: str, tmp_path: Path, bare_subject: Subject) -> None:
    path = tmp_path / target
    path.write_bytes(bytes(5000))
    victim = Victim(bare_subject, **{target: path})
    made = inject(draw(target, bare_subject, seed=3, model="two"), victim)
    assert sum(byte.bit_count() for byte in path.read_bytes()) == 2 == len(made.flips)
    made.undo()
    assert path.read_bytes() == bytes(5000)
    with pytest.raises(FaultError, match=f"no {target} to damage"):
        inject(made.fault, Victim(bare_subject))
    path.write_bytes(b"")
    with pytest.raises(FaultError, match=f"{target} has 0 bytes: there is no byte 0 to damage"):
        inject(made.fault, victim)


def test_what_is_no_fault_is_refused_in_a_sentence(bare_subject: Subject) -> None:
    for text in ("", "[1]", '{"target": "weights"}', '{"target": "weights", "place": {"offset": -1}}', '{"x": 1}'):
        with pytest.raises(FaultError, match="This is no fault"):
            Fault.from_json(text)
    with pytest.raises(FaultError, match="no target 'moon'; there are"):
        target_of("moon")
    with pytest.raises(FaultError, match="no instant 'noon'"):
        Instant("noon")
    with pytest.raises(FaultError, match="not chosen by 'colour'"):
        draw("weights", bare_subject, seed=1, where={"colour": "red"})
    with pytest.raises(FaultError, match="Nothing in cadet"):
        draw("weights", bare_subject, seed=1, where={"tensors": ["none"]})


@pytest.mark.parametrize(
    ("target", "where", "said"),
    [
        (
            "clock",
            {"steps": float("nan")},
            "clock has no such place: step_s: Input should be a finite number, found nan",
        ),
        ("link", {"frames": -1}, "link has no such place: frame: Input should be greater .* found -1"),
        ("kv", {"cells": [-1]}, "kv has no such place: cell: "),
        ("compute", {"tensors": []}, "compute has no such place: IndexError: "),
        ("weights", {"tensors": 5}, "weights has no such place: TypeError: "),
        ("registers", {"process": 5}, "registers has no such place: process: Input should be a valid string, found 5"),
    ],
)
def test_a_value_that_no_place_of_the_target_can_have_is_refused_in_one_sentence(
    target: str, where: dict[str, Any], said: str, bare_subject: Subject
) -> None:
    with pytest.raises(FaultError, match=said) as caught:
        draw(target, bare_subject, seed=1, where=where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"target": "weights", "place": {"offset": 1, "bit": 9}}', "no fault: bit: Input should be .* found 9"),
        ('{"target": "weights", "place": {"bit": 1}}', "no fault: offset: Field required"),
        (
            '{"target": "weights", "place": {"offset": 1}, "model": {"name": "stuck", "value": 7}}',
            "model stuck does not take {'value': 7}: value: Input should be .* found 7",
        ),
    ],
)
def test_of_json_that_is_no_fault_the_first_mistake_is_told_in_one_sentence(text: str, said: str) -> None:
    with pytest.raises(FaultError, match=said) as caught:
        Fault.from_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("target", "where", "said"),
    [
        ("storage", {"files": "jurnal"}, "no 'jurnal' among files; there are model, manifest"),
        ("storage", {"files": "all", "kinds": "flip"}, "no 'all' among files"),
        ("storage", {"kinds": ["flip", "nope"]}, "no 'nope' among kinds; there are flip, torn, .*, read-error, full"),
        ("crash", {"signals": ["SIGKILL", "SIGTERM"]}, "no 'SIGTERM' among signals of crash; there are SIGKILL, "),
        ("crash", {"signals": "SIGSTOP"}, "no 'SIGSTOP' among signals of crash; there are SIGKILL, "),
        ("hang", {"signals": "SIGKILL"}, "no 'SIGKILL' among signals of hang; there are SIGSTOP"),
        ("link", {"direction": ["up", "sideways"]}, "no 'sideways' among direction; there are up, down"),
        ("link", {"kinds": "torn"}, "no 'torn' among kinds; there are flip, lost"),
        ("process", {"regions": ["heap", "nope"]}, "no 'nope' among regions; there are heap, .* tokens"),
        ("process", {"regions": "tensors", "fields": "nope"}, "no 'nope' among fields; there are "),
        ("process", {"regions": "tokens", "items": "nope"}, "no 'nope' among items; there are ids of prompt, "),
        ("registers", {"registers": ["nope"]}, "no 'nope' among registers; there are "),
        ("kv", {"process": "core"}, "no 'core' among process; there are engine, verifier"),
        ("kv", {"parts": ["k", "q"]}, "no 'q' among parts; there are k, v"),
        ("kv", {"cells": "nope"}, "no 'nope' among cells; there are prompt, answer, all"),
        ("kv", {"layers": [1, 40]}, "no 40 among layers; there are 0 to "),
        ("kv", {"bits": 16}, "no 16 among bits; there are 0 to 15"),
        ("compute", {"tensors": ["ffn_out", "ffn_down"]}, "no 'ffn_down' among tensors; there are attn_norm"),
        ("compute", {"tensors": "ffn_out", "layers": -1}, "no -1 among layers"),
        ("compute", {"bits": [3, 40]}, "no 40 among bits; there are 0 to 31"),
        ("compute", {"process": "core"}, "no 'core' among process; there are engine, verifier"),
    ],
)
def test_a_place_that_is_nowhere_is_refused_whichever_is_drawn(
    target: str, where: dict[str, Any], said: str, bare_subject: Subject
) -> None:
    """Not only by the chance that draws it: a campaign would lose those rows and look as if it had none to show."""
    for seed in range(8):
        with pytest.raises(FaultError, match=said):
            draw(target, bare_subject, seed=seed, where=where)


def test_of_the_model_only_tensors_are_in_the_graph(image: Path, bare_subject: Subject) -> None:
    """Header and padding are never computed with."""
    first = min(tensor.offset for tensor in bare_subject.info.tensors)
    victim = Victim(bare_subject, image)
    assert not inject(Fault("weights", BitPlace(offset=100)), victim).in_graph
    assert inject(Fault("weights", BitPlace(offset=first)), victim).in_graph
