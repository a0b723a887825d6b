"""`orbitlm models …`: the catalogue, cadet and its recipe, the GGUF tools on the command line."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from models.errors import ModelsError

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False)

DEFAULT_FOLDER = Path("data/models")
FolderOption = Annotated[Path, typer.Option("--folder", help="Where fetched models lie.")]
RunOption = Annotated[Path, typer.Option("--run", help="Folder of the training run (checkpoint, tokenizer, log).")]


@app.callback()
def root() -> None:
    """The catalogue of models, the embedded model cadet with its recipe, and the GGUF tools.

    Try it:  `orbitlm models list`  ·  `orbitlm models info cadet`  ·  `orbitlm models eval cadet`
    """


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turn an error of this package into its one sentence and exit code 1."""
    try:
        yield
    except ModelsError as error:
        typer.echo(f"orbitlm models: {error}", err=True)
        raise typer.Exit(1) from error
    except ModuleNotFoundError as error:
        needed = "install the models extra,  pip install 'orbitlm[models]'"
        typer.echo(f"orbitlm models: This command needs {error.name}: {needed}", err=True)
        raise typer.Exit(1) from error


def resolve(name: str, folder: Path = DEFAULT_FOLDER) -> Path:
    """Return the file that a person means: a path, or a name of the catalogue that is here."""
    from models.catalogue import catalogue

    path = Path(name)
    if path.exists() or name.lower() not in catalogue():
        return path
    found = catalogue()[name.lower()]
    here = found.embedded_path or folder / found.file
    if not here.exists():
        raise ModelsError(f"{name} is not here yet: run  orbitlm models fetch {name}")
    return here


@app.command("list")
def list_models(
    folder: FolderOption = DEFAULT_FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the models of the catalogue, and which are here.

    Example:  `orbitlm models list`
    """
    from models.show import catalogue_json, show_catalogue

    with sentences():
        if as_json:
            typer.echo(json.dumps(catalogue_json(folder), indent=2))
        else:
            show_catalogue(folder)


@app.command()
def info(
    model: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A GGUF file, or a name of the catalogue.")],
    context: Annotated[
        int, typer.Option("--context", min=0, help="Context length in tokens; 0 = 4096 or what it has.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what a model file is, what memory it needs, and whether this board can take it.

    Example:  `orbitlm models info cadet --context 1024`
    """
    from models.gguf_file import read_info
    from models.info import info_json, show_info

    with sentences():
        found = read_info(resolve(model))
        length = context or min(found.n_ctx_train or 4096, 4096)
        if as_json:
            typer.echo(json.dumps(info_json(found, length), indent=2))
        else:
            show_info(found, length)


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="A name of the catalogue, such as qwen3-0.6b.")],
    folder: FolderOption = DEFAULT_FOLDER,
    kind: Annotated[str, typer.Option("--type", help="Another type than the catalogue's, such as q8_0.")] = "",
) -> None:
    """Fetch a model from Hugging Face: resumable, SHA-256 checked against the hub's and pinned.

    Example:  `orbitlm models fetch qwen3-0.6b`  ·  `orbitlm models fetch qwen3-4b --type q8_0`
    """
    from models.catalogue import entry
    from models.fetch import fetch as fetch_model
    from models.show import byte_progress

    with sentences():
        found = entry(name).in_type(kind)
        with byte_progress(found.file or found.name) as advance:
            path = fetch_model(found, folder, advance)
        typer.echo(f"{path} is here and its SHA-256 is right." if found.repository else f"{path} comes with OrbitLM.")


@app.command()
def verify(model: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A model that is here.")]) -> None:
    """Compare a model file with its pinned SHA-256.

    Example:  `orbitlm models verify cadet`
    """
    from models.fetch import verify as verify_model
    from models.show import byte_progress

    with sentences():
        path = resolve(model)
        with byte_progress(path.name) as advance:
            digest = verify_model(path, advance)
        typer.echo(f"{path} is whole: SHA-256 {digest}")


@app.command()
def manifest(
    model: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A GGUF file, or a name of the catalogue.")],
    out: Annotated[Path | None, typer.Option("--out", help="Manifest to write; default FILE.manifest.json.")] = None,
    check: Annotated[Path | None, typer.Option("--check", help="Compare FILE with this manifest instead.")] = None,
) -> None:
    """Write the manifest of a model: SHA-256 of the file and its chunks, tensors, pages. Or compare a file with one.

    Example:  `orbitlm models manifest model.gguf`  ·  `orbitlm models manifest copy.gguf --check M.json`
    """
    from models import manifest as manifests
    from models.show import byte_progress

    with sentences():
        path = resolve(model)
        expected = None if check is None else manifests.load(check)
        with byte_progress(path.name) as advance:
            if expected is not None:
                difference = manifests.check(path, expected, advance)
                if not difference.same:
                    raise ModelsError(difference.sentence())
                typer.echo(difference.sentence())
                return
            made = manifests.make(path, progress=advance)
        place = out or manifests.manifest_path(path)
        manifests.save(made, place)
        typer.echo(
            f"{place}: {made.bytes} bytes in {len(made.chunks)} chunks of {made.chunk_bytes}, "
            f"{len(made.tensors)} tensors, {made.pages.count} pages; SHA-256 {made.sha256}"
        )


@app.command("random")
def random_model(
    name: Annotated[str, typer.Argument(help="qwen3-0.6b, qwen3-1.7b, qwen3-4b, qwen3-8b or tiny.")],
    out: Annotated[Path, typer.Option("--out", help="File to write.")],
    kind: Annotated[str, typer.Option("--type", help="q8_0, f16, q4_0, q4_k, q5_k or q6_k.")] = "q8_0",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the weights.")] = 1,
) -> None:
    """Write random weights at the true dimensions of a Qwen3: for timing only, its text is nonsense.

    Example:  `orbitlm models random qwen3-0.6b --out /tmp/random-0.6b.gguf`
    """
    with sentences():
        from models.random_weights import DIMS, write_random
        from models.show import byte_progress

        if name.lower() not in DIMS:
            raise ModelsError(f"There are no dimensions for {name!r}; there are {', '.join(DIMS)}.")
        with byte_progress(out.name) as advance:
            write_random(DIMS[name.lower()], out, kind.lower(), seed, advance)
        typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB of random weights, for timing only")


@app.command()
def corpus(
    count: Annotated[int, typer.Option("--count", min=1, help="How many samples.")] = 5,
    seed: Annotated[int, typer.Option("--seed", help="Seed.")] = 1,
    held: Annotated[bool, typer.Option("--held", help="Evaluation cases instead of training conversations.")] = False,
) -> None:
    """Print samples of the generated corpus.

    Example:  `orbitlm models corpus --count 3`  ·  `orbitlm models corpus --held --count 20`
    """
    from models.corpus import conversation, held_out_cases

    if held:
        for case in held_out_cases(count, seed):
            typer.echo(f"--- {case.task}\nUSER   {case.user}\nTRUTH  {case.answer}")
        return
    for number in range(seed, seed + count):
        talk = conversation(number)
        typer.echo(f"=== conversation {number}" + (f"\nSYSTEM {talk.system}" if talk.system else ""))
        for turn in talk.turns:
            typer.echo(f"USER   {turn.user}\nCADET  {turn.assistant}")


@app.command()
def train(
    run: RunOption,
    minutes: Annotated[
        float, typer.Option("--minutes", help="Minutes of work in all; the rates fall to their end.")
    ] = 75,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the weights and of the corpus.")] = 1,
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 1,
) -> None:
    """Train cadet from nothing, or go on from the run's checkpoint. Needs the `train` extra (PyTorch).

    Example:  `orbitlm models train --run out/cadet --minutes 75`
    """
    with sentences():
        try:
            from models.train import Plan, Step
            from models.train import run as train_run
        except ImportError as error:
            raise ModelsError(
                "Training needs PyTorch: install the train extra,  pip install 'orbitlm[train]'"
            ) from error

        def report(step: Step) -> None:
            left = max(minutes - step.minutes, 0.0)
            typer.echo(
                f"step {step.number}  {step.minutes:.1f} min  {step.tokens / 1e6:.2f} M tokens  loss {step.loss:.4f}  "
                f"{step.rate:.0f} tokens/s  ETA {left:.0f} min  (measured)"
            )

        path = train_run(Plan(minutes=minutes, seed=seed, threads=threads), run, report)
        typer.echo(f"{path} written; next:  orbitlm models convert --run {run} --out cadet-q8_0.gguf")


@app.command()
def convert(
    run: RunOption,
    out: Annotated[Path, typer.Option("--out", help="GGUF file to write.")],
    kind: Annotated[str, typer.Option("--type", help="q8_0 or f16.")] = "q8_0",
) -> None:
    """Turn a training checkpoint into a GGUF file.

    Example:  `orbitlm models convert --run out/cadet --out cadet-q8_0.gguf`
    """
    with sentences():
        from models.convert import read_checkpoint, write_gguf

        checkpoint = read_checkpoint(run)
        write_gguf(checkpoint, out, kind.lower())
        typer.echo(
            f"{out}: {out.stat().st_size} bytes, step {checkpoint.steps}, {checkpoint.tokens / 1e6:.1f} M tokens"
        )


@app.command("quantize")
def quantize_model(
    model: Annotated[str, typer.Argument(metavar="FILE", help="An F16 GGUF file.")],
    out: Annotated[Path, typer.Option("--out", help="GGUF file to write.")],
    kind: Annotated[str, typer.Option("--type", help="q8_0, q6_k, q5_k_m, q4_k_m, q4_0, …")] = "q8_0",
    threads: Annotated[int, typer.Option("--threads", min=1, help="CPU threads.")] = 1,
) -> None:
    """Write an F16 model in another quantization, by llama.cpp's own quantizer.

    Example:  `orbitlm models quantize cadet-f16.gguf --type q4_k_m --out cadet-q4_k_m.gguf`
    """
    from models.gguf_layout import half_share
    from models.quantize import quantize

    with sentences():
        made = quantize(resolve(model), out, kind.lower(), threads)
        scales = f"{half_share(made.tensors):.2%} of the weights are fp16 scales"
        typer.echo(f"{out}: {made.quantization}, {made.file_bytes} bytes, {scales}")


@app.command()
def quantizations(
    model: Annotated[str, typer.Argument(metavar="FILE", help="An F16 GGUF file, or with --show a result.")],
    items: Annotated[int, typer.Option("--items", min=0, help="Held-out questions; 0 leaves accuracy out.")] = 2000,
    rounds: Annotated[int, typer.Option("--rounds", min=0, help="Rounds of speed; 0 leaves speed out.")] = 9,
    kinds: Annotated[str, typer.Option("--types", help="The types, separated by commas.")] = "",
    seed: Annotated[int, typer.Option("--seed", help="Seed of the questions.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="Write the result as JSON.")] = None,
    show: Annotated[bool, typer.Option("--show", help="FILE is such a JSON: print its table again.")] = False,
) -> None:
    """Compare the quantizations of an F16 model: size, accuracy, near-ties, speed, share of fp16 scales.

    Example:  `orbitlm models quantizations cadet-f16.gguf --items 2000 --json out/quantizations.json`
    """
    from models import quantizations as tables

    with sentences():
        if show:
            typer.echo(tables.markdown(tables.load(Path(model))), nl=False)
            return
        wanted = [kind.strip().lower() for kind in kinds.split(",") if kind.strip()] or list(tables.KINDS)
        values = tables.compare(resolve(model), wanted, items, rounds, seed)
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        typer.echo(tables.markdown(values), nl=False)


@app.command()
def figure(
    out: Annotated[Path, typer.Option("--out", help="Figure to write (.svg or .png).")],
    run: Annotated[Path | None, typer.Option("--run", help="Folder of a training run: its learning curve.")] = None,
    result: Annotated[
        Path | None, typer.Option("--eval", help="What `eval --json` wrote: accuracy by family and number of items.")
    ] = None,
) -> None:
    """Draw the learning curve of a training run, or the accuracy of an evaluation.

    Example:  `orbitlm models figure --run out/cadet --out learning.svg`
    """
    from models.figure import draw_accuracy, draw_learning_curve

    with sentences():
        if (run is None) == (result is None):
            raise ModelsError("Name what to draw: a training run (--run) or an evaluation (--eval).")
        drawn = draw_learning_curve(run, out) if run else draw_accuracy(result or out, out)
        typer.echo(f"{drawn} written (measured)")


@app.command()
def card() -> None:
    """Make the tables of cadet's model card anew from its `eval.json` and `blind.json`, in a checkout.

    Example:  `orbitlm models card`
    """
    from models.card import write_pages
    from models.paths import PACKAGE

    with sentences():
        for path in write_pages(PACKAGE):
            typer.echo(f"{path} written")


@app.command("eval")
def evaluate_model(
    model: Annotated[str, typer.Argument(metavar="FILE|NAME", help="A GGUF file, or a name of the catalogue.")],
    items: Annotated[int, typer.Option("--items", min=1, help="How many held-out questions.")] = 700,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the questions.")] = 1,
    tasks: Annotated[bool, typer.Option("--tasks", help="Also a row for each task.")] = False,
    wrong: Annotated[int, typer.Option("--wrong", min=0, help="Print so many wrong answers.")] = 0,
    out: Annotated[Path | None, typer.Option("--json", help="Write the result as JSON.")] = None,
    blind: Annotated[bool, typer.Option("--blind", help="The hand-written blind set instead.")] = False,
) -> None:
    """Ask a model held-out questions through llama.cpp and print its accuracy by family.

    Example:  `orbitlm models eval cadet --items 2100 --json out/eval.json`  ·  `orbitlm models eval cadet --blind`
    """
    if blind:
        _evaluate_blind(resolve(model), wrong, out)
        return
    from models.corpus import held_out_cases
    from models.evaluation import evaluate
    from models.show import count_progress, show_evaluation

    with sentences():
        cases = held_out_cases(items, seed)
        with count_progress("questions", len(cases)) as advance:
            result = evaluate(resolve(model), cases, advance)
        show_evaluation(result, tasks, wrong)
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(result.as_json(), indent=1) + "\n", encoding="utf-8")


def _evaluate_blind(path: Path, wrong: int, out: Path | None) -> None:
    from models.blind import as_json, ask_blind, blind_cases
    from models.show import count_progress, show_blind

    with sentences():
        with count_progress("questions", len(blind_cases())) as advance:
            outcomes = ask_blind(path, advance)
        show_blind(path.name, outcomes, wrong)
        if out:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(as_json(path.name, outcomes), indent=1) + "\n", encoding="utf-8")
