"""A campaign from its plan to its rows: golden runs first, then every injection in every arm, resumable at any time."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

from hil.campaign.bench import Bench
from hil.campaign.cluster import agreed_goldens, cluster, run_on
from hil.campaign.forecast import need
from hil.campaign.interval import clopper_pearson
from hil.campaign.options import Options
from hil.campaign.outcome import Outcome
from hil.campaign.plan import Plan
from hil.campaign.question import Golden
from hil.campaign.results import SCHEMA, Results
from hil.campaign.row import Row
from hil.errors import CampaignError
from hil.files import read_json, write_json
from hil.machine import facts, machine

SHARD_ROWS: Final = 1000
SHARD_S: Final = 20.0
"""A shard is written after so many rows, or so long: what a killed campaign has to do again at most. The first ones
come sooner, after a second and twice as long each time: most are killed when they turn out to be wrong."""

_PACKAGES: Final = ("orbitlm", "llama-cpp-python", "numpy", "distributed", "pandas", "pyarrow", "scipy")


class Screen(Protocol):
    """Who is told how it goes."""

    def golden(self, answers: int) -> None:
        """So many golden answers are bit-identical twice."""
        ...

    def row(self, tally: Tally, total: int) -> None:
        """One injection more is done in every arm."""
        ...


class Tally:
    """Counts as a campaign goes on: injections in all and of this start, and outcomes by arm."""

    def __init__(self, arms: tuple[str, ...]) -> None:
        self.began = time.monotonic()
        self.injections = 0
        self.fresh = 0
        self.outcomes: dict[str, dict[str, int]] = {arm: {} for arm in arms}

    def add(self, rows: list[Row], *, fresh: bool) -> None:
        """Count the rows of one injection."""
        self.injections += 1
        self.fresh += fresh
        for row in rows:
            counts = self.outcomes[row.arm]
            counts[row.outcome] = counts.get(row.outcome, 0) + 1

    def silent(self, arm: str) -> int:
        """Silent corruptions of an arm so far."""
        return self.outcomes[arm].get(Outcome.SILENT, 0)

    def high(self, arm: str) -> float:
        """Upper end of the interval of the share of silent corruptions in an arm."""
        return clopper_pearson(self.silent(arm), self.injections).high

    def halfwidth(self, arm: str) -> float:
        """Half of that interval."""
        return clopper_pearson(self.silent(arm), self.injections).halfwidth

    def narrow(self, halfwidth: float) -> bool:
        """Whether the interval of every arm is at most so wide; without any injection none is."""
        return self.injections > 0 and all(self.halfwidth(arm) <= halfwidth for arm in self.outcomes)

    @property
    def per_hour(self) -> float:
        """Injections per hour since this start."""
        return 3600 * self.fresh / max(time.monotonic() - self.began, 1e-9)


def document(plan: Plan, options: Options) -> dict[str, Any]:
    """Everything that makes a campaign repeatable, as it is kept in `campaign.json`."""
    return {
        "schema": SCHEMA,
        "kind": "measured",
        "plan": plan.model_dump(mode="json", exclude={"folder"}),
        "folder": plan.folder,
        "model": plan.model_path.name,
        "model_sha256": _sha256(plan.model_path),
        "model_bytes": plan.model_path.stat().st_size,
        "threads": plan.options.get("threads", 1),
        "command": options.command,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "machine": machine(),
        "machine_facts": facts(),
        "versions": versions(),
        "commit": _commit(),
    }


def run_plan(plan: Plan, options: Options, screen: Screen) -> Results:
    """Run a plan to its end, or on from where it stopped. Raises `CampaignError`."""
    need(plan)
    results = Results(options.out)
    with results.held():
        _run(plan, options, screen, results)
    return results


def _run(plan: Plan, options: Options, screen: Screen, results: Results) -> None:
    results.begin(document(plan, options), resume=options.resume)
    known = _read_goldens(options.out)
    if known and set(known) != {question.id for question in plan.ask()}:
        raise CampaignError(
            f"The questions of {plan.name} are no longer those that the campaign in {options.out} asks: another --out."
        )
    arms = tuple(plan.arms)
    tally = Tally(arms)
    before = results.done(arms)
    wanted = options.injections or plan.total
    for index, rows in _by_index(results, arms).items():
        if index in before:
            tally.add(rows, fresh=False)
    keeper = _Keeper(results)

    def enough() -> bool:
        return options.halfwidth > 0 and tally.narrow(options.halfwidth)

    def done(rows: list[Row]) -> bool:
        keeper.add(rows)
        tally.add(rows, fresh=True)
        screen.row(tally, wanted)
        return not enough()

    open_ended = options.halfwidth and not options.injections
    indices = (index for index in (count() if open_ended else range(wanted)) if index not in before)
    if enough() or (not open_ended and len(before & set(range(wanted))) == wanted):
        return
    try:
        if options.workers == 0 and not options.scheduler:
            _here(plan, known, indices, options.out, screen, done)
        else:
            with cluster(options.workers, options.scheduler) as client:
                goldens = agreed_goldens(client, plan, known)
                _write_goldens(options.out, goldens, screen)
                run_on(client, indices, done)
    except CampaignError:
        keeper.flush()
        results.forget()
        raise
    finally:
        keeper.flush()


def _here(plan: Plan, known: dict[str, Golden], indices: Iterator[int], out: Path, screen: Screen, done: Any) -> None:
    with Bench(plan, known) as bench:
        _write_goldens(out, bench.goldens(), screen)
        for index in indices:
            if not done(bench.rows(index)):
                break


def replay(folder: Path, index: int) -> tuple[list[Row], list[Row]]:
    """The rows of an index as they were stored, and as they come out now, in this process. Raises `CampaignError`."""
    results = Results(folder)
    told = results.document()
    plan = Plan.model_validate({**told["plan"], "folder": told.get("folder", "")})
    if _sha256(plan.model_path) != told["model_sha256"]:
        raise CampaignError(
            f"The model {plan.model_path} is not the one of the campaign in {folder}: its hash differs."
        )
    stored = [row for row in results.rows() if row.index == index]
    if not stored:
        raise CampaignError(f"The campaign in {folder} has no row {index}.")
    with Bench(plan, _read_goldens(folder)) as bench:
        return stored, bench.rows(index)


def versions() -> dict[str, str]:
    """Versions of what computes and counts."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


class _Keeper:
    """Gathers rows and writes a shard now and then."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._rows: list[Row] = []
        self._wait = 1.0
        self._due = time.monotonic() + self._wait

    def add(self, rows: list[Row]) -> None:
        self._rows += rows
        if len(self._rows) >= SHARD_ROWS or time.monotonic() >= self._due:
            self.flush()

    def flush(self) -> None:
        if self._rows:
            self._results.write(self._rows)
        self._rows = []
        self._wait = min(2 * self._wait, SHARD_S)
        self._due = time.monotonic() + self._wait


def _by_index(results: Results, arms: tuple[str, ...]) -> dict[int, list[Row]]:
    found: dict[int, list[Row]] = {}
    for row in results.rows():
        if row.arm in arms:
            found.setdefault(row.index, []).append(row)
    return found


def _read_goldens(folder: Path) -> dict[str, Golden]:
    known = read_json(folder / "golden.json") or {}
    return {name: Golden(**{**values, "tokens": tuple(values["tokens"])}) for name, values in known.items()}


def _write_goldens(folder: Path, goldens: dict[str, Golden], screen: Screen) -> None:
    write_json(folder / "golden.json", {name: asdict(golden) for name, golden in goldens.items()})
    screen.golden(len(goldens))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CampaignError(f"The model {path} cannot be read: {error.strerror}.") from error


def _commit() -> str:
    """The commit of the checkout, and whether tracked files differ from it; empty outside of one."""
    import subprocess

    where = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        command = ["git", "-C", str(where), *words]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        return found.stdout.strip() if found.returncode == 0 else ""

    commit = git("rev-parse", "HEAD")
    return f"{commit} with changes" if commit and git("status", "--porcelain", "-uno") else commit
