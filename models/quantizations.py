"""What each quantization of one model costs and gives: size, accuracy, near-ties, speed, and what a bit flip can hit.

All from one F16 file, through llama.cpp on one thread. Accuracy and margins come from the held-out questions. Speeds
count the thread's processor time, which a busy machine stretches far less than the clock on the wall, and are medians
over rounds in which the files take turns; the ratio to Q8_0 is taken within each round. Shares of scales are counted
from the tensors' types.
"""

import contextlib
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.corpus import Case, held_out_cases
from models.errors import ModelsError
from models.evaluation import Result, lower_bound, score
from models.gguf_file import GgufInfo, read_info
from models.gguf_layout import half_share, mean_reach, role_shares
from models.info import tensor_types
from models.quantize import quantize
from models.runner import Runner

SCHEMA = "orbitlm.models.quantizations/1"

DELTAS = (0.05, 0.1, 0.3)
"""Logit margins below which the release gate may settle a token by an exact re-run (DESIGN §4)."""

KINDS = ("f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0")
"""What the table has when nothing else is asked for."""

REFERENCE = "q8_0"
"""The kind that speeds are compared with."""

PREFILL, DECODE = 256, 96
"""Tokens of one measurement."""


@dataclass(frozen=True)
class Accuracy:
    """Answers to the held-out questions. Shares are of 1; `low` is the lower end of the 95 % Clopper-Pearson interval.

    `same` is the share of answers equal to those of the F16 file; `near_tokens` and `near_answers` the shares of tokens
    whose margin is under a threshold, and of answers that hold such a token.
    """

    items: int
    exact: float
    low: float
    same: float
    run_ons: int
    tokens: int
    near_tokens: dict[str, float]
    near_answers: dict[str, float]


@dataclass(frozen=True)
class Speed:
    """Tokens per second of processor time, medians of `rounds`; ratios are medians of the ratio within a round."""

    rounds: int
    prefill: float
    decode: float
    prefill_ratio: float
    decode_ratio: float


@dataclass(frozen=True)
class Row:
    """One quantization, with what a flipped bit can hit.

    `half_scales`: share of the tensors' bytes that are fp16 scales; `reach`: weights that a flipped bit changes, on
    average; `shares`: of all bits, by role.
    """

    kind: str
    bytes: int
    sha256: str
    types: dict[str, int]
    bits_per_weight: float
    half_scales: float
    reach: float
    shares: dict[str, float]
    accuracy: Accuracy | None
    speed: Speed | None


def make_files(source: Path, kinds: Sequence[str], folder: Path) -> dict[str, Path]:
    """Return the quantized files of `source` by kind, made in `folder`; `f16` is the source itself."""
    files: dict[str, Path] = {}
    for kind in kinds:
        files[kind] = source if kind == "f16" else folder / f"{source.stem}.{kind}.gguf"
        if kind != "f16":
            quantize(source, files[kind], kind)
    return files


def _near(results: Sequence[Result]) -> tuple[dict[str, float], dict[str, float]]:
    margins = [margin for result in results for margin in result.margins]
    tokens = {str(delta): sum(margin < delta for margin in margins) / max(len(margins), 1) for delta in DELTAS}
    answers = {
        str(delta): sum(any(margin < delta for margin in result.margins) for result in results) / len(results)
        for delta in DELTAS
    }
    return tokens, answers


def accuracies(
    files: dict[str, Path], cases: Sequence[Case], progress: Callable[[int], None] | None = None
) -> dict[str, Accuracy]:
    """Return the accuracy of each file on the same cases; `f16` must be among them, as what the others are held to."""
    if "f16" not in files:
        raise ModelsError("The table needs the F16 file, since the answers of the others are compared with its.")
    found: dict[str, list[Result]] = {}
    for done, (kind, path) in enumerate(files.items()):
        with Runner(path) as runner:
            before = done * len(cases)
            found[kind] = score(runner, cases, None if progress is None else _shifted(progress, before))
    texts = [result.answer for result in found["f16"]]
    table: dict[str, Accuracy] = {}
    for kind, results in found.items():
        hits = sum(result.exact for result in results)
        near_tokens, near_answers = _near(results)
        table[kind] = Accuracy(
            items=len(results),
            exact=hits / len(results),
            low=lower_bound(hits, len(results)),
            same=sum(r.answer == text for r, text in zip(results, texts, strict=True)) / len(results),
            run_ons=sum(not result.ended for result in results),
            tokens=sum(len(result.margins) for result in results),
            near_tokens=near_tokens,
            near_answers=near_answers,
        )
    return table


def _shifted(progress: Callable[[int], None], before: int) -> Callable[[int], None]:
    return lambda done: progress(before + done)


def measure(path: Path) -> tuple[float, float]:
    """Return (prefill, decode) of a file: one batch of PREFILL tokens, then DECODE single ones.

    In tokens per second of this thread's processor time: with one thread, llama.cpp computes in the caller's.
    """
    with Runner(path) as runner:
        token = runner.tokenize(" 1")[-1]
        runner.decode([token] * 32)
        runner.clear()
        begun = time.thread_time()
        runner.decode([token] * PREFILL)
        middle = time.thread_time()
        for _ in range(DECODE):
            runner.decode([token])
        end = time.thread_time()
    return PREFILL / (middle - begun), DECODE / (end - middle)


def speeds(files: dict[str, Path], rounds: int, progress: Callable[[int], None] | None = None) -> dict[str, Speed]:
    """Return the speed of each file; they take turns in every round. REFERENCE must be among them."""
    if REFERENCE not in files:
        raise ModelsError(f"The table needs {REFERENCE}, since the speeds of the others are compared with its.")
    found: dict[str, list[tuple[float, float]]] = {kind: [] for kind in files}
    for number in range(rounds):
        for place, (kind, path) in enumerate(files.items(), 1):
            found[kind].append(measure(path))
            if progress:
                progress(number * len(files) + place)
    reference = found[REFERENCE]

    def speed(own: list[tuple[float, float]]) -> Speed:
        prefill, decode = (statistics.median(one[column] for one in own) for column in (0, 1))
        ratios = [
            statistics.median(one[column] / other[column] for one, other in zip(own, reference, strict=True))
            for column in (0, 1)
        ]
        return Speed(rounds, prefill, decode, ratios[0], ratios[1])

    return {kind: speed(own) for kind, own in found.items()}


def rows(files: dict[str, Path], accuracy: dict[str, Accuracy] | None, speed: dict[str, Speed] | None) -> Iterator[Row]:
    """Yield the table's rows, with what is known of each file by its tensors."""
    from models.fetch import sha256_of

    for kind, path in files.items():
        info = read_info(path)
        yield Row(
            kind=kind,
            bytes=info.file_bytes,
            sha256=sha256_of(path),
            types=tensor_types(info),
            bits_per_weight=8 * sum(tensor.bytes for tensor in info.tensors) / info.n_params,
            half_scales=half_share(info.tensors),
            reach=mean_reach(info.tensors),
            shares=role_shares(info.tensors),
            accuracy=accuracy[kind] if accuracy else None,
            speed=speed[kind] if speed else None,
        )


def _processor() -> str:
    """Return the processor's name, as Linux tells it."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return " ".join(line.partition(":")[2].split())
    return platform.machine()


def as_json(source: GgufInfo, table: Sequence[Row], seed: int) -> dict[str, Any]:
    """Return plain values for a JSON file."""
    return {
        "schema": SCHEMA,
        "kind": "measured",
        "model": source.name,
        "parameters": source.n_params,
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}",
        "threads": 1,
        "clock": "processor time of the computing thread",
        "questions_seed": seed,
        "prefill_tokens": PREFILL,
        "decode_tokens": DECODE,
        "rows": [asdict(row) for row in table],
    }


def compare(source: Path, kinds: Sequence[str], items: int, rounds: int, seed: int = 1) -> dict[str, Any]:
    """Return the table of an F16 file as plain values; `items` or `rounds` 0 leaves accuracy or speed out."""
    from models.show import count_progress

    with tempfile.TemporaryDirectory(prefix="orbitlm-quantizations-") as folder:
        files = make_files(source, kinds, Path(folder))
        accuracy, speed = None, None
        if items:
            cases = held_out_cases(items, seed)
            with count_progress("questions", len(files) * len(cases)) as advance:
                accuracy = accuracies(files, cases, advance)
        if rounds:
            with count_progress("speeds", len(files) * rounds) as advance:
                speed = speeds(files, rounds, advance)
        return as_json(read_info(source), list(rows(files, accuracy, speed)), seed)


def load(path: Path) -> dict[str, Any]:
    """Return the table that `compare` gave, from its JSON file; ModelsError when it is none."""
    try:
        values: Any = json.loads(path.read_bytes())
    except OSError as error:
        raise ModelsError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ModelsError(f"{path} is not JSON.") from error
    if not isinstance(values, dict) or values.get("schema") != SCHEMA:
        raise ModelsError(f"{path} is no table of quantizations ({SCHEMA}).")
    return values


def markdown(values: dict[str, Any]) -> str:
    """Return the table of `as_json` as Markdown."""
    heads = ["type", "size", "bits a weight", "fp16 scales", "weights a flip changes"]
    table = values["rows"]
    accuracy, speed = table[0]["accuracy"] is not None, table[0]["speed"] is not None
    if accuracy:
        heads += ["exact", "low", "as F16", *(f"tokens < {delta}" for delta in DELTAS), f"answers < {DELTAS[-1]}"]
    if speed:
        heads += ["decode", "to Q8_0", "prefill", "to Q8_0"]
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1)]
    for row in table:
        cells = [row["kind"].upper(), f"{row['bytes'] / 1e6:.2f} MB", f"{row['bits_per_weight']:.2f}"]
        cells += [f"{row['half_scales']:.2%}", f"{row['reach']:.1f}"]
        if accuracy:
            found = row["accuracy"]
            cells += [f"{found['exact']:.1%}", f"{found['low']:.1%}", f"{found['same']:.1%}"]
            cells += [f"{found['near_tokens'][str(delta)]:.3%}" for delta in DELTAS]
            cells.append(f"{found['near_answers'][str(DELTAS[-1])]:.1%}")
        if speed:
            found = row["speed"]
            cells += [f"{found['decode']:.0f} tok/s", f"{found['decode_ratio']:.2f}"]
            cells += [f"{found['prefill']:.0f} tok/s", f"{found['prefill_ratio']:.2f}"]
        lines.append(cells)
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
