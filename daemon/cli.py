"""The command line: parse, call one function, print, return its code.

Exit codes: 0 fine, 1 an expected error in one line on standard error, 2 wrong usage, 3 a bug with the log named,
130 interrupted; `status` has codes of its own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from churnwatch.daemon.hints import at_home
from churnwatch.pipeline.errors import ChurnwatchError, UsageError

F = TypeVar("F", bound=Callable[..., Any])
EXPECTED, USAGE, BUG, INTERRUPTED = 1, 2, 3, 130
_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)


def _set_home(ctx: click.Context, _parameter: click.Parameter, home: Path | None) -> None:
    if home is not None:
        ctx.obj = home


class _Command(click.Command):
    """A command whose help ends with an example; it takes `--home` after its name, too."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.example = example
        if all("--home" not in parameter.opts for parameter in self.params):
            self.params.append(
                click.Option(["--home"], type=_FOLDER, expose_value=False, hidden=True, callback=_set_home)
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Write the example."""
        if self.example:
            with formatter.section("Example"):
                formatter.write_text(self.example)


class _Group(click.Group):
    """Commands in the order in which they are declared, the way somebody meets them."""

    command_class = _Command

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """Return the commands' names."""
        return list(self.commands)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option("--home", type=_FOLDER, envvar="CHURNWATCH_HOME", default=Path(), help="The home (default: this folder).")
@click.version_option(package_name="churnwatch")
@click.pass_context
def cli(ctx: click.Context, home: Path) -> None:
    """Drop a CSV, get a better churn model and a report.

    A home is a folder with a settings.yaml; make one with `churnwatch init`. Every command that works on a home takes
    --home before or after its name.
    """
    ctx.obj = home


@cli.command(example="churnwatch demo")
@click.option("--home", "folder", type=_FOLDER, default=Path("churnwatch-demo"), show_default=True, help="Where.")
def demo(folder: Path) -> None:
    """See it work: a real daemon, generated customers of eight months, a report at the end."""
    from churnwatch.daemon.demo import demo as show

    show(folder, click.echo)


@cli.command(example="churnwatch init telco --from customers.csv")
@click.argument("folder", type=_FOLDER, default=Path())
@click.option("--from", "sample", type=_FILE, help="A CSV to infer the settings from.")
@click.option("--from-config", "config", type=_FILE, help="A config.json with the classic exercise's five paths.")
@click.option("--id", "id_", metavar="COLUMN", help="The column that names a customer.")
@click.option("--target", metavar="COLUMN", help="The column that says who left.")
@click.option("--positive", metavar="VALUE", help="The target's value that means: left.")
@click.option("--exclude", metavar="COLUMN", multiple=True, help="A column not to learn from; may be repeated.")
def init(folder: Path, **given: Any) -> None:
    """Make a home: a folder with a commented settings.yaml."""
    from churnwatch.daemon.setup import init as make

    make(folder, ask=_ask if sys.stdin.isatty() else None, tell=click.echo, **given)


def _ask(question: str, choices: tuple[str, ...]) -> str:
    answer = click.prompt(question, type=click.Choice(choices) if choices else str, show_choices=bool(choices))
    return str(answer)


@cli.command(example="churnwatch explore customers.csv --html first-look.html")
@click.argument("file", type=_FILE)
@click.option("--target", metavar="COLUMN", help="The column that says who left.")
@click.option("--positive", metavar="VALUE", help="The target's value that means: left.")
@click.option("--html", "output", type=_FILE, help="Write a page with charts here, too.")
def explore(file: Path, target: str | None, positive: str | None, output: Path | None) -> None:
    """Take a first look at a CSV: types, gaps, distributions, who leaves, likely leaks and duplicates."""
    import shutil

    from churnwatch.pipeline.files import write_text
    from churnwatch.pipeline.firstlook import explore as look

    found = look.explore(file, target=target, positive=positive)
    click.echo(look.render_text(found, width=shutil.get_terminal_size().columns))
    if output is not None:
        write_text(output, look.render_html(found))
        click.echo(f"\nWith charts: {output}")


@cli.command(example="churnwatch --home telco run")
@click.option("--once", is_flag=True, help="Work off what is there and end (for cron).")
@click.option("--poll", "poll_s", type=click.FloatRange(min=0.1), metavar="SECONDS",
              help="Look this often instead of relying on file events (network file systems).")  # fmt: skip
@click.option("--no-notify", is_flag=True,
              help="Send no alerts and no mail; `churnwatch alert` does, from a timer of its own.")  # fmt: skip
@click.pass_obj
def run(home: Path, once: bool, poll_s: float | None, no_notify: bool) -> int:
    """Watch the source folder: the daemon."""
    from churnwatch.daemon import logs

    logs.set_up(errors_only=once)  # what comes of a run is printed below
    if not once:
        from churnwatch.daemon import service

        service.run(home, poll_s=poll_s, notifies=not no_notify)
        return 0
    from churnwatch.daemon.commands import run_once
    from churnwatch.daemon.customer_commands import called

    outcomes = run_once(home, _show_step if sys.stderr.isatty() else lambda _: None)
    if not outcomes:
        click.echo("Nothing new in the source folder.")
    for outcome in outcomes:
        lines = [f"run {outcome.run} {outcome.status}: {outcome.line}"]
        lines += (f"  attention: {warning}" for warning in outcome.warnings)
        lines += (f"  {line}" for line in called(home, outcome.run))
        click.echo(at_home("\n".join(lines), home))
    return 0 if all(outcome.status == "done" for outcome in outcomes) else EXPECTED


def _show_step(step: str) -> None:
    click.echo(f"  {step} …", err=True)


@cli.command(example="churnwatch pull payments")
@click.argument("source", nargs=-1)
@click.pass_obj
def pull(home: Path, source: tuple[str, ...]) -> int:
    """Bring what is new into the source folder, from databases and remote folders; by default of all sources."""
    from churnwatch.pipeline import settings
    from churnwatch.pipeline.pull import pull as bring

    worst = 0
    for result in bring(settings.load(home), source):
        click.echo(result.line if result.ok else f"churnwatch: {result.line}", err=not result.ok)
        worst = worst if result.ok else EXPECTED
    return worst


@cli.command(example="churnwatch status --json")
@click.option("--json", "json_", is_flag=True, help="One JSON object.")
@click.option("--follow", is_flag=True, help="Say it again whenever something changes, until interrupted.")
@click.pass_obj
def status(home: Path, json_: bool, follow: bool) -> int:
    """Say how things stand. Exit code 0: healthy, 1: something needs attention, 4: something is broken."""
    from churnwatch.daemon import status as state_of

    def render(found: dict[str, Any]) -> str:
        return state_of.as_json(found) if json_ else at_home(state_of.as_text(found), home)

    state = state_of.gather(home)
    if state["broken"] and not json_:
        return _fail(at_home(state["broken"], home), state_of.BROKEN)
    click.echo(render(state))
    while follow:
        import time

        time.sleep(1.0)
        newer = state_of.gather(home)
        if newer != state:
            state = newer
            click.echo("\n" + render(state))
    return state_of.exit_code(state)


@cli.command(example="churnwatch report --open")
@click.option("--open", "open_", is_flag=True, help="Show it in the browser.")
@click.option("--output", type=_FILE, help="Write it somewhere else.")
@click.option("--run", type=click.IntRange(min=1), help="The page of one run instead.")
@click.option("--pdf", is_flag=True, help="Print it, too, with the Chromium that is installed.")
@click.pass_obj
def report(home: Path, open_: bool, output: Path | None, run: int | None, pdf: bool) -> None:
    """Write the report anew."""
    from churnwatch.daemon.printing import print_pdf
    from churnwatch.daemon.reporting import write_report

    path = write_report(home, output, run=run)
    click.echo(path)
    if pdf:
        path = print_pdf(path)
        click.echo(path)
    if open_:
        click.launch(str(path))


@cli.command("files", example="churnwatch files --state quarantined")
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.option("--state", metavar="STATE", help="Only files in this state, such as quarantined.")
@click.pass_obj
def files_(home: Path, json_: bool, state: str | None) -> None:
    """Show every file ever seen, what became of it, and why."""
    from churnwatch.daemon import listings
    from churnwatch.daemon.reading import ledger_of
    from churnwatch.pipeline.records import FileState

    if state is not None and state not in list(FileState):
        raise UsageError(f"--state {state}: there is no such state; there are {', '.join(FileState)}.")
    with ledger_of(home) as ledger:
        rows = ledger.files(state)
        click.echo(listings.as_json(rows) if json_ else listings.files(rows, ledger.findings()))


@cli.command(example="churnwatch retry telco-2026-03.csv")
@click.argument("file")
@click.pass_obj
def retry(home: Path, file: str) -> None:
    """Have a file read again, for example after its rights or the settings were mended."""
    from churnwatch.daemon.changes import retry as again

    click.echo(at_home(again(home, file), home))


@cli.command(example="churnwatch runs")
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many.")
@click.pass_obj
def runs(home: Path, json_: bool, last: int) -> None:
    """Show the last runs with their decisions."""
    from churnwatch.daemon import listings
    from churnwatch.daemon.reading import ledger_of

    with ledger_of(home) as ledger:
        rows = ledger.runs(limit=last)
        click.echo(listings.as_json(rows) if json_ else listings.runs(rows))


@cli.command(example="churnwatch show 12")
@click.argument("run", type=click.IntRange(min=1))
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.pass_obj
def show(home: Path, run: int, json_: bool) -> None:
    """Show one run: its files, steps, timings, metrics and decision."""
    from churnwatch.daemon import listings
    from churnwatch.daemon.reading import ledger_of

    with ledger_of(home) as ledger:
        found = listings.run(ledger, run)
        click.echo(listings.as_json(found) if json_ else listings.run_text(found))


@cli.command(example="churnwatch models")
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.pass_obj
def models(home: Path, json_: bool) -> None:
    """Show the model versions, and what served when, by whose doing and why."""
    from churnwatch.daemon import listings
    from churnwatch.daemon.reading import ledger_of

    with ledger_of(home) as ledger:
        versions, releases = ledger.models(), ledger.releases()
        both = {"models": versions, "releases": releases}
        click.echo(listings.as_json(both) if json_ else listings.models(versions, releases))


@cli.command(example="churnwatch replay --policy always --policy proven")
@click.option("--policy", "policies", multiple=True, metavar="POLICY",
              help="better, proven, strict, always or never; may be repeated (default: all).")  # fmt: skip
@click.option("--json", "json_", is_flag=True, help="As JSON, with every run.")
@click.pass_obj
def replay(home: Path, policies: tuple[str, ...], json_: bool) -> None:
    """Go through the home's own history by other policies: what would have served, and what it was worth."""
    from churnwatch.daemon import listings
    from churnwatch.daemon import replay as history
    from churnwatch.pipeline.replay import POLICIES

    for policy in policies:
        if policy not in POLICIES:
            raise UsageError(f"--policy {policy}: there is no such policy; there are {', '.join(POLICIES)}.")
    found = history.look(home, policies)
    click.echo(listings.as_json(found) if json_ else history.in_words(found))


def _version(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> int | None:
    if value is None:
        return None
    digits = value.removeprefix("v")
    if not digits.isdigit():
        raise click.BadParameter(f"{value!r} is no version; versions look like 7 or v7.")
    return int(digits)


@cli.command(example='churnwatch promote v7 --why "approved by the board"')
@click.argument("version", callback=_version)
@click.option("--why", required=True, help="Required; goes into the ledger.")
@click.pass_obj
def promote(home: Path, version: int, why: str) -> None:
    """Make a version the release by hand."""
    from churnwatch.daemon.changes import promote as release

    click.echo(release(home, version, why))


@cli.command(example='churnwatch approve v7 --why "looked at the call list"')
@click.argument("version", callback=_version)
@click.option("--why", required=True, help="Required; goes into the ledger.")
@click.pass_obj
def approve(home: Path, version: int, why: str) -> None:
    """Release a candidate that passed the gate and waits for it (`approval: manual`)."""
    from churnwatch.daemon.changes import approve as release

    click.echo(release(home, version, why))


@cli.command(example='churnwatch reject v7 --why "calls the wrong people"')
@click.argument("version", callback=_version)
@click.option("--why", required=True, help="Required; goes into the ledger.")
@click.pass_obj
def reject(home: Path, version: int, why: str) -> None:
    """Let a candidate that passed the gate wait no longer; the model in use stays."""
    from churnwatch.daemon.changes import reject as leave

    click.echo(leave(home, version, why))


@cli.command(example='churnwatch rollback --why "complaints since Monday"')
@click.argument("version", callback=_version, required=False)
@click.option("--why", required=True, help="Required; goes into the ledger.")
@click.pass_obj
def rollback(home: Path, version: int | None, why: str) -> None:
    """Go back to an earlier version (by default the one before) and pin it, so that no run undoes it."""
    from churnwatch.daemon.changes import rollback as back

    click.echo(back(home, version, why))


@cli.command(example="churnwatch unpin")
@click.option("--why", help="Goes into the ledger.")
@click.pass_obj
def unpin(home: Path, why: str | None) -> None:
    """Let the next run promote again after a rollback."""
    from churnwatch.daemon.changes import unpin as free

    click.echo(free(home, why))


@cli.command(example="churnwatch predict prospects.csv -o prospects-predicted.csv")
@click.argument("file", type=_FILE)
@click.option("-o", "--output", type=_FILE, help="Where to (default: beside the file).")
@click.pass_obj
def predict(home: Path, file: Path, output: Path | None) -> None:
    """Predict a file's customers: probability, decision at the threshold, and model version; or amount and version."""
    from churnwatch.daemon.commands import predict_csv

    target = output or file.with_name(f"{file.stem}-predicted.csv")
    said, told = predict_csv(home, file, target)
    for line in told:
        click.echo(f"{file.name}: {line}", err=True)
    click.echo(f"{target}: {said}")


@cli.command(example="churnwatch customers --bucket A --top 50")
@click.argument("customer", metavar="[ID]", required=False)
@click.option("--bucket", type=click.Choice(["A", "B", "C"], case_sensitive=False), help="Only those of this bucket.")
@click.option("--top", type=click.IntRange(min=1), metavar="COUNT",
              help="How many, of one customer how many runs (default: 20; as CSV or JSON all customers).")  # fmt: skip
@click.option("--csv", "csv_", is_flag=True, help="As CSV, safe to open in a spreadsheet.")
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.pass_obj
def customers(home: Path, customer: str | None, bucket: str | None, top: int | None, csv_: bool, json_: bool) -> None:
    """Show whom to call, whom to make an offer and whom to thank; or what was said of one customer over the runs."""
    from churnwatch.daemon import customer_commands as found
    from churnwatch.daemon import listings

    if customer is not None:
        if bucket is not None or csv_:
            raise UsageError("one customer's history goes neither with --bucket nor with --csv.")
        both = found.of_one(home, customer, top=top)
        click.echo(listings.as_json(both) if json_ else found.history_in_words(customer, **both))
    elif csv_:
        click.echo(found.as_csv(home, bucket=bucket, top=top), nl=False)
    else:
        seen = found.look(home, bucket=bucket, top=top or (None if json_ else found.SHOWN))
        click.echo(listings.as_json(seen) if json_ else at_home(found.in_words(seen), home))


@cli.command(example="churnwatch explain 1234-ABCDE")
@click.argument("id_", metavar="ID")
@click.option(
    "--file", "source", type=_FILE, help="A CSV that has the customer's row (default: the data set's newest)."
)
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.pass_obj
def explain(home: Path, id_: str, source: Path | None, json_: bool) -> None:
    """Say why a customer is predicted as they are: what each column does to it, by the model in use."""
    from churnwatch.daemon import explain_commands
    from churnwatch.daemon.listings import as_json

    told = explain_commands.explain(home, id_, source)
    click.echo(as_json(told) if json_ else explain_commands.as_text(told))


@cli.command(example="churnwatch read strange.csv -o plain.csv")
@click.argument("file", type=_FILE)
@click.option("-o", "--output", type=_FILE, help="Where to (default: standard output).")
@click.option("--delimiter", metavar="CHARACTER", help="Between cells (default: found out).")
def read(file: Path, output: Path | None, delimiter: str | None) -> None:
    """Show what would be ingested of a file, as plain CSV; what was guessed or set aside goes to standard error."""
    from churnwatch.daemon.plain import read_csv

    if delimiter is not None and len(delimiter) != 1:
        raise UsageError("--delimiter: must be one character.")
    for line in read_csv(file, output, delimiter):
        click.echo(f"{file.name}: {line}", err=True)


@cli.command(example="churnwatch campaigns --value 240")
@click.option("--value", type=click.FloatRange(min=0, min_open=True), metavar="AMOUNT",
              help="What a customer who stays is worth (default: by `value` in the settings).")  # fmt: skip
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.pass_obj
def campaigns(home: Path, value: float | None, json_: bool) -> None:
    """Show whether campaigns worked: churn of treated against control, by action and month."""
    from churnwatch.daemon import campaign_commands, listings
    from churnwatch.daemon.reading import ledger_of

    with ledger_of(home) as ledger:
        found = campaign_commands.gather(ledger, value)
        click.echo(listings.as_json(found) if json_ else campaign_commands.in_words(found))


@cli.command(example="churnwatch churn")
@click.option("--json", "json_", is_flag=True, help="As JSON, with every month of every cohort.")
@click.pass_obj
def churn(home: Path, json_: bool) -> None:
    """Show who left by month, what is left of each cohort, what the rate comes to in a year, and the goal."""
    from churnwatch.daemon import churn_commands, listings
    from churnwatch.daemon.reading import ledger_of

    with ledger_of(home) as ledger:
        found = churn_commands.gather(ledger)
        click.echo(listings.as_json(found) if json_ else churn_commands.in_words(found))


@cli.command(example="churnwatch serve --port 8350")
@click.option("--host", metavar="ADDRESS", help="Listen at this address instead of the settings'.")
@click.option("--port", type=click.IntRange(0, 65535), help="Listen at this port instead; 0: any that is free.")
@click.pass_obj
def serve(home: Path, host: str | None, port: int | None) -> int:
    """Answer other programs: a REST API over the release."""
    from churnwatch.daemon import logs, serve_commands

    logs.set_up()
    return 0 if serve_commands.serve(home, host=host, port=port, tell=click.echo) else EXPECTED


@cli.command("api-returns", example="churnwatch api-returns -o apireturns.json")
@click.option("--url", metavar="URL", help="Of the server (default: where the settings say that it listens).")
@click.option("-o", "--output", type=_FILE, default=Path("apireturns.json"), show_default=True, help="Where to.")
@click.pass_obj
def api_returns(home: Path, url: str | None, output: Path) -> None:
    """Ask each route of a running server once, and write what it answers."""
    from churnwatch.daemon import api_returns as asked
    from churnwatch.daemon.listings import as_json
    from churnwatch.pipeline.files import write_text

    found = asked.gather(home, url)
    write_text(output, as_json(found) + "\n")
    click.echo(asked.in_words(found, output))


@cli.group("key", cls=_Group)
def key_() -> None:
    """Say who may use the API."""


@key_.command("create", example="churnwatch key create billing --scope predict")
@click.argument("name")
@click.option("--scope", type=click.Choice(["predict", "read", "admin"]), default="predict", show_default=True,
              help="predict: ask for predictions and report outcomes; read: see everything; admin: both.")  # fmt: skip
@click.pass_obj
def key_create(home: Path, name: str, scope: str) -> None:
    """Make a key and print its token: the one time that it is shown, since only its hash is kept."""
    from churnwatch.daemon import key_commands

    token, said = key_commands.create(home, name, scope)
    click.echo(said, err=True)  # so that the token alone goes into a pipe
    click.echo(token)


@key_.command("list", example="churnwatch key list")
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.pass_obj
def key_list(home: Path, json_: bool) -> None:
    """Show every key that ever was, what it is good for, and since when it is no longer in force."""
    from churnwatch.daemon import key_commands, listings

    rows = key_commands.look(home)
    click.echo(listings.as_json(rows) if json_ else key_commands.in_words(rows))


@key_.command("revoke", example="churnwatch key revoke billing")
@click.argument("name")
@click.pass_obj
def key_revoke(home: Path, name: str) -> None:
    """Have a key open nothing any more; whoever logged in with it is logged out."""
    from churnwatch.daemon import key_commands

    click.echo(key_commands.revoke(home, name))


@cli.command(example="churnwatch packages")
@click.option("--last", is_flag=True, help="Show the last result without checking now.")
@click.pass_obj
def packages(home: Path, last: bool) -> None:
    """Check for outdated and vulnerable packages, and show what was found."""
    from churnwatch.daemon import listings
    from churnwatch.daemon.reading import ledger_of

    if not last:
        from churnwatch.daemon.commands import open_home
        from churnwatch.daemon.work import check_packages

        check_packages(open_home(home))
    with ledger_of(home) as ledger:
        check = ledger.package_check()
        click.echo(listings.packages(check, ledger.package_findings(check["check_id"]) if check else []))


@cli.command(example="churnwatch alert --test")
@click.option("--test", is_flag=True, help="Send a test by every channel of the settings, whatever is wrong or not.")
@click.pass_obj
def alert(home: Path, test: bool) -> int:
    """Tell people what changed: raise and clear alerts, deliver what waits, send the weekly mail where it is due."""
    from churnwatch.daemon import logs, notify_commands

    logs.set_up(errors_only=True)
    said, failed = notify_commands.try_alerts(home) if test else notify_commands.alert(home)
    for line in said:
        click.echo(line)
    for line in failed:
        click.echo(f"churnwatch: {line}", err=True)
    return EXPECTED if failed else 0


@cli.command(example="churnwatch mail --dry-run weekly.eml")
@click.option("--dry-run", type=_FILE, metavar="FILE", help="Write the mail into this file (.eml) and send nothing.")
@click.option("--to", multiple=True, metavar="ADDRESS",
              help="Send it to this address only, whoever had it before; may be repeated.")  # fmt: skip
@click.pass_obj
def mail(home: Path, dry_run: Path | None, to: tuple[str, ...]) -> None:
    """Send this week's mail now: who is at risk, why, what to offer, what changed. Nobody gets it twice by itself."""
    from churnwatch.daemon import logs, notify_commands

    logs.set_up(errors_only=True)
    click.echo(notify_commands.mail(home, dry_run=dry_run, to=to))


@cli.command(example="churnwatch export -o finaldata.csv")
@click.option("-o", "--output", type=_FILE, help="Where to (default: finaldata.csv in the ingested folder).")
@click.pass_obj
def export(home: Path, output: Path | None) -> None:
    """Write the de-duplicated data set as one CSV."""
    from churnwatch.daemon.commands import export_csv, open_home

    target = output or open_home(home).ingested / "finaldata.csv"
    click.echo(f"{target}: {export_csv(home, target):,} rows")


@cli.command(example="churnwatch backup /mnt/backup/churnwatch.tar")
@click.argument("file", type=_FILE)
@click.pass_obj
def backup(home: Path, file: Path) -> int:
    """Pack the home into one file while the daemon goes on; 1 where something that belongs to it is missing."""
    from churnwatch.pipeline import backup as archive
    from churnwatch.pipeline.settings import load

    found = archive.backup(load(home), file)
    click.echo(f"{file}: {len(found.files):,} files, {file.stat().st_size / 1e6:,.1f} MB")
    for problem in found.problems:
        click.echo(f"PROBLEM {problem}", err=True)
    return EXPECTED if found.problems else 0


@cli.command(example="churnwatch restore /mnt/backup/churnwatch.tar restored")
@click.argument("file", type=_FILE)
@click.argument("folder", type=_FOLDER)
def restore(file: Path, folder: Path) -> None:
    """Make a home of a backup, in a new or an empty folder, after all of it was checked."""
    from churnwatch.pipeline import backup as archive

    home, found = archive.restore(file, folder)
    for problem in found.problems:
        click.echo(f"PROBLEM {problem}, already when the backup was made", err=True)
    click.echo(f"{home.path}: restored as of {found.made_at}; start it: churnwatch --home {home.path} run")


@cli.command(example="churnwatch experiment -p logistic.C=0.1 --cv 5 --solver lbfgs --max-iter 100")
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="ESTIMATOR.NAME=VALUE",
              help="A parameter of an estimator; may be repeated.")  # fmt: skip
@click.option("--estimator", "estimators", multiple=True, metavar="NAME",
              help="Which to train (default: those with a parameter given, else as in the settings).")  # fmt: skip
@click.option("--mode", metavar="MODE", help="As training.mode: refit, compare, ….")
@click.option("--cv", "folds", type=int, metavar="FOLDS", help="Folds of the cross-validation.")
@click.option("--solver", metavar="SOLVER", help="Short for -p logistic.solver=SOLVER.")
@click.option("--max-iter", metavar="COUNT", help="Short for -p logistic.max_iter=COUNT.")
@click.option("--note", metavar="TEXT", help="What it is about; goes into the ledger.")
@click.option("--learning-curve", "curve", is_flag=True, help="Train on 10, 20, 40 and 70 % of the customers, too.")
@click.pass_obj
def experiment(home: Path, /, **asked: Any) -> None:
    """Train once with other parameters; recorded with metrics and files, compared with the champion, never released."""
    from churnwatch.daemon import experiments as found

    progress = _show_step if sys.stderr.isatty() else lambda _: None
    click.echo(found.experiment(home, found.Asked(**asked), progress))


@cli.command(example="churnwatch experiments 3 7")
@click.argument("number", type=click.IntRange(min=1), nargs=-1)
@click.option("--json", "json_", is_flag=True, help="As JSON, with everything that was measured.")
@click.pass_obj
def experiments(home: Path, number: tuple[int, ...], json_: bool) -> None:
    """Show all experiments, or one, or several side by side."""
    from churnwatch.daemon import experiment_lists, listings
    from churnwatch.daemon.reading import ledger_of

    with ledger_of(home) as ledger:
        found = experiment_lists.gather(ledger, number)
        if json_:
            click.echo(listings.as_json([each.as_row for each in found]))
        elif number:
            click.echo(experiment_lists.side_by_side(ledger, found))
        else:
            click.echo(experiment_lists.overview(found))


@cli.command(example="churnwatch features --describe")
@click.option("--describe", is_flag=True, help="Every feature with what it is, its missing share and its mean.")
@click.option("--json", "json_", is_flag=True, help="As JSON.")
@click.pass_obj
def features(home: Path, describe: bool, json_: bool) -> None:
    """Show the feature table: what sources beside the customers' rows were made into."""
    from churnwatch.daemon import features as table
    from churnwatch.daemon import listings

    found = table.look(home)
    if json_:
        click.echo(listings.as_json(found))
    elif describe:
        rows = ((f["feature"], f["missing_share"], f["mean"], f["says"]) for f in found["features"])
        click.echo(listings.table(rows, ("feature", "missing", "mean", "what it is")))
    else:
        click.echo(table.in_words(found))


@cli.command(example="churnwatch doctor")
@click.pass_obj
def doctor(home: Path) -> int:
    """Check installation, folders, rights, ledger, release, unit and clock; each FIX comes with a command."""
    from churnwatch.daemon.doctor import examine

    found = examine(home)
    for check in found:
        click.echo(check.line)
    return 0 if all(check.ok for check in found) else EXPECTED


@cli.command(example="churnwatch sample --like telco --months 3 --rows 2000 samples")
@click.argument("folder", type=_FOLDER)
@click.option("--like", type=click.Choice(["attrition", "kkbox", "telco"]), default="telco", show_default=True,
              help="Which well-known data they look like; kkbox has several sources, from 3 months on.")  # fmt: skip
@click.option("--months", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--rows", type=click.IntRange(min=1), default=1000, show_default=True, help="Customers in each month.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
def sample(folder: Path, like: str, months: int, rows: int, seed: int) -> None:
    """Generate customers, and say what truth they are drawn from."""
    if like == "kkbox":
        from churnwatch.pipeline import sample_kkbox

        paths, truth = sample_kkbox.write(folder, months=months, rows=rows, seed=seed), sample_kkbox.truth()
    else:
        from churnwatch.pipeline import sample as generator

        kind = generator.Like(like)
        paths, truth = generator.write(folder, kind, months=months, rows=rows, seed=seed), generator.truth(kind)
    for path in paths:
        click.echo(path)
    click.echo(f"\nThe truth behind them:\n{truth}")


def main() -> None:
    """Run the command line and end the process with its code."""
    # Threads that wait for each other burn the box's few cores; training takes more of them where that pays.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(guarded(sys.argv[1:]))


def guarded(arguments: list[str]) -> int:
    """Run one command; turn every way in which it can end into an exit code and at most one line."""
    try:
        code = cli.main(arguments, prog_name="churnwatch", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except UsageError as error:
        return _fail(_at_home(arguments, error), USAGE)
    except (ChurnwatchError, OSError) as error:
        return _fail(_at_home(arguments, error), EXPECTED)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a bug: its traceback goes into the log, whose name is shown
        return _bug(arguments, error)
    return code if isinstance(code, int) else 0


def _at_home(arguments: list[str], error: Exception) -> str:
    from churnwatch.daemon.reading import home_in

    return at_home(str(error), home_in(arguments))


def _fail(line: str, code: int) -> int:
    click.echo(f"churnwatch: {line}", err=True)
    return code


def _bug(arguments: list[str], error: Exception) -> int:
    from churnwatch.daemon.logs import keep_traceback, traceback_of
    from churnwatch.daemon.reading import home_in

    log = keep_traceback(home_in(arguments), error)
    if log is None:
        click.echo(traceback_of(error), err=True, nl=False)
    return _fail(f"a bug: {type(error).__name__}. Its traceback is in {log or 'the lines above'}.", BUG)


if __name__ == "__main__":
    main()
