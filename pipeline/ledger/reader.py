"""Reading the ledger with the standard library alone: light enough for `status` and for the idle daemon.

Lists for people come back as dicts, one per row of a view; what a step needs comes back as its record.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Self

from churnwatch.pipeline.errors import LedgerError, NotFoundError
from churnwatch.pipeline.records import (
    CLOCK,
    DIALECT,
    Band,
    Batch,
    Champion,
    Decision,
    Drift,
    DriftKind,
    Experiment,
    ExperimentMetric,
    FileState,
    Model,
    Part,
    Request,
    Signature,
    SourceFile,
    Verdict,
)

Row = dict[str, Any]

# States after which a file is not looked at again, unless it changes.
_SETTLED = tuple(state.value for state in FileState if state not in (FileState.RETRY, FileState.WAITING))


# How often a run broke down or was killed, since somebody last asked for one of its files to be read again.
_BREAKDOWNS = (
    "SELECT count(*) FROM attempt_ends n WHERE n.run = h.run AND n.status IN ('broken', 'interrupted')"
    " AND n.ended_at > coalesce((SELECT max(e.at) FROM file_events e JOIN run_files r ON r.file = e.file"
    " WHERE r.run = h.run AND e.state = 'retry'), '')"
)

_FINDINGS = "SELECT g.run, g.file, f.path, g.kind, g.text FROM file_findings g JOIN files f USING (file)"
_PARTS = "SELECT * FROM parts WHERE part NOT IN (SELECT part FROM part_replacements)"


class Reader:
    """Questions to an open ledger. One instance per thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.row_factory = sqlite3.Row

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        """Open for reading only.

        Raises:
            LedgerError: there is none yet, the file is no ledger, or an older version made it and no run came since.
        """
        if not path.exists():
            raise LedgerError(f"{path.name}: no ledger yet; it is made by the first run (churnwatch run --once).")
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
        except sqlite3.OperationalError as error:
            raise LedgerError(f"{path}: cannot be read as a ledger ({error}). See `churnwatch doctor`.") from None
        try:
            connection.execute("PRAGMA foreign_keys=ON")
            connection.execute("SELECT count(*) FROM runs")
            yield cls(connection)
        except sqlite3.DatabaseError as error:
            raise LedgerError(_unreadable(path, str(error))) from None
        finally:
            connection.close()

    def rows(self, sql: str, *values: object) -> list[Row]:
        """Return a query's rows as dicts. For this package; others ask one of the questions below."""
        return [dict(row) for row in self._connection.execute(sql, values).fetchall()]

    def _one(self, sql: str, *values: object) -> Row | None:
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else dict(row)

    def _value(self, sql: str, *values: object) -> Any:
        row = self._connection.execute(sql, values).fetchone()
        return None if row is None else row[0]

    @contextmanager
    def one_moment(self) -> Iterator[None]:
        """Have all questions inside answered as of the first one, whatever a run records meanwhile."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    # -- source files ------------------------------------------------------------------------------------------

    def settled_signatures(self) -> set[Signature]:
        """Return every observation of a source file that needs no more work."""
        marks = ",".join("?" * len(_SETTLED))
        found = self.rows(
            f"SELECT path, size_bytes, mtime_ns, ctime_ns FROM files f WHERE"
            f" (SELECT state FROM file_events e WHERE e.file = f.file ORDER BY event DESC LIMIT 1) IN ({marks})",
            *_SETTLED,
        )
        return {Signature(**row) for row in found}

    def waiting_signatures(self) -> set[Signature]:
        """Return the requests to score that wait for a first model."""
        found = self.rows(
            "SELECT f.path, f.size_bytes, f.mtime_ns, f.ctime_ns FROM files f JOIN what_became_of_files w USING (file)"
            " WHERE w.state = 'waiting'"
        )
        return {Signature(**row) for row in found}

    def waiting_files(self) -> list[SourceFile]:
        """Return the requests to score that wait for a first model."""
        return [
            SourceFile(**row)
            for row in self.rows(
                "SELECT f.* FROM files f JOIN what_became_of_files w USING (file)"
                " WHERE w.state = 'waiting' ORDER BY f.file"
            )
        ]

    def content_owners(self, sha256: str, besides: int) -> list[SourceFile]:
        """Return the other files with these bytes whose rows were read, the first one first."""
        found = self.rows(
            "SELECT f.* FROM files f JOIN what_became_of_files w USING (file)"
            " WHERE f.sha256 = ? AND f.file != ? AND w.state IN ('ingested', 'predicted') ORDER BY f.file",
            sha256,
            besides,
        )
        return [SourceFile(**row) for row in found]

    def files(self, state: str | None = None) -> list[Row]:
        """Return every file ever seen with what became of it, newest last."""
        where, values = ("WHERE state = ?", (state,)) if state else ("", ())
        return self.rows(f"SELECT * FROM what_became_of_files {where} ORDER BY file", *values)

    def file_by_path(self, path: str) -> Row:
        """Return the newest observation of a path.

        Raises:
            NotFoundError: it was never seen.
        """
        row = self._one("SELECT * FROM what_became_of_files WHERE path = ? ORDER BY file DESC LIMIT 1", path)
        if row is None:
            raise NotFoundError(f"{path}: no file of that name was ever seen. See them all: churnwatch files")
        return row

    def source_file(self, file: int) -> SourceFile:
        """Return one observation of a source file."""
        return SourceFile(**self.rows("SELECT * FROM files WHERE file = ?", file)[0])

    def requests(self) -> list[Request]:
        """Return the requests to score whose rows are kept until their labels come."""
        return [Request(**row) for row in self.rows("SELECT * FROM requests ORDER BY file")]

    def file_state(self, file: int) -> str | None:
        """Return what became of a file so far."""
        row = self._one("SELECT state FROM what_became_of_files WHERE file = ?", file)
        return None if row is None else str(row["state"])

    def findings(self, file: int | None = None) -> list[Row]:
        """Return what was guessed or left out when files were read."""
        where, values = ("AND file = ?", (file,)) if file is not None else ("", ())
        return self.rows(f"{_FINDINGS} WHERE g.kind <> '{DIALECT}' {where} ORDER BY g.rowid", *values)

    def dialects(self) -> list[Row]:
        """Return how files were read, one row wherever that changed, oldest first."""
        return self.rows(f"{_FINDINGS} WHERE g.kind = '{DIALECT}' ORDER BY g.rowid")

    def quarantines(self, run: int | None = None) -> list[Row]:
        """Return counts of quarantined rows by file, check and column."""
        where, values = ("WHERE q.run = ?", (run,)) if run is not None else ("", ())
        return self.rows(
            f"SELECT q.*, f.path FROM quarantines q JOIN files f USING (file) {where} ORDER BY q.rowid", *values
        )

    def row_totals(self) -> dict[str, int]:
        """Return rows read, accepted, duplicate and quarantined over everything ever ingested or scored."""
        row = self._one(
            "SELECT coalesce(sum(rows_read), 0) AS read, coalesce(sum(accepted), 0) AS accepted,"
            " coalesce(sum(duplicate), 0) AS duplicate, coalesce(sum(quarantined), 0) AS quarantined"
            " FROM file_events"
        )
        return {name: int(value) for name, value in (row or {}).items()}

    def file_counts(self) -> dict[str, int]:
        """Return how many files are in each state."""
        return {
            row["state"]: row["n"]
            for row in self.rows("SELECT state, count(*) AS n FROM what_became_of_files GROUP BY state ORDER BY state")
        }

    # -- the data set ------------------------------------------------------------------------------------------

    def parts(self, dataset: str = "", *, definition: str | None = None) -> list[Part]:
        """Return the parts that make up a data set; of partial aggregates only those of one definition."""
        found = self.rows(f"{_PARTS} AND dataset = ? AND definition IS ? ORDER BY run, part", dataset, definition)
        return [Part(**row) for row in found]

    def all_parts(self) -> list[Part]:
        """Return the parts of all data sets, and of all that was computed from them."""
        return [Part(**row) for row in self.rows(f"{_PARTS} ORDER BY dataset, run, part")]

    def row_parts(self) -> list[Part]:
        """Return the parts of all data sets that hold rows, not what was computed from them."""
        return [Part(**row) for row in self.rows(f"{_PARTS} AND definition IS NULL ORDER BY dataset, run, part")]

    def aggregated(self, dataset: str, definition: str) -> set[str]:
        """Return the parts of a source whose rows stand in these partial aggregates."""
        found = self.rows("SELECT part FROM aggregated WHERE dataset = ? AND definition = ?", dataset, definition)
        return {row["part"] for row in found}

    def stale_parts(self, kept: Collection[tuple[str, str]]) -> list[str]:
        """Return parts of partial aggregates of other data sets, or by other definitions, than those `kept`."""
        found = self.rows(f"{_PARTS} AND definition IS NOT NULL ORDER BY part")
        return [row["part"] for row in found if (row["dataset"], row["definition"]) not in kept]

    def replaced_parts(self, before_run: int) -> list[str]:
        """Return parts that were merged into larger ones by runs before this one."""
        found = self.rows("SELECT part FROM part_replacements WHERE run < ? ORDER BY part", before_run)
        return [row["part"] for row in found]

    def batches(self, run: int | None = None) -> list[Batch]:
        """Return batches in their order, of one run or of all."""
        where, values = ("WHERE run = ?", (run,)) if run is not None else ("", ())
        return [Batch(**row) for row in self.rows(f"SELECT * FROM batches {where} ORDER BY batch", *values)]

    def schema(self, dataset: str = "") -> tuple[int, str] | None:
        """Return the newest key version of a data set and its schema's canonical text."""
        row = self._one(
            "SELECT key_version, canonical FROM schemas WHERE dataset = ? ORDER BY key_version DESC LIMIT 1", dataset
        )
        return None if row is None else (row["key_version"], row["canonical"])

    def next_batch(self) -> int:
        """Return the number of the next batch."""
        return 1 + int(self._value("SELECT coalesce(max(batch), 0) FROM batches"))

    def next_version(self) -> int:
        """Return the number of the next model version."""
        return 1 + int(self._value("SELECT coalesce(max(version), 0) FROM models"))

    def retries(self, files: Sequence[int]) -> int:
        """Return how often somebody asked for one of these files to be read again."""
        marks = ",".join("?" * len(files))
        sql = f"SELECT count(*) FROM file_events WHERE state = 'retry' AND file IN ({marks})"
        return int(self._value(sql, *files))

    def ingested_files(self) -> list[str]:
        """Return the names of all files in the data set, in the order of their batches."""
        return [
            row["path"]
            for row in self.rows(
                "SELECT f.path FROM batches b JOIN files f USING (file) GROUP BY file ORDER BY min(b.batch)"
            )
        ]

    # -- runs --------------------------------------------------------------------------------------------------

    def runs(self, limit: int = -1) -> list[Row]:
        """Return runs with their newest attempt and decision, newest first."""
        return self.rows("SELECT * FROM run_history ORDER BY run DESC LIMIT ?", limit)

    def run(self, run: int) -> Row:
        """Return one run.

        Raises:
            NotFoundError: there is none of that number.
        """
        row = self._one("SELECT * FROM run_history WHERE run = ?", run)
        if row is None:
            raise NotFoundError(f"run {run}: there is no such run. See them all: churnwatch runs")
        return row

    def attempts(self, run: int) -> list[Row]:
        """Return all attempts of a run."""
        return self.rows(
            "SELECT a.attempt, a.started_at, a.pid, n.ended_at, coalesce(n.status, 'running') AS status, n.wall_s,"
            " n.error, n.note, n.warning FROM attempts a LEFT JOIN attempt_ends n USING (run, attempt)"
            " WHERE a.run = ? ORDER BY attempt",
            run,
        )

    def unfinished(self, most_breakdowns: int) -> list[Row]:
        """Return runs to take up again: not done, and not broken or killed as often as `most_breakdowns`."""
        return self.rows(
            f"SELECT * FROM run_history h WHERE status != 'done' AND ({_BREAKDOWNS}) < ? ORDER BY run",
            most_breakdowns,
        )

    def given_up(self, most_breakdowns: int) -> list[int]:
        """Return runs that broke down or were killed too often."""
        found = self.rows(
            f"SELECT run FROM run_history h WHERE status != 'done' AND ({_BREAKDOWNS}) >= ?", most_breakdowns
        )
        return [row["run"] for row in found]

    def open_attempts(self) -> list[Row]:
        """Return attempts without an end: one may be running now, any other was interrupted."""
        return self.rows(
            "SELECT a.* FROM attempts a LEFT JOIN attempt_ends n USING (run, attempt) WHERE n.run IS NULL"
            " ORDER BY a.run, a.attempt"
        )

    def run_files(self, run: int) -> list[SourceFile]:
        """Return a run's inputs."""
        return [
            SourceFile(**row)
            for row in self.rows("SELECT f.* FROM run_files JOIN files f USING (file) WHERE run = ? ORDER BY file", run)
        ]

    def run_file_states(self, run: int) -> list[Row]:
        """Return what a run made of its files."""
        return self.rows(
            "SELECT f.path, e.* FROM file_events e JOIN files f USING (file) WHERE e.run = ? ORDER BY e.event", run
        )

    def steps(self, run: int | None = None, limit: int = -1) -> list[Row]:
        """Return timings by step, of one run or of the newest ones."""
        where, values = ("WHERE run = ?", (run,)) if run is not None else ("", ())
        return self.rows(
            f"SELECT * FROM timings_by_step {where} ORDER BY run DESC, attempt DESC, started_at LIMIT ?",
            *values,
            limit,
        )

    def verdict(self, run: int) -> Verdict | None:
        """Return the decision of a run, if it came to one."""
        row = self._one("SELECT * FROM decisions WHERE run = ?", run)
        return None if row is None else Verdict(**{**row, "decision": Decision(row["decision"])})

    def decisions(self) -> list[Row]:
        """Return all decisions with their evidence, oldest first."""
        return self.rows("SELECT * FROM decisions ORDER BY run")

    def profiles(self, run: int | None = None) -> list[Row]:
        """Return summary statistics, of one run or of all."""
        where, values = ("WHERE run = ?", (run,)) if run is not None else ("", ())
        return self.rows(f"SELECT * FROM profiles {where} ORDER BY run, column_name", *values)

    # -- models ------------------------------------------------------------------------------------------------

    def models(self) -> list[Row]:
        """Return all model versions with F1 or MAE on the holdout when they were judged, oldest first."""
        f1, mae = (
            "(SELECT value FROM metrics x WHERE x.version = m.version AND x.subject = 'candidate'"
            f" AND x.split = 'holdout' AND x.name = '{metric}' LIMIT 1) AS {metric}"
            for metric in ("f1", "mae")
        )
        return self.rows(
            f"SELECT m.*, {f1}, {mae}, d.decision FROM models m"
            " LEFT JOIN decisions d ON d.candidate = m.version ORDER BY m.version"
        )

    def model(self, version: int) -> Model:
        """Return a model version.

        Raises:
            NotFoundError: there is none of that number.
        """
        row = self._one("SELECT * FROM models WHERE version = ?", version)
        if row is None:
            raise NotFoundError(f"v{version}: there is no such model version. See them all: churnwatch models")
        return Model(**row)

    def model_of_run(self, run: int) -> Model | None:
        """Return the candidate that a run trained, if it came that far."""
        row = self._one("SELECT * FROM models WHERE run = ?", run)
        return None if row is None else Model(**row)

    def champion(self) -> Champion | None:
        """Return the model that serves, None before the first."""
        row = self._one(
            "SELECT r.at AS since, i.kind, i.why, i.version, i.run FROM releases r JOIN intents i USING (intent)"
            " ORDER BY release DESC LIMIT 1"
        )
        if row is None:
            return None
        pin = self._one("SELECT version FROM current_pin")
        headline = self._one(
            "SELECT name, iif(split = 'holdout', value, NULL) AS value, rows FROM metrics WHERE version = ?"
            " AND split IN ('holdout', 'train') AND name IN ('f1', 'mae') ORDER BY split, run DESC LIMIT 1",
            row["version"],
        )
        return Champion(
            model=self.model(row["version"]),
            since=row["since"],
            kind=row["kind"],
            why=row["why"],
            pinned=pin is not None,
            metric=headline["name"] if headline else "f1",
            value=headline["value"] if headline else None,
            holdout_rows=headline["rows"] if headline and headline["value"] is not None else None,
        )

    def pin(self) -> Row | None:
        """Return which version is pinned, since when and why; None when the next run may promote."""
        return self._one("SELECT * FROM current_pin")

    def staged(self) -> list[Row]:
        """Return the candidates that passed the gate and wait for somebody's approval, newest first.

        One that was compared with a model which serves no more waits no longer: nothing is known of it beside the
        model that does.
        """
        return self.rows("SELECT * FROM waiting_for_approval ORDER BY run DESC")

    def approval(self, version: int) -> Row | None:
        """Return what was said of a candidate that waited, None before."""
        return self._one("SELECT * FROM approvals WHERE version = ?", version)

    def acceptance_cases(self, run: int) -> list[Row]:
        """Return what the candidate of a run said of the sample customers."""
        return self.rows("SELECT * FROM acceptance_cases WHERE run = ? ORDER BY line", run)

    def holdout_uses(self) -> list[Row]:
        """Return how often the held rows of each batch have judged, oldest first."""
        return self.rows("SELECT * FROM holdout_uses ORDER BY batch")

    def champion_age_runs(self) -> int:
        """Return how many runs have compared a candidate with the champion since it was released."""
        value = self._value("SELECT count(*) FROM decisions WHERE decided_at > (SELECT max(at) FROM releases)")
        return int(value or 0)

    def releases(self) -> list[Row]:
        """Return what served when, by whose doing, oldest first."""
        return self.rows("SELECT * FROM which_model_served ORDER BY release")

    def open_intent(self) -> Row | None:
        """Return a promotion that was begun and not recorded as done; a later one has overtaken it for good."""
        return self._one(
            "SELECT * FROM intents WHERE intent = (SELECT max(intent) FROM intents)"
            " AND intent NOT IN (SELECT intent FROM releases)"
        )

    def intent_of_run(self, run: int) -> Row | None:
        """Return the promotion that a run began."""
        return self._one("SELECT * FROM intents WHERE run = ?", run)

    def metrics(self, *, run: int | None = None, version: int | None = None, split: str | None = None) -> list[Row]:
        """Return metrics by run, version or split."""
        wanted = {"run": run, "version": version, "split": split}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = f"WHERE {' AND '.join(f'{name} = ?' for name in given)}" if given else ""
        return self.rows(f"SELECT * FROM metrics {where} ORDER BY rowid", *given.values())

    def newest_metrics(self, version: int) -> list[Row]:
        """Return the metrics of a version, of each split those of the newest run that computed any."""
        return self.rows(
            "SELECT m.* FROM (SELECT split, max(run) AS run FROM metrics WHERE version = ? GROUP BY split) n"
            " JOIN metrics m ON m.run = n.run AND m.split = n.split WHERE m.version = ? ORDER BY m.rowid",
            version,
            version,
        )

    def newest_prequential(self, version: int) -> list[Row]:
        """Return how a version did on the newest batches that it was tested on before anything learned from them."""
        return self.rows(
            "SELECT * FROM metrics WHERE version = ? AND split = 'prequential' AND run ="
            " (SELECT max(run) FROM metrics WHERE version = ? AND split = 'prequential') ORDER BY rowid",
            version,
            version,
        )

    def estimates(self, name: str, limit: int = -1, *, run: int | None = None) -> list[Row]:
        """Return what was expected of a metric on requests to score, newest first, with the truth where it came."""
        where, values = ("AND e.run = ?", (run,)) if run is not None else ("", ())
        truth = (
            "FROM metrics t WHERE t.file = e.file AND t.version = e.version AND t.name = e.name"
            " AND t.split = 'realised' ORDER BY t.rowid DESC LIMIT 1"
        )
        return self.rows(
            "SELECT e.run, p.at, e.file, f.path, e.version, e.name, e.value, e.low, e.high, e.rows,"
            f" (SELECT t.value {truth}) AS truth, (SELECT t.rows {truth}) AS truth_rows"
            " FROM metrics e JOIN predictions p ON p.run = e.run AND p.file = e.file JOIN files f ON f.file = e.file"
            f" WHERE e.name = ? AND e.split = 'estimated' {where} ORDER BY e.rowid DESC LIMIT ?",
            name, *values, limit,
        )  # fmt: skip

    def compared_rows(self, file: int, version: int) -> int:
        """Return on how many rows of a request the estimate of a version was held against the truth."""
        sql = "SELECT coalesce(max(rows), 0) FROM metrics WHERE file = ? AND version = ? AND split = 'realised'"
        return int(self._value(sql, file, version))

    def compared_estimates(self, name: str) -> list[Row]:
        """Return every estimate of a metric that was held against the truth on the same rows, oldest first."""
        return self.rows(
            "SELECT e.run, e.file, e.batch, e.value, e.low, e.high, t.value AS truth FROM metrics e"
            " JOIN metrics t ON t.run = e.run AND t.subject = e.subject AND t.name = e.name AND t.version = e.version"
            " AND t.split = CASE WHEN e.file IS NULL THEN 'prequential' ELSE 'realised' END"
            " AND t.batch IS e.batch AND t.file IS e.file"
            " WHERE e.name = ? AND e.split = 'estimated' AND e.subject = 'champion' ORDER BY e.rowid",
            name,
        )

    def over_time(self, metric: str) -> list[Row]:
        """Return every value of a metric ever computed, oldest first."""
        return self.rows(
            "SELECT m.*, r.created_at FROM metrics m JOIN runs r USING (run) WHERE m.name = ? ORDER BY m.run", metric
        )

    def amount_tenths(self, run: int, version: int) -> list[Row]:
        """Return what a version expected of each tenth of a run's holdout beside what came, the highest first."""
        return self.rows("SELECT * FROM amount_tenths WHERE run = ? AND version = ? ORDER BY tenth", run, version)

    # -- drift -------------------------------------------------------------------------------------------------

    def drifts(self, run: int, *, requests: bool = False) -> list[Drift]:
        """Return how far a run's new rows deviate, or those of its requests to score; the largest deviation first."""
        found = self.rows(
            f"SELECT * FROM drifts WHERE run = ? AND file IS {'NOT ' if requests else ''}NULL"
            " ORDER BY deviation_percent DESC, rowid",
            run,
        )
        return [_drift(row) for row in found]

    def last_drift_run(self) -> int | None:
        """Return the newest run whose new rows were held against a reference; None: there is none."""
        run = self._value("SELECT max(run) FROM drifts WHERE file IS NULL")
        return None if run is None else int(run)

    def drift_runs(self, limit: int) -> list[int]:
        """Return the newest runs whose new rows were held against a reference, oldest first."""
        found = self.rows("SELECT DISTINCT run FROM drifts WHERE file IS NULL ORDER BY run DESC LIMIT ?", limit)
        return sorted(row["run"] for row in found)

    def unanswered_drifts(self, band: str) -> list[Drift]:
        """Return deviations of this band since which no model was trained, the newest and largest first."""
        found = self.rows(
            "SELECT * FROM drifts WHERE band = ? AND run > coalesce((SELECT max(run) FROM models), 0)"
            " ORDER BY run DESC, deviation_percent DESC",
            band,
        )
        return [_drift(row) for row in found]

    def unlearned_batches(self, besides: int | None = None) -> list[Batch]:
        """Return the batches that came since the newest model was trained, not counting what one run trained."""
        found = self.rows(
            "SELECT * FROM batches WHERE run > coalesce((SELECT max(run) FROM models WHERE run IS NOT ?), 0)"
            " ORDER BY batch",
            besides,
        )
        return [Batch(**row) for row in found]

    def last_training(self, besides: int | None = None) -> str | None:
        """Return when the newest run began that trained a model, or was begun by the clock to do so; None: none was.

        A run that the clock made and of which no attempt was begun has not been: it is begun when that is asked again.
        """
        value = self._value(
            "SELECT max(created_at) FROM runs WHERE run IS NOT ? AND (run IN (SELECT run FROM models)"
            " OR (reason = ? AND run IN (SELECT run FROM attempts)))",
            besides,
            CLOCK,
        )
        return None if value is None else str(value)

    def run_warnings(self, run: int) -> list[str]:
        """Return the warnings of a run's steps whose results are known, in their order."""
        return [row["text"] for row in self.rows("SELECT text FROM run_warnings WHERE run = ? ORDER BY event", run)]

    # -- the rest ----------------------------------------------------------------------------------------------

    def predictions(self, run: int | None = None) -> list[Row]:
        """Return files of predictions, of one run or of all, oldest first."""
        where, values = ("WHERE p.run = ?", (run,)) if run is not None else ("", ())
        return self.rows(
            f"SELECT p.*, f.path AS source FROM predictions p LEFT JOIN files f USING (file) {where} ORDER BY p.rowid",
            *values,
        )

    def customers_predicted(self, before: int | None = None) -> int | None:
        """Return how many customers the newest predictions (before a run) were of; None: there are none."""
        found = self._one(
            "SELECT rows FROM predictions WHERE file IS NULL AND run < coalesce(?, run + 1) ORDER BY run DESC LIMIT 1",
            before,
        )
        return found["rows"] if found is not None else None

    # -- experiments -------------------------------------------------------------------------------------------

    def experiments(self) -> list[Experiment]:
        """Return all experiments, oldest first."""
        return [Experiment(**row) for row in self.rows("SELECT * FROM experiments ORDER BY experiment")]

    def experiment(self, number: int) -> Experiment:
        """Return an experiment.

        Raises:
            NotFoundError: there is none of that number.
        """
        row = self._one("SELECT * FROM experiments WHERE experiment = ?", number)
        if row is None:
            raise NotFoundError(f"experiment {number}: there is none. See them all: churnwatch experiments")
        return Experiment(**row)

    def experiment_of(self, experiment_id: str) -> Experiment | None:
        """Return the experiment with this identity, if it was made already."""
        row = self._one("SELECT * FROM experiments WHERE experiment_id = ? LIMIT 1", experiment_id)
        return None if row is None else Experiment(**row)

    def next_experiment(self) -> int:
        """Return the number of the next experiment."""
        return 1 + int(self._value("SELECT coalesce(max(experiment), 0) FROM experiments"))

    def experiment_metrics(self, experiment: int) -> list[ExperimentMetric]:
        """Return the metrics of an experiment, those of its learning curve in the order of its points."""
        found = self.rows("SELECT * FROM experiment_metrics WHERE experiment = ? ORDER BY rowid", experiment)
        return [ExperimentMetric(**row) for row in found]

    def package_check(self, *, good_only: bool = False) -> Row | None:
        """Return the newest package check, or the newest of which nothing failed."""
        where = "WHERE error IS NULL" if good_only else ""
        return self._one(f"SELECT * FROM package_checks {where} ORDER BY check_id DESC LIMIT 1")

    def packages_unknown_since(self) -> str | None:
        """Return when the first check was made that left something unknown since all was known; None if it is."""
        value = self._value(
            "SELECT min(checked_at) FROM package_checks WHERE check_id >"
            " (SELECT coalesce(max(check_id), 0) FROM package_checks WHERE error IS NULL AND unknown = 0)"
        )
        return None if value is None else str(value)

    def package_findings(self, check_id: int) -> list[Row]:
        """Return the findings of one package check."""
        return self.rows("SELECT * FROM package_findings WHERE check_id = ? ORDER BY kind DESC, package", check_id)

    def settings_of(self, settings_sha256: str) -> str | None:
        """Return the settings that a hash stands for, as canonical JSON."""
        value = self._value("SELECT canonical FROM settings WHERE settings_sha256 = ?", settings_sha256)
        return None if value is None else str(value)

    def copy_to(self, target: Path) -> None:
        """Copy the ledger as of this moment into a file of its own, whoever writes to it meanwhile."""
        with closing(sqlite3.connect(target)) as copy:
            self._connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it

    def problems(self) -> Sequence[str]:
        """Check the file's integrity and its foreign keys; return what is wrong, nothing when all is well."""
        broken = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check(10)") if row[0] != "ok"]
        keys = [
            f"{row[0]}: row {row[1]} refers to nothing" for row in self._connection.execute("PRAGMA foreign_key_check")
        ]
        return broken + keys


def _drift(row: Row) -> Drift:
    return Drift(**{**row, "kind": DriftKind(row["kind"]), "band": Band(row["band"])})


def _unreadable(path: Path, error: str) -> str:
    if error.startswith(("no such table: ", "no such column: ")) and not error.endswith(": runs"):
        return f"{path}: made by an older churnwatch; the next run brings it up to date (churnwatch run --once)."
    return f"{path}: cannot be read as a ledger ({error}). See `churnwatch doctor`."
