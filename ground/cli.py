"""The command line of the ground: serve, ask, show, verify, queries, passes, events, telemetry, cancel, command
and config.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ground.client import GroundClient, QueryHandle
from ground.display import LegsLive, events_table, passes_table, queries_table, query_panel, telemetry_table
from ground.errors import GroundError, StationUnreachable
from ground.order import COMMANDS, WAIT_S, checked, parsed, usage
from ground.question import QUESTION_BYTES, Assurance
from ground.settings import dump, load

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="What stays: station, archive, API and questions.\n\n"
    'Start it:  `orbitlm ground serve`  ·  ask:  `orbitlm ground ask "What is a watchdog?"`',
)
config_app = typer.Typer(
    no_args_is_help=True, help="Settings of the station: write a file of all, or show those in force."
)
app.add_typer(config_app, name="config")

Config = Annotated[Path | None, typer.Option("--config", help="Configuration file (TOML).")]
Data = Annotated[Path | None, typer.Option("--data", help="Directory of everything that is kept.")]
Insecure = Annotated[
    bool, typer.Option("--insecure-link", help="Allow addresses beyond this machine although nothing is authenticated.")
]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar="ORBITLM_GROUND_URL", help="Address of the station; default from the settings."),
]
Count = Annotated[int, typer.Option("--limit", "-n", min=1, max=1000, help="How many, newest first.")]

UNDECIDED = 3
"""Exit status of `verify` where nothing can be said of the receipt, of `command` where no last word has come."""
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """An error of ours is one sentence on stderr and exit status 1."""
    try:
        yield
    except GroundError as error:
        typer.echo(f"orbitlm ground: {error}", err=True)
        raise typer.Exit(1) from error


def _client(url: str | None) -> GroundClient:
    return GroundClient(url or load().api_url)


def _show_it(query: QueryHandle) -> str:
    return f"orbitlm ground show {query.id[:8]}"


def _scenes_instead(ground: GroundClient, query: QueryHandle) -> str:
    """What could have been asked about, where a query was refused for its scene; empty where nobody knows."""
    if query.reason != "scene_unknown":
        return ""
    names = [scene["name"] for scene in ground.get("/api/scenes")["scenes"]]
    return f" Scenes on board, as last reported: {', '.join(names)}." if names else ""


def _overrides(data: Path | None, insecure: bool) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if data is not None:
        given["data"] = str(data)
    if insecure:
        given["link"] = {"insecure": True}
    return given


@app.command()
def serve(config: Config = None, data: Data = None, insecure_link: Insecure = False) -> None:
    """Run the station: link, archive, API and page. Ctrl-C ends it; the next start goes on where it stood.

    Example:  `orbitlm ground serve --config ground.toml --data /var/lib/orbitlm`
    """
    with sentences():
        from ground.serve import serve as run

        run(
            load(config, _overrides(data, insecure_link)),
            announce=lambda url: typer.echo(f"ground is up: the page is at {url}/ (Ctrl-C ends the station)."),
        )


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help=f"The question, at most {QUESTION_BYTES} bytes.")],
    scene: Annotated[str, typer.Option(help="A scene on board, `latest` or `housekeeping`.")] = "",
    thinking: Annotated[bool, typer.Option("--thinking", help="Let the model think first.")] = False,
    system: Annotated[str, typer.Option(help="System text.")] = "",
    max_tokens: Annotated[int, typer.Option(min=0, max=65535, help="Most tokens; 0: the spacecraft's default.")] = 0,
    temperature: Annotated[float, typer.Option(min=0, max=5, help="0 is greedy.")] = 0.0,
    seed: Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Seed of the sampling.")] = None,
    ttl: Annotated[int, typer.Option(min=0, help="Mission seconds after which the answer is of no use.")] = 0,
    parent: Annotated[str | None, typer.Option(help="Id of the query that this one follows.")] = None,
    assurance: Annotated[Assurance, typer.Option(help="Checks of the answer on board; as_set: as set there.")] = (
        Assurance.AS_SET
    ),
    url: Url = None,
) -> None:
    """Ask a question, watch its legs, print the answer. Ctrl-C leaves the query running.

    Example:  `orbitlm ground ask "How many vessels are dark?" --scene vessels-strait`
    """
    with sentences(), _client(url) as ground:
        query = ground.ask(
            question,
            scene=scene,
            thinking=thinking,
            system=system,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
            ttl_s=ttl,
            parent=parent,
            assurance=assurance.value,
        )
        try:
            with LegsLive() as live:
                for data in query.follow():
                    live.show(data)
        except KeyboardInterrupt:
            typer.echo(f"\nThe query goes on; find it with: {_show_it(query)}", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except StationUnreachable as error:
            kept = f"The query is kept; when the station is up again: {_show_it(query)}"
            raise StationUnreachable(f"{error} {kept}") from error
        if query.leg == "DELIVERED":
            typer.echo(query.answer)
            return
        typer.echo(f"Query {query.id} ended as {query.leg}: {query.reason}.{_scenes_instead(ground, query)}", err=True)
        raise typer.Exit(1)


@app.command()
def show(
    query_id: Annotated[str, typer.Argument(help="Id of the query; a unique beginning is enough.")],
    json_out: Annotated[bool, typer.Option("--json", help="The query as JSON.")] = False,
    url: Url = None,
) -> None:
    """Show a query: legs with their evidence, answer, receipt.

    Example:  `orbitlm ground show 9f0c`
    """
    with sentences(), _client(url) as ground:
        query = ground.query(query_id)
        if json_out:
            import json

            typer.echo(json.dumps(query.data, indent=1, ensure_ascii=False))
        else:
            query_panel(query.data)
            if instead := _scenes_instead(ground, query):
                typer.echo(instead.strip())


@app.command()
def verify(
    query_id: Annotated[str, typer.Argument(help="Id of the query; a unique beginning is enough.")],
    json_out: Annotated[bool, typer.Option("--json", help="The outcome as JSON.")] = False,
    url: Url = None,
) -> None:
    """Check a query's receipt: signed by the spacecraft, and for this question, scene, answer and model.

    Exit status: 0 authentic, 1 something was changed, 3 nothing can be said (no key, unknown key, not signed,
    or not all of the text is here).

    Example:  `orbitlm ground verify 9f0c`
    """
    with sentences(), _client(url) as ground:
        found = ground.query(query_id).verify()
        if json_out:
            import json

            typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            typer.echo(f"{found['seal']}: {found['sentence']}")
        if found["seal"] != "AUTHENTIC":
            raise typer.Exit(1 if found["seal"] == "ALTERED" else UNDECIDED)


@app.command()
def queries(limit: Count = 20, url: Url = None) -> None:
    """List the queries, newest first.

    Example:  `orbitlm ground queries -n 5`
    """
    with sentences(), _client(url) as ground:
        queries_table([query.data for query in ground.queries(limit)])


@app.command()
def passes(url: Url = None) -> None:
    """List the contacts: past, present and planned.

    Example:  `orbitlm ground passes`
    """
    with sentences(), _client(url) as ground:
        passes_table(ground.passes())


@app.command()
def events(limit: Count = 30, url: Url = None) -> None:
    """List the events of spacecraft and station, newest first.

    Example:  `orbitlm ground events -n 100`
    """
    with sentences(), _client(url) as ground:
        events_table(ground.events(limit))


@app.command()
def telemetry(url: Url = None) -> None:
    """Show the newest value of each telemetry channel.

    Example:  `orbitlm ground telemetry`
    """
    with sentences(), _client(url) as ground:
        telemetry_table(ground.telemetry())


@app.command()
def cancel(
    query_id: Annotated[str, typer.Argument(help="Id of the query; a unique beginning is enough.")], url: Url = None
) -> None:
    """Cancel a query; on board it ends when the command arrives there.

    Example:  `orbitlm ground cancel 9f0c`
    """
    with sentences(), _client(url) as ground:
        query = ground.query(query_id).cancel()
        typer.echo(f"Query {query.id} is {query.leg if query.ended else 'being cancelled'}.")


def _command_help() -> str:
    listed = "\n".join(f"- `{usage(entry)}`: {entry.description}" for entry in COMMANDS.values())
    return (
        "Send a telecommand and wait until the spacecraft says what became of it.\n\n"
        "It is repeated until something is heard, at most for `--wait` seconds, and not sent after that. "
        "Exit status: 0 completed, 1 rejected or failed (with the reason), 3 no last word yet.\n\n"
        f"{listed}\n\nExample:  `orbitlm ground command supervisor.leave_safe_mode`"
    )


@app.command(help=_command_help())
def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the command.")],
    arguments: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Its arguments.")] = None,
    wait: Annotated[float, typer.Option(min=1, max=3600, help="Longest wait for the last word, s.")] = WAIT_S,
    url: Url = None,
) -> None:
    """Send a telecommand; the help above is made of the dictionary."""
    with sentences():
        args = checked(name, parsed(name, arguments or []))
        with _client(url) as ground:
            try:
                told = ground.command(name, args, wait_s=wait)
            except KeyboardInterrupt:
                typer.echo("\nThe command may be carried out all the same; see: orbitlm ground events", err=True)
                raise typer.Exit(INTERRUPTED) from None
    typer.echo(told["sentence"])
    if told["state"] in ("REJECTED", "FAILED"):
        raise typer.Exit(1)
    typer.echo(f"To see it: {COMMANDS[name].works_if}", err=True)
    if told["state"] != "COMPLETED":
        raise typer.Exit(UNDECIDED)


@config_app.command("init")
def config_init(
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: standard output.")] = None,
) -> None:
    """Write a commented configuration file of all defaults.

    Example:  `orbitlm ground config init --out ground.toml`
    """
    with sentences():
        from ground.settings import GroundSettings

        text = dump(GroundSettings())
        if out is None:
            typer.echo(text, nl=False)
            return
        try:
            with out.open("x", encoding="utf-8") as file:
                file.write(text)
        except OSError as error:
            raise GroundError(f"The file {out} cannot be written: {error.strerror or error}.") from error
        typer.echo(f"Wrote {out}.", err=True)


@config_app.command("show")
def config_show(config: Config = None, data: Data = None, insecure_link: Insecure = False) -> None:
    """Show the settings in force: defaults, file, environment, command line.

    Example:  `ORBITLM_GROUND_API__PORT=8700 orbitlm ground config show --config ground.toml`
    """
    with sentences():
        typer.echo(dump(load(config, _overrides(data, insecure_link))), nl=False)


if __name__ == "__main__":
    sys.exit(app())
