"""The dictionary: complete, without double meaning, and refused with a sentence where a file breaks the schema."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from models import channels as trained
from spacelink import DICTIONARY, DictionaryError, fields
from spacelink.dictionary import dictionary as loader
from spacelink.dictionary import load
from spacelink.segments import SEGMENT_BYTES

COMMANDS = {
    "core.ping": (17, 1),
    "core.noop": (8, 1),
    "core.reset_counters": (8, 1),
    "supervisor.leave_safe_mode": (8, 1),
    "supervisor.enter_safe_mode": (8, 1),
    "supervisor.restart_engine": (8, 1),
    "integrity.scrub": (8, 1),
    "integrity.report": (8, 1),
    "integrity.set_scrub_rate": (8, 1),
    "health.request": (3, 27),
    "inference.ask": (130, 1),
    "inference.cancel": (130, 3),
    "inference.resend": (130, 5),
    "inference.release": (130, 7),
    "inference.report": (130, 9),
    "inference.list_scenes": (130, 11),
}
REPORTS = {
    "verification.accepted": (1, 1),
    "verification.rejected": (1, 2),
    "verification.started": (1, 3),
    "verification.start_failed": (1, 4),
    "verification.step": (1, 5),
    "verification.completed": (1, 7),
    "verification.failed": (1, 8),
    "core.pong": (17, 2),
    "health.housekeeping": (3, 25),
    "integrity.status": (130, 12),
    "inference.progress": (130, 2),
    "inference.segment": (130, 4),
    "inference.receipt": (130, 6),
    "inference.query_state": (130, 8),
    "inference.scenes": (130, 10),
}


def test_every_message_of_the_contract_is_there_under_its_numbers() -> None:
    assert {name: (one.service, one.subtype) for name, one in DICTIONARY.commands.items()} == COMMANDS
    assert {name: (one.service, one.subtype) for name, one in DICTIONARY.reports.items()} == REPORTS


def test_every_report_of_inference_carries_the_query_id_but_the_list_of_scenes() -> None:
    for name, report in DICTIONARY.reports.items():
        if name.startswith("inference.") and name != "inference.scenes":
            assert report.fields[0].name == "query_id", name


def test_the_virtual_channels_are_those_of_the_contract() -> None:
    assert DICTIONARY.spacecraft.virtual_channels == {"commands": 0, "reports": 0, "answers": 1, "idle": 7}


def test_the_channels_that_the_model_sees_are_those_it_was_trained_on() -> None:
    """Mnemonic, unit, limits and decimals: spacelink and models each stand alone, so only a test can compare them."""
    for channel in DICTIONARY.channels.values():
        if channel.for_model:
            kind = trained.BY_NAME[channel.name]
            assert (channel.unit, channel.title, channel.decimals) == (kind.unit, kind.words, kind.decimals), (
                channel.name
            )
            assert (channel.soft.low, channel.soft.high) == (kind.low, kind.high), channel.name


def test_hard_limits_lie_outside_soft_ones() -> None:
    for channel in DICTIONARY.channels.values():
        if channel.hard.low is not None and channel.soft.low is not None:
            assert channel.hard.low < channel.soft.low, channel.name
        if channel.hard.high is not None and channel.soft.high is not None:
            assert channel.hard.high > channel.soft.high, channel.name


def test_the_hash_changes_with_any_byte_of_any_file(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    assert load(folder).sha256 == DICTIONARY.sha256
    for file in sorted(folder.glob("*.toml")):
        before = load(folder).sha256
        file.write_text(file.read_text() + "\n")
        assert load(folder).sha256 != before, file.name


def copy(to: Path) -> Path:
    folder = to / "dictionary"
    shutil.copytree(loader.FOLDER, folder)
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("core", "id = 0x0202", "id = 0x0201", "core.counters_reset: it has the same id as core.noop"),
        ("core", "constant = 2,", "constant = 1,", "core.reset_counters: it has the same service, subtype and const"),
        ("health", "id = 2\n", "id = 1\n", "GPU_T: it has the same id as CPU_T"),
        ("reasons", "code = 2,", "code = 1,", "bad_length: it has the same code as unknown_command"),
        ("core", "Counters reset.", "Counters reset", "events.counters_reset: text must be a sentence"),
        ("core", "Counters reset.", "Counters {all} reset.", "events.counters_reset: text must use every argument"),
        ("supervisor", "Boot {boot}, cause", "Boot, cause", "events.booted: text must use every argument"),
        ("supervisor", 'severity = "high"', 'severity = "dire"', "severity must be one of informative"),
        ("inference", 'type = "hash32"', 'type = "hash64"', "there is no type hash64"),
        ("inference", 'enum = "stop"', 'enum = "halt"', "there is no enum halt"),
        ("inference", "question_empty", "question_missing", "there is no reason question_missing"),
        ("inference", 'danger = "None."\n', "", "danger is missing"),
        ("inference", "default = 0, description", 'default = "x", description', "the default does not fit"),
        ("inference", "length = 8", "size = 8", "length is missing"),
        ("inference", "min_bytes = 1, max_bytes = 64,", "", "a field of type rest needs max_bytes"),
        ("inference", 'name = "kind"', 'name = "query_id"', "two fields named query_id"),
        ("inference", 'fields = ["system", "question"]', 'fields = ["system", "seed"]', "that have max_bytes"),
        ("health", "[channels.CPU_T]", "[channels.CPU_TEMP]", "a mnemonic has one to five"),
        ("health", "low = -10, high = 85", "low = 90, high = 85", "CPU_T.soft: low must be below high"),
        ("health", "\nfor_model = true", "\nfor_models = true", "the schema has no key for_models"),
        ("spacecraft", "scid = 0x15A", "scid = 1024", "scid must be a whole number from 0 to 1023"),
        ("core", "max_bytes = 48", "max_bytes = 256", "a str8 holds at most 255 bytes"),
        ("store", "[events", "[event", "the schema has no key event"),
        ("store", "[events", "[[events", "it is not TOML"),
    ],
)
def test_a_file_that_breaks_the_schema_is_refused_with_file_and_entry(
    tmp_path: Path, file: str, old: str, new: str, complaint: str
) -> None:
    folder = copy(tmp_path)
    path = folder / f"{file}.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(DictionaryError) as caught:
        load(folder)
    assert complaint in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = copy(tmp_path)
    (folder / "reasons.toml").unlink()
    with pytest.raises(DictionaryError, match=r"reasons\.toml: the file is missing"):
        load(folder)


def test_limits_of_the_contract_stand_in_the_dictionary() -> None:
    ask = DICTIONARY.commands["inference.ask"]
    assert (ask.field("question").min_bytes, ask.field("question").max_bytes) == (1, 900)
    assert ask.budget is not None
    assert ask.budget.max_bytes == 900
    assert SEGMENT_BYTES == 64


def test_every_wire_type_of_the_codec_is_documented_in_the_readme() -> None:
    readme = (Path(fields.__file__).parent / "README.md").read_text()
    for kind in fields.TYPES:
        assert kind in readme


def test_the_interface_document_is_the_one_that_the_dictionary_gives() -> None:
    committed = Path(fields.__file__).parents[1] / "docs" / "icd.md"
    made = subprocess.run([sys.executable, "-m", "spacelink.icd"], capture_output=True, text=True, check=True)
    assert committed.read_text() == made.stdout, "run: python -m spacelink.icd > docs/icd.md"


def test_the_interface_document_names_every_entry() -> None:
    text = (Path(fields.__file__).parents[1] / "docs" / "icd.md").read_text()
    for names in (DICTIONARY.commands, DICTIONARY.reports, DICTIONARY.events, DICTIONARY.channels, DICTIONARY.reasons):
        for name in names:
            assert f"`{name}`" in text, name
