"""Faults in real processes: their memory, their registers, their life."""

from __future__ import annotations

import mmap
import os
import platform
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flight.inference.errors import PeerClosed
from hil.errors import FaultError
from hil.faults import Fault, Instant, Subject, Victim, draw, inject
from hil.faults.ggml import FIELDS, tensors_named
from hil.faults.memory import ProcessMemory
from hil.faults.places import ProcessPlace, RegisterPlace, SignalPlace
from hil.faults.process import mappings, resident, search
from hil.faults.process_memory import vocabulary
from hil.faults.ptrace import Stopped
from hil.faults.registers import LAYOUTS
from tests.hil.faults.conftest import LiveEngine

pytestmark = pytest.mark.slow

Child = Callable[..., subprocess.Popen[bytes]]

KEEPER = """
import sys
held = ("a text that is " + "here only").encode()
print("ready", flush=True)
sys.stdin.readline()
print(held.decode("latin-1"), flush=True)
"""
SPINNER = """
print("ready", flush=True)
while True:
    pass
"""


def answer(process: subprocess.Popen[bytes]) -> bytes:
    """What a keeper says it holds."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    return process.stdout.readline()


def victim(subject: Subject, process: subprocess.Popen[bytes]) -> Victim:
    return Victim(subject, pids={"engine": process.pid})


def test_a_flip_in_memory_is_what_the_process_reads(child: Child) -> None:
    process = child(KEEPER)
    found = [address for address, _ in search(process.pid, b"a text that is here only")]
    assert found
    for address in found:
        text = ProcessMemory(process.pid, address, 24, "text")
        text.write(0, bytes([text.read(0, 1)[0] ^ 2]))
    assert answer(process) == b"c text that is here only\n"


@pytest.mark.parametrize("region", ["heap", "stack", "data", "code"])
def test_uniform_flips_hit_memory_that_exists_and_are_undone(region: str, child: Child, bare_subject: Subject) -> None:
    process = child(KEEPER)
    before = {(one.start, one.mode) for one in mappings(process.pid)}
    for seed in range(10):
        fault = draw("process", bare_subject, seed=seed, where={"regions": region, "process": "engine"})
        made = inject(fault, victim(bare_subject, process))
        assert len(made.flips) == 1
        made.undo()
        assert inject(Fault.from_json(fault.to_json()), victim(bare_subject, process)).changed == made.changed
        made.undo()
    assert {(one.start, one.mode) for one in mappings(process.pid)} == before, "no page came into being"
    assert answer(process) == b"a text that is here only\n"


def test_address_space_that_was_never_touched_is_no_memory(child: Child) -> None:
    """A gigabyte that is only promised has no bits to flip: what is there is no more than the kernel counts (RSS)."""
    code = (
        "import mmap, sys\nroom = mmap.mmap(-1, 1 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\nroom[0] = 1\n" + KEEPER
    )
    process = child(code)
    spans = resident(process.pid, (one for one in mappings(process.pid) if one.private_data))
    there = sum(end - start for start, end in spans)
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    assert 0 < there <= pages * mmap.PAGESIZE < 1 << 28


def test_code_is_chosen_by_its_file(child: Child, bare_subject: Subject) -> None:
    process = child(KEEPER)
    where = {"regions": "code", "files": "*libc.so*", "process": "engine"}
    made = inject(draw("process", bare_subject, seed=1, where=where), victim(bare_subject, process))
    made.undo()
    nowhere = draw("process", bare_subject, seed=1, where={**where, "files": "*no-such-library*"})
    with pytest.raises(FaultError, match="has no code of"):
        inject(nowhere, victim(bare_subject, process))


def test_a_token_of_the_vocabulary_is_found_where_llama_cpp_keeps_it(engine: LiveEngine) -> None:
    """Whatever copy is hit, its bytes are the token's text, its length, or the address of it."""
    texts = vocabulary(engine.subject.model)
    token = next(number for number, text in enumerate(texts) if text.endswith(b"vessels"))
    copies = set()
    for nth in range(4):
        place = ProcessPlace(process="engine", region="vocabulary", item=f"token {token}", nth=nth, offset=0, bit=0)
        made = inject(Fault("process", place), engine.victim)
        made.undo()
        assert len(made.flips) == 1
        copies.add(made.changed[0].before)
    assert len(copies) >= 2, "the tables by id and by text, at the least"
    assert engine.run().text == engine.golden


@pytest.mark.parametrize("item", ["token 99999999", "token -1", "token", "", "nope"])
def test_a_token_that_the_vocabulary_has_not_is_refused(item: str, child: Child, bare_subject: Subject) -> None:
    place = ProcessPlace(process="engine", region="vocabulary", item=item, offset=0, bit=0)
    with pytest.raises(FaultError, match=f"no '{item}' in the vocabulary; there are token 0 to token "):
        inject(Fault("process", place), victim(bare_subject, child(KEEPER)))


@pytest.mark.parametrize("name", ["blk.1.ffn_up.weight", "cache_k_l0", "ffn_out-2"])
def test_the_structure_of_a_tensor_is_found_by_its_name(name: str, engine: LiveEngine) -> None:
    found = list(tensors_named(engine.victim.pid("engine"), name))
    assert found
    assert all(one.name == name and one.data for one in found)
    if name.startswith("blk"):
        info = next(one for one in engine.subject.info.tensors if one.name == name)
        assert any(one.ne[:2] == tuple(info.shape) for one in found)
        in_image = [one for one in mappings(engine.victim.pid("engine")) if one.path == str(engine.image)]
        assert any(m.start <= one.data < m.end for one in found for m in in_image), "the live one points into the image"


def test_a_pointer_to_weights_moved_changes_the_answer_or_ends_the_engine(image: Path) -> None:
    live = LiveEngine(image)
    try:
        place = ProcessPlace(
            process="engine", region="tensors", item="blk.1.ffn_up.weight", offset=FIELDS["data"][0] + 1, bit=4
        )
        for nth in range(len(list(tensors_named(live.victim.pid("engine"), place.item)))):
            fault = Fault("process", place.model_copy(update={"nth": nth}), at=Instant("token", token=3))
            try:
                hurt = live.run(fault).text != live.golden
            except PeerClosed:
                hurt = True
            if hurt:
                return
        pytest.fail("no copy of the pointer is used")
    finally:
        live.peer.close()


@pytest.mark.parametrize("items", ["text of prompt", "ids of prompt"])
def test_buffers_of_tokens_are_found_by_what_they_hold(items: str, engine: LiveEngine) -> None:
    """The injector's own search, with the ids that the vocabulary gives to the question's words."""
    texts = vocabulary(engine.subject.model)
    ids = {text: number for number, text in enumerate(texts)}
    words = ["Which", "Ġvessels", "Ġare", "Ġdark", "Ġin", "Ġthe", "Ġstrait", "?"]
    known = tuple(ids[word.encode()] for word in words if word.encode() in ids)
    engine.victim.subject = engine.subject.with_answer(known, (1, 2), "")
    fault = draw("process", engine.victim.subject, seed=2, where={"regions": "tokens", "items": items}, at="now")
    made = inject(fault, engine.victim)
    assert len(made.flips) == 1
    made.undo()
    engine.victim.subject = engine.subject


# ---- registers ------------------------------------------------------------------------------


def test_the_layouts_of_both_machines_fit_their_register_sets() -> None:
    """Sizes of struct user_regs_struct and user_fpregs_struct; of user_pt_regs and user_fpsimd_state (asm/ptrace.h)."""
    room = {"x86_64": {1: 27 * 8, 2: 512}, "aarch64": {1: 34 * 8, 2: 528}}
    for machine, layout in LAYOUTS.items():
        taken: set[tuple[int, int]] = set()
        for regset, first, size in layout.values():
            assert first + size <= room[machine][regset]
            bytes_ = {(regset, byte) for byte in range(first, first + size)}
            assert not taken & bytes_
            taken |= bytes_


def sleeps(process: subprocess.Popen[bytes]) -> None:
    """Wait until it waits for its input: then it changes no register by itself."""
    end = time.monotonic() + 30
    while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < end, "it never sleeps"
        time.sleep(0.001)


def test_a_register_of_a_running_process_is_flipped_and_flipped_back(child: Child, bare_subject: Subject) -> None:
    process = child(KEEPER)
    name, bit = ("rbx", 7) if platform.machine() == "x86_64" else ("x19", 7)
    _, first, size = LAYOUTS[platform.machine()][name]
    fault = Fault("registers", RegisterPlace(process="engine", name=name, bit=bit))
    values = []
    for _ in range(3):
        sleeps(process)
        with Stopped(process.pid) as thread:
            values.append(int.from_bytes(thread.get(1)[first : first + size], "little"))
        sleeps(process)
        assert inject(fault, victim(bare_subject, process)).flips == ("0:7",)
    assert [values[0] ^ values[1], values[0] ^ values[2]] == [1 << bit, 0]
    sleeps(process)
    inject(fault, victim(bare_subject, process))
    assert answer(process) == b"a text that is here only\n"


def test_a_damaged_program_counter_ends_a_process(child: Child, bare_subject: Subject) -> None:
    process = child(SPINNER)
    name = "rip" if platform.machine() == "x86_64" else "pc"
    inject(Fault("registers", RegisterPlace(process="engine", name=name, bit=45)), victim(bare_subject, process))
    assert process.wait(30) in (-signal.SIGSEGV, -signal.SIGBUS)


def test_registers_are_drawn_from_all_and_struck_where_they_are(child: Child, bare_subject: Subject) -> None:
    """One process after the other gets a flip that changes exactly one bit; each may die of it afterwards."""
    faults = [draw("registers", bare_subject, seed=seed) for seed in range(60)]
    assert len({fault.place.model_dump()["name"] for fault in faults}) > 20
    for fault in faults[:3]:
        made = inject(fault, victim(bare_subject, child(SPINNER)))
        assert len(made.flips) <= 1, "the kernel keeps some bits of control registers as they are"


# ---- signals --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT"])
def test_a_crash_is_the_signal_that_it_names(name: str, child: Child, bare_subject: Subject) -> None:
    process = child(SPINNER)
    place = SignalPlace.model_validate({"process": "engine", "signal": name})
    made = inject(Fault("crash", place), victim(bare_subject, process))
    assert process.wait(30) == -signal.Signals[name]
    with pytest.raises(FaultError, match="cannot be taken back"):
        made.undo()
    with pytest.raises(FaultError, match="cannot be sent"):
        inject(Fault("crash", place), victim(bare_subject, process))


def test_a_hang_stands_still_until_it_is_undone(child: Child, bare_subject: Subject) -> None:
    process = child(SPINNER)
    made = inject(draw("hang", bare_subject, seed=1, where={"process": "engine"}), victim(bare_subject, process))
    _, status = os.waitpid(process.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    made.undo()
    _, status = os.waitpid(process.pid, os.WCONTINUED)
    assert os.WIFCONTINUED(status)


def test_a_signal_of_another_target_is_not_sent(child: Child, bare_subject: Subject) -> None:
    """What kills is no hang, whoever made the fault: its row would be counted among the hangs."""
    process = child(SPINNER)
    for target, name, there in (("hang", "SIGKILL", "SIGSTOP"), ("crash", "SIGSTOP", "SIGKILL")):
        place = SignalPlace.model_validate({"process": "engine", "signal": name})
        with pytest.raises(FaultError, match=f"no '{name}' among signals of {target}; there are {there}"):
            inject(Fault(target, place), victim(bare_subject, process))
    assert process.poll() is None
    assert Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"


def test_who_does_not_run_is_named(bare_subject: Subject, tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="No process 'core' runs here; there are none"):
        inject(draw("crash", bare_subject, seed=1, where={"process": "core"}), Victim(bare_subject))
    with pytest.raises(FaultError, match=r"no ready\.json"):
        Victim.of_flight(tmp_path)
    (tmp_path / "ready.json").write_text('{"pid": 1, "model": "m"}')
    with pytest.raises(FaultError, match="start it with --allow-faults"):
        Victim.of_flight(tmp_path)
