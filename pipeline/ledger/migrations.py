"""The ledger's tables and views, as named migrations.

STRICT tables, append-only: what is true now (which model is the champion, what became of a file) is derived from
events by the views. Once released, a migration is never changed; a new shape is a new one.
"""

from __future__ import annotations

from sqlite_utils import Database, Migrations

ledger_migrations = Migrations("churnwatch")

_TABLES = (
    """CREATE TABLE settings (
        settings_sha256 TEXT PRIMARY KEY,
        canonical TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE schemas (
        key_version INTEGER PRIMARY KEY,
        canonical TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE runs (
        run INTEGER PRIMARY KEY,
        run_id TEXT NOT NULL UNIQUE,
        reason TEXT NOT NULL,
        created_at TEXT NOT NULL,
        settings_sha256 TEXT NOT NULL REFERENCES settings,
        code_version TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE attempts (
        run INTEGER NOT NULL REFERENCES runs,
        attempt INTEGER NOT NULL,
        started_at TEXT NOT NULL,
        pid INTEGER NOT NULL,
        settings_sha256 TEXT NOT NULL REFERENCES settings,
        PRIMARY KEY (run, attempt)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE attempt_ends (
        run INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        ended_at TEXT NOT NULL,
        status TEXT NOT NULL CHECK (status IN ('done', 'failed', 'broken', 'interrupted')),
        wall_s REAL,
        error TEXT,
        note TEXT,
        warning TEXT,
        PRIMARY KEY (run, attempt),
        FOREIGN KEY (run, attempt) REFERENCES attempts (run, attempt)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE steps (
        run INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        step TEXT NOT NULL,
        started_at TEXT NOT NULL,
        wall_s REAL NOT NULL,
        cpu_s REAL NOT NULL,
        peak_rss_bytes INTEGER NOT NULL,
        PRIMARY KEY (run, attempt, step),
        FOREIGN KEY (run, attempt) REFERENCES attempts (run, attempt)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE files (
        file INTEGER PRIMARY KEY,
        path TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        ctime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        seen_at TEXT NOT NULL,
        UNIQUE (path, size_bytes, mtime_ns, ctime_ns, sha256)
    ) STRICT""",
    """CREATE TABLE run_files (
        run INTEGER NOT NULL REFERENCES runs,
        file INTEGER NOT NULL REFERENCES files,
        PRIMARY KEY (run, file)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE file_events (
        event INTEGER PRIMARY KEY,
        file INTEGER NOT NULL REFERENCES files,
        run INTEGER REFERENCES runs,
        at TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN
            ('ingested', 'same_content', 'quarantined', 'waiting', 'predicted', 'failed', 'retry')),
        rows_read INTEGER,
        accepted INTEGER,
        duplicate INTEGER,
        quarantined INTEGER,
        reason TEXT,
        CHECK (rows_read IS NULL OR rows_read = accepted + duplicate + quarantined)
    ) STRICT""",
    """CREATE TABLE file_findings (
        run INTEGER NOT NULL REFERENCES runs,
        file INTEGER NOT NULL REFERENCES files,
        kind TEXT NOT NULL,
        text TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE quarantines (
        run INTEGER NOT NULL REFERENCES runs,
        file INTEGER NOT NULL REFERENCES files,
        check_name TEXT NOT NULL,
        column_name TEXT,
        reason TEXT NOT NULL,
        rows INTEGER NOT NULL,
        first_line INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE batches (
        batch INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        file INTEGER NOT NULL REFERENCES files,
        accepted INTEGER NOT NULL,
        labelled INTEGER NOT NULL,
        positives INTEGER NOT NULL,
        holdout INTEGER NOT NULL,
        holdout_positives INTEGER NOT NULL,
        first_date TEXT,
        last_date TEXT
    ) STRICT""",
    """CREATE TABLE parts (
        part TEXT PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        sha256 TEXT NOT NULL,
        rows INTEGER NOT NULL,
        size_bytes INTEGER NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE profiles (
        run INTEGER NOT NULL REFERENCES runs,
        column_name TEXT NOT NULL,
        rows INTEGER NOT NULL,
        missing INTEGER NOT NULL,
        missing_share REAL NOT NULL,
        distinct_values INTEGER NOT NULL,
        mean REAL,
        median REAL,
        std REAL,
        minimum REAL,
        maximum REAL,
        PRIMARY KEY (run, column_name)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE models (
        version INTEGER PRIMARY KEY,
        run INTEGER NOT NULL REFERENCES runs,
        estimator TEXT NOT NULL,
        parameters TEXT NOT NULL,
        threshold REAL NOT NULL,
        folder TEXT NOT NULL UNIQUE,
        sha256 TEXT NOT NULL,
        manifest_sha256 TEXT NOT NULL,
        train_rows INTEGER NOT NULL,
        train_positives INTEGER NOT NULL,
        created_at TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE metrics (
        run INTEGER NOT NULL REFERENCES runs,
        version INTEGER REFERENCES models,
        subject TEXT NOT NULL,
        split TEXT NOT NULL,
        batch INTEGER REFERENCES batches,
        name TEXT NOT NULL,
        value REAL,
        low REAL,
        high REAL,
        rows INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE decisions (
        run INTEGER PRIMARY KEY REFERENCES runs,
        decided_at TEXT NOT NULL,
        decision TEXT NOT NULL CHECK (decision IN
            ('first', 'promoted', 'refreshed', 'staged', 'kept', 'refused', 'undecidable')),
        policy TEXT NOT NULL,
        metric TEXT NOT NULL,
        candidate INTEGER NOT NULL REFERENCES models,
        champion INTEGER REFERENCES models,
        rows INTEGER NOT NULL,
        positives INTEGER NOT NULL,
        candidate_value REAL,
        champion_value REAL,
        delta REAL,
        low REAL,
        high REAL,
        p_value REAL,
        cells TEXT,
        sentence TEXT NOT NULL,
        warning TEXT
    ) STRICT""",
    """CREATE TABLE intents (
        intent INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        version INTEGER NOT NULL REFERENCES models,
        run INTEGER REFERENCES runs,
        kind TEXT NOT NULL CHECK (kind IN ('first', 'promoted', 'refreshed', 'manual', 'rollback')),
        actor TEXT NOT NULL,
        why TEXT
    ) STRICT""",
    """CREATE TABLE releases (
        release INTEGER PRIMARY KEY,
        intent INTEGER NOT NULL UNIQUE REFERENCES intents,
        at TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE pins (
        pin INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        version INTEGER REFERENCES models,
        actor TEXT NOT NULL,
        why TEXT
    ) STRICT""",
    """CREATE TABLE predictions (
        run INTEGER NOT NULL REFERENCES runs,
        file INTEGER REFERENCES files,
        version INTEGER NOT NULL REFERENCES models,
        path TEXT NOT NULL UNIQUE,
        sha256 TEXT NOT NULL,
        rows INTEGER NOT NULL,
        positives INTEGER NOT NULL,
        at TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE package_checks (
        check_id INTEGER PRIMARY KEY,
        checked_at TEXT NOT NULL,
        packages INTEGER NOT NULL,
        outdated INTEGER,
        vulnerable INTEGER,
        unknown INTEGER NOT NULL,
        error TEXT
    ) STRICT""",
    """CREATE TABLE package_findings (
        check_id INTEGER NOT NULL REFERENCES package_checks,
        kind TEXT NOT NULL CHECK (kind IN ('outdated', 'vulnerable', 'unknown')),
        package TEXT NOT NULL,
        installed TEXT NOT NULL,
        latest TEXT,
        advisory TEXT,
        fixed_in TEXT,
        reason TEXT
    ) STRICT""",
    "CREATE INDEX files_by_content ON files (sha256)",
    "CREATE INDEX file_events_by_file ON file_events (file, event)",
    "CREATE INDEX file_events_by_run ON file_events (run)",
    "CREATE INDEX quarantines_by_run ON quarantines (run)",
    "CREATE INDEX batches_by_run ON batches (run)",
    "CREATE INDEX metrics_by_run ON metrics (run, subject, split)",
    "CREATE INDEX metrics_by_name ON metrics (name, split, subject)",
    "CREATE INDEX metrics_by_version ON metrics (version, split, name)",
    "CREATE INDEX predictions_by_run ON predictions (run)",
)

# The questions that people ask, answerable in any SQLite browser.
_VIEWS = (
    """CREATE VIEW what_became_of_files AS
        SELECT f.file, f.path, f.size_bytes, f.sha256, f.seen_at, e.state, e.at AS state_at, e.run,
               e.rows_read, e.accepted, e.duplicate, e.quarantined, e.reason
        FROM files f
        JOIN file_events e ON e.event = (SELECT max(event) FROM file_events WHERE file = f.file)""",
    """CREATE VIEW run_history AS
        SELECT r.run, r.run_id, r.reason, a.attempt, r.created_at, a.started_at, n.ended_at,
               coalesce(n.status, 'running') AS status, n.wall_s, n.error, n.note, n.warning, a.pid,
               d.decision, d.candidate, d.champion, d.candidate_value, d.champion_value, d.sentence,
               d.warning AS decision_warning
        FROM runs r
        JOIN attempts a ON a.run = r.run AND a.attempt = (SELECT max(attempt) FROM attempts WHERE run = r.run)
        LEFT JOIN attempt_ends n ON n.run = a.run AND n.attempt = a.attempt
        LEFT JOIN decisions d ON d.run = r.run""",
    """CREATE VIEW which_model_served AS
        SELECT r.release, i.version, m.estimator, r.at AS from_at, lead(r.at) OVER (ORDER BY r.release) AS until_at,
               i.kind, i.actor, i.why, i.run
        FROM releases r JOIN intents i USING (intent) JOIN models m ON m.version = i.version""",
    """CREATE VIEW f1_over_time AS
        SELECT m.run, r.created_at, m.subject, m.split, m.version, m.batch, m.value AS f1, m.low, m.high, m.rows
        FROM metrics m JOIN runs r USING (run) WHERE m.name = 'f1'""",
    """CREATE VIEW timings_by_step AS
        SELECT s.run, s.attempt, s.step, s.started_at, s.wall_s, s.cpu_s, s.peak_rss_bytes FROM steps s""",
    """CREATE VIEW missing_over_time AS
        SELECT p.column_name, r.created_at, p.run, p.rows, p.missing, p.missing_share
        FROM profiles p JOIN runs r USING (run)""",
    """CREATE VIEW current_pin AS
        SELECT version, at, actor, why FROM pins
        WHERE pin = (SELECT max(pin) FROM pins) AND version IS NOT NULL""",
)


@ledger_migrations()
def m001_first_shape(db: Database) -> None:
    """Make all tables and views."""
    for statement in _TABLES + _VIEWS:
        db.execute(statement)


@ledger_migrations()
def m002_sources(db: Database) -> None:
    """Let the ledger hold several data sets, and parts that were merged into one."""
    for statement in (
        "ALTER TABLE schemas ADD COLUMN dataset TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE parts ADD COLUMN dataset TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE parts ADD COLUMN definition TEXT",
        """CREATE TABLE aggregated (
            dataset TEXT NOT NULL,
            definition TEXT NOT NULL,
            part TEXT NOT NULL REFERENCES parts (part),
            run INTEGER NOT NULL REFERENCES runs,
            PRIMARY KEY (dataset, definition, part)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE part_replacements (
            part TEXT PRIMARY KEY REFERENCES parts (part),
            replaced_by TEXT REFERENCES parts (part),
            run INTEGER NOT NULL REFERENCES runs,
            at TEXT NOT NULL
        ) STRICT, WITHOUT ROWID""",
    ):
        db.execute(statement)


@ledger_migrations()
def m003_gate(db: Database) -> None:
    """Let the ledger hold what more the gate knows, approvals, and sample customers."""
    for statement in (
        "ALTER TABLE decisions ADD COLUMN rows_needed INTEGER",
        "ALTER TABLE decisions ADD COLUMN holdout_first_batch INTEGER",
        "ALTER TABLE decisions ADD COLUMN holdout_last_batch INTEGER",
        """CREATE TABLE approvals (
            version INTEGER PRIMARY KEY REFERENCES models,
            at TEXT NOT NULL,
            approved INTEGER NOT NULL CHECK (approved IN (0, 1)),
            actor TEXT NOT NULL,
            why TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE acceptance_cases (
            run INTEGER NOT NULL REFERENCES runs,
            version INTEGER NOT NULL REFERENCES models,
            line INTEGER NOT NULL,
            customer TEXT,
            expected TEXT NOT NULL,
            probability REAL NOT NULL,
            met INTEGER NOT NULL CHECK (met IN (0, 1)),
            PRIMARY KEY (run, line)
        ) STRICT, WITHOUT ROWID""",
        """CREATE VIEW holdout_uses AS
            SELECT b.batch, b.run, b.holdout AS rows, count(d.run) AS decisions
            FROM batches b LEFT JOIN decisions d
                ON d.champion IS NOT NULL AND b.batch BETWEEN d.holdout_first_batch AND d.holdout_last_batch
            WHERE b.holdout > 0 GROUP BY b.batch""",
        """CREATE VIEW waiting_for_approval AS
            SELECT d.candidate AS version, d.run, d.decided_at, d.sentence FROM decisions d
            WHERE d.decision = 'staged'
                AND d.decided_at > coalesce((SELECT max(at) FROM releases), '')
                AND d.candidate NOT IN (SELECT version FROM approvals)""",
    ):
        db.execute(statement)


@ledger_migrations()
def m005_experiments(db: Database) -> None:
    """Let the ledger hold experiments: models that are never released."""
    for statement in (
        """CREATE TABLE experiments (
            experiment INTEGER PRIMARY KEY,
            experiment_id TEXT NOT NULL,
            at TEXT NOT NULL,
            note TEXT,
            changed TEXT NOT NULL,
            settings_sha256 TEXT NOT NULL REFERENCES settings,
            code_version TEXT NOT NULL,
            data_sha256 TEXT NOT NULL,
            holdout TEXT NOT NULL,
            champion INTEGER REFERENCES models,
            estimator TEXT NOT NULL,
            parameters TEXT NOT NULL,
            threshold REAL NOT NULL,
            train_rows INTEGER NOT NULL,
            train_positives INTEGER NOT NULL,
            folder TEXT NOT NULL UNIQUE,
            sha256 TEXT NOT NULL,
            manifest_sha256 TEXT NOT NULL,
            sentence TEXT NOT NULL,
            learning_curve TEXT,
            warning TEXT
        ) STRICT""",
        """CREATE TABLE experiment_metrics (
            experiment INTEGER NOT NULL REFERENCES experiments,
            subject TEXT NOT NULL,
            split TEXT NOT NULL,
            trained_on INTEGER,
            name TEXT NOT NULL,
            value REAL,
            low REAL,
            high REAL,
            standard_error REAL,
            rows INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX experiments_by_identity ON experiments (experiment_id)",
        "CREATE INDEX experiment_metrics_by_experiment ON experiment_metrics (experiment, subject, split)",
    ):
        db.execute(statement)


@ledger_migrations()
def m006_drift(db: Database) -> None:
    """Keep how far new rows deviate from what the model in use was trained on."""
    for statement in (
        """CREATE TABLE drifts (
            run INTEGER NOT NULL REFERENCES runs,
            file INTEGER REFERENCES files,
            version INTEGER NOT NULL REFERENCES models,
            reference TEXT NOT NULL,
            kind TEXT NOT NULL CHECK (kind IN ('column', 'target', 'prediction', 'concept')),
            column_name TEXT NOT NULL,
            rows INTEGER NOT NULL,
            reference_rows INTEGER NOT NULL,
            deviation_percent REAL NOT NULL,
            floor_percent REAL NOT NULL,
            band TEXT NOT NULL CHECK (band IN ('nothing', 'unresolved', 'watch', 'retrain', 'search')),
            cause TEXT
        ) STRICT""",
        "CREATE INDEX drifts_by_run ON drifts (run)",
        """CREATE VIEW drift_over_time AS
            SELECT d.run, r.created_at, d.kind, d.column_name, d.deviation_percent, d.floor_percent, d.band, d.cause,
                   d.rows, d.reference, d.version, d.file
            FROM drifts d JOIN runs r USING (run)""",
    ):
        db.execute(statement)


@ledger_migrations()
def m007_labels(db: Database) -> None:
    """Let metrics be of a request to score, and keep which requests' rows wait for their labels."""
    for statement in (
        "ALTER TABLE metrics ADD COLUMN file INTEGER REFERENCES files",
        "CREATE INDEX metrics_by_file ON metrics (file, split, name) WHERE file IS NOT NULL",
        """CREATE TABLE requests (
            file INTEGER PRIMARY KEY REFERENCES files,
            run INTEGER NOT NULL REFERENCES runs,
            batch INTEGER NOT NULL UNIQUE,
            rows INTEGER NOT NULL
        ) STRICT""",
        "DROP VIEW f1_over_time",
        """CREATE VIEW f1_over_time AS
            SELECT m.run, r.created_at, m.subject, m.split, m.version, m.batch, m.file, m.value AS f1, m.low, m.high,
                   m.rows
            FROM metrics m JOIN runs r USING (run) WHERE m.name = 'f1'""",
    ):
        db.execute(statement)


@ledger_migrations()
def m008_regression(db: Database) -> None:
    """Let the ledger hold expected amounts beside real ones."""
    for statement in (
        "ALTER TABLE predictions ADD COLUMN amount REAL",
        """CREATE TABLE amount_tenths (
            run INTEGER NOT NULL REFERENCES runs,
            version INTEGER NOT NULL REFERENCES models,
            tenth INTEGER NOT NULL,
            rows INTEGER NOT NULL,
            expected_mean REAL NOT NULL,
            real_mean REAL NOT NULL,
            PRIMARY KEY (run, version, tenth)
        ) STRICT, WITHOUT ROWID""",
        """CREATE VIEW mae_over_time AS
            SELECT m.run, r.created_at, m.subject, m.split, m.version, m.batch, m.file, m.value AS mae, m.low, m.high,
                   m.rows
            FROM metrics m JOIN runs r USING (run) WHERE m.name = 'mae'""",
    ):
        db.execute(statement)


@ledger_migrations()
def m009_reasons(db: Database) -> None:
    """Let the ledger know how predictions were explained, and how much each column counts in a model."""
    for statement in (
        """CREATE TABLE explanations (
            run INTEGER PRIMARY KEY REFERENCES runs,
            version INTEGER NOT NULL REFERENCES models,
            explains TEXT NOT NULL CHECK (explains IN ('exact', 'none')),
            path TEXT,
            sha256 TEXT,
            rows INTEGER NOT NULL,
            base REAL,
            why TEXT,
            at TEXT NOT NULL,
            CHECK ((explains = 'exact') = (path IS NOT NULL AND sha256 IS NOT NULL AND base IS NOT NULL)),
            CHECK ((explains = 'none') = (why IS NOT NULL))
        ) STRICT""",
        """CREATE TABLE importances (
            run INTEGER NOT NULL REFERENCES runs,
            version INTEGER NOT NULL REFERENCES models,
            column_name TEXT NOT NULL,
            mean_absolute REAL,
            permutation REAL,
            low REAL,
            high REAL,
            PRIMARY KEY (run, column_name)
        ) STRICT, WITHOUT ROWID""",
        """CREATE VIEW importance_over_time AS
            SELECT i.run, r.created_at, i.version, i.column_name, i.mean_absolute, i.permutation, i.low, i.high
            FROM importances i JOIN runs r USING (run)""",
    ):
        db.execute(statement)


@ledger_migrations()
def m010_buckets(db: Database) -> None:
    """Keep into which buckets customers were sorted, what they were offered, who moved, and whom to call first."""
    for statement in (
        """CREATE TABLE bucketings (
            run INTEGER PRIMARY KEY REFERENCES runs,
            version INTEGER NOT NULL REFERENCES models,
            at TEXT NOT NULL,
            path TEXT NOT NULL,
            sha256 TEXT NOT NULL,
            customers INTEGER NOT NULL,
            decided_by TEXT NOT NULL CHECK (decided_by IN ('thresholds', 'capacity', 'profit')),
            value TEXT,
            value_months INTEGER,
            unvalued INTEGER NOT NULL,
            left_alone INTEGER NOT NULL,
            former_run INTEGER REFERENCES runs
        ) STRICT""",
        """CREATE TABLE buckets (
            run INTEGER NOT NULL REFERENCES bucketings,
            bucket TEXT NOT NULL CHECK (bucket IN ('A', 'B', 'C')),
            customers INTEGER NOT NULL,
            threshold REAL,
            expected_leavers REAL,
            expected_loss REAL,
            expected_profit REAL,
            profit_at_half REAL,
            profit_at_one_and_a_half REAL,
            value REAL,
            PRIMARY KEY (run, bucket)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE bucket_moves (
            run INTEGER NOT NULL REFERENCES bucketings,
            from_bucket TEXT CHECK (from_bucket IN ('A', 'B', 'C')),
            to_bucket TEXT CHECK (to_bucket IN ('A', 'B', 'C')),
            customers INTEGER NOT NULL
        ) STRICT""",
        "CREATE INDEX bucket_moves_by_run ON bucket_moves (run)",
        """CREATE TABLE move_reasons (
            run INTEGER NOT NULL REFERENCES bucketings,
            direction TEXT NOT NULL CHECK (direction IN ('into', 'out of')),
            column_name TEXT NOT NULL,
            customers INTEGER NOT NULL,
            mean_change REAL NOT NULL,
            PRIMARY KEY (run, direction, column_name)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE offers (
            run INTEGER NOT NULL REFERENCES bucketings,
            offer TEXT NOT NULL,
            discount TEXT NOT NULL,
            cost REAL NOT NULL,
            save_rate REAL,
            take_up REAL NOT NULL,
            call INTEGER NOT NULL CHECK (call IN (0, 1)),
            customers INTEGER NOT NULL,
            waiting INTEGER NOT NULL,
            expected_profit REAL,
            profit_at_half REAL,
            profit_at_one_and_a_half REAL,
            low_value REAL,
            median_value REAL,
            high_value REAL,
            threshold_at_low REAL,
            threshold_at_median REAL,
            threshold_at_high REAL,
            PRIMARY KEY (run, offer)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE call_list (
            run INTEGER NOT NULL REFERENCES bucketings,
            place INTEGER NOT NULL,
            id TEXT NOT NULL,
            bucket TEXT NOT NULL CHECK (bucket IN ('A', 'B', 'C')),
            former_bucket TEXT,
            probability REAL,
            expected_loss REAL,
            offer TEXT,
            expected_profit REAL,
            raises TEXT,
            lowers TEXT,
            PRIMARY KEY (run, place)
        ) STRICT, WITHOUT ROWID""",
        """CREATE VIEW buckets_over_time AS
            SELECT b.*, r.created_at, s.version, s.decided_by, s.value_months
            FROM buckets b JOIN bucketings s USING (run) JOIN runs r USING (run)""",
    ):
        db.execute(statement)


@ledger_migrations()
def m011_campaigns(db: Database) -> None:
    """Keep what came of customers: by month, by cohort, against the goal, and of campaigns."""
    for statement in (
        """CREATE TABLE monthly_churn (
            run INTEGER NOT NULL REFERENCES runs,
            month TEXT NOT NULL,
            active INTEGER NOT NULL,
            churned INTEGER NOT NULL,
            rate REAL NOT NULL,
            low REAL NOT NULL,
            high REAL NOT NULL,
            PRIMARY KEY (month, run)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE cohorts (
            run INTEGER NOT NULL REFERENCES runs,
            cohort TEXT NOT NULL,
            month TEXT NOT NULL,
            active INTEGER NOT NULL,
            churned INTEGER NOT NULL,
            PRIMARY KEY (cohort, month, run)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE goal_progress (
            run INTEGER PRIMARY KEY REFERENCES runs,
            month TEXT NOT NULL,
            less_churn REAL NOT NULL,
            months INTEGER NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('met', 'not met', 'no evidence')),
            rate_before REAL,
            why TEXT NOT NULL
        ) STRICT""",
        """CREATE TABLE campaign_effects (
            run INTEGER NOT NULL REFERENCES runs,
            action TEXT NOT NULL,
            month TEXT NOT NULL,
            treated INTEGER NOT NULL,
            control INTEGER NOT NULL,
            treated_known INTEGER NOT NULL,
            control_known INTEGER NOT NULL,
            treated_churned INTEGER NOT NULL,
            control_churned INTEGER NOT NULL,
            contradicting INTEGER NOT NULL,
            is_over INTEGER NOT NULL CHECK (is_over IN (0, 1)),
            less_churn REAL,
            less_churn_low REAL,
            less_churn_high REAL,
            saved REAL,
            saved_low REAL,
            saved_high REAL,
            note TEXT,
            customer_value REAL,
            money REAL,
            money_low REAL,
            money_high REAL,
            PRIMARY KEY (month, action, run)
        ) STRICT, WITHOUT ROWID""",
        """CREATE VIEW churn_by_month AS
            SELECT * FROM monthly_churn m WHERE run = (SELECT max(run) FROM monthly_churn WHERE month = m.month)""",
        """CREATE VIEW cohorts_by_month AS
            SELECT * FROM cohorts c
            WHERE run = (SELECT max(run) FROM cohorts WHERE cohort = c.cohort AND month = c.month)""",
        """CREATE VIEW campaign_results AS
            SELECT * FROM campaign_effects e
            WHERE run = (SELECT max(run) FROM campaign_effects WHERE month = e.month AND action = e.action)""",
    ):
        db.execute(statement)


@ledger_migrations()
def m012_alerts(db: Database) -> None:
    """Keep what people were told, and how far each message is on its way."""
    for statement in (
        """CREATE TABLE alerts (
            alert INTEGER PRIMARY KEY,
            alert_id TEXT NOT NULL UNIQUE,
            kind TEXT NOT NULL CHECK (kind IN
                ('run_failed', 'drift', 'undecidable', 'vulnerable', 'no_drop', 'disk_low')),
            change TEXT NOT NULL CHECK (change IN ('raised', 'cleared')),
            raised INTEGER UNIQUE REFERENCES alerts,
            at TEXT NOT NULL,
            since TEXT NOT NULL,
            what TEXT NOT NULL,
            costs TEXT NOT NULL,
            command TEXT NOT NULL,
            CHECK ((change = 'cleared') = (raised IS NOT NULL))
        ) STRICT""",
        """CREATE TABLE weekly_mails (
            week TEXT PRIMARY KEY,
            due_at TEXT NOT NULL,
            reserved_at TEXT NOT NULL,
            run INTEGER NOT NULL REFERENCES runs,
            customers INTEGER NOT NULL
        ) STRICT""",
        """CREATE TABLE deliveries (
            delivery INTEGER PRIMARY KEY,
            alert INTEGER REFERENCES alerts,
            week TEXT REFERENCES weekly_mails,
            channel TEXT NOT NULL CHECK (channel IN ('mail', 'webhook', 'command')),
            at TEXT NOT NULL,
            UNIQUE (alert, channel),
            UNIQUE (week, channel),
            CHECK ((alert IS NULL) <> (week IS NULL))
        ) STRICT""",
        """CREATE TABLE delivery_attempts (
            delivery INTEGER NOT NULL REFERENCES deliveries,
            attempt INTEGER NOT NULL,
            begun_at TEXT NOT NULL,
            PRIMARY KEY (delivery, attempt)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE delivery_ends (
            delivery INTEGER NOT NULL,
            attempt INTEGER NOT NULL,
            ended_at TEXT NOT NULL,
            outcome TEXT NOT NULL CHECK (outcome IN ('delivered', 'failed', 'unknown')),
            error TEXT,
            PRIMARY KEY (delivery, attempt),
            FOREIGN KEY (delivery, attempt) REFERENCES delivery_attempts (delivery, attempt)
        ) STRICT, WITHOUT ROWID""",
        """CREATE VIEW open_alerts AS
            SELECT * FROM alerts a WHERE change = 'raised'
                AND NOT EXISTS (SELECT 1 FROM alerts c WHERE c.raised = a.alert)""",
        """CREATE VIEW what_became_of_deliveries AS
            SELECT d.delivery, d.alert, d.week, d.channel, d.at, coalesce(a.attempt, 0) AS attempts,
                   (SELECT min(begun_at) FROM delivery_attempts f WHERE f.delivery = d.delivery) AS first_begun_at,
                   a.begun_at AS last_begun_at, e.outcome, e.error
            FROM deliveries d
            LEFT JOIN delivery_attempts a ON a.delivery = d.delivery
                AND a.attempt = (SELECT max(attempt) FROM delivery_attempts WHERE delivery = d.delivery)
            LEFT JOIN delivery_ends e ON e.delivery = a.delivery AND e.attempt = a.attempt""",
    ):
        db.execute(statement)


@ledger_migrations()
def m013_curves(db: Database) -> None:
    """Keep what the curves of a version on the holdout are drawn from, and what it said of groups of customers."""
    for statement in (
        """CREATE TABLE curves (
            run INTEGER NOT NULL REFERENCES runs,
            version INTEGER NOT NULL REFERENCES models,
            place INTEGER NOT NULL,
            threshold REAL NOT NULL,
            rows INTEGER NOT NULL,
            leavers INTEGER NOT NULL CHECK (leavers <= rows),
            expected_leavers REAL NOT NULL,
            PRIMARY KEY (run, version, place)
        ) STRICT, WITHOUT ROWID""",
        """CREATE TABLE group_counts (
            run INTEGER NOT NULL REFERENCES runs,
            version INTEGER NOT NULL REFERENCES models,
            column_name TEXT NOT NULL,
            value TEXT NOT NULL,
            rows INTEGER NOT NULL,
            leavers INTEGER NOT NULL,
            named INTEGER NOT NULL,
            hits INTEGER NOT NULL CHECK (hits <= leavers AND hits <= named),
            PRIMARY KEY (run, version, column_name, value)
        ) STRICT, WITHOUT ROWID""",
    ):
        db.execute(statement)


@ledger_migrations()
def m014_warnings(db: Database) -> None:
    """Keep the warnings of steps whose results are known, for an attempt that takes the run up behind them."""
    db.execute(
        """CREATE TABLE run_warnings (
            event INTEGER PRIMARY KEY,
            run INTEGER NOT NULL REFERENCES runs,
            text TEXT NOT NULL
        ) STRICT"""
    )


@ledger_migrations()
def m015_uplift(db: Database) -> None:
    """Keep what campaigns say of what an offer does, and of whom it was told by an uplift model."""
    db.execute(
        """CREATE TABLE uplift_models (
            run INTEGER NOT NULL REFERENCES bucketings,
            offer TEXT NOT NULL,
            decides INTEGER NOT NULL CHECK (decides IN (0, 1)),
            why TEXT,
            campaigns INTEGER NOT NULL,
            treated INTEGER NOT NULL,
            control INTEGER NOT NULL,
            treated_churned INTEGER NOT NULL CHECK (treated_churned <= treated),
            control_churned INTEGER NOT NULL CHECK (control_churned <= control),
            effect REAL,
            effect_low REAL,
            effect_high REAL,
            qini REAL,
            qini_low REAL,
            qini_high REAL,
            slope REAL,
            PRIMARY KEY (run, offer),
            CHECK ((decides = 1) = (why IS NULL)),
            CHECK (decides = 0 OR qini_low > 0)
        ) STRICT, WITHOUT ROWID"""
    )
    db.execute("ALTER TABLE call_list ADD COLUMN effect REAL")


@ledger_migrations()
def m016_compiled(db: Database) -> None:
    """Keep how far the compiled form of each version is from the version itself, and why it is not served."""
    db.execute(
        """CREATE TABLE compiled_forms (
            version INTEGER PRIMARY KEY REFERENCES models,
            compared_at TEXT NOT NULL,
            rows INTEGER NOT NULL,
            largest_difference REAL,
            why_not TEXT,
            CHECK (why_not IS NOT NULL OR largest_difference IS NOT NULL)
        ) STRICT"""
    )


@ledger_migrations()
def m018_keys(db: Database) -> None:
    """Keep who may use the API; of a token only its hash."""
    for statement in (
        """CREATE TABLE key_events (
            event INTEGER PRIMARY KEY,
            name TEXT NOT NULL,
            change TEXT NOT NULL CHECK (change IN ('created', 'revoked')),
            at TEXT NOT NULL,
            actor TEXT NOT NULL,
            scope TEXT CHECK (scope IN ('predict', 'read', 'admin')),
            sha256 TEXT UNIQUE,
            created INTEGER UNIQUE REFERENCES key_events,
            CHECK ((change = 'created') = (scope IS NOT NULL)),
            CHECK ((change = 'created') = (sha256 IS NOT NULL)),
            CHECK ((change = 'revoked') = (created IS NOT NULL))
        ) STRICT""",
        """CREATE VIEW keys AS
            SELECT c.event AS key, c.name, c.scope, c.sha256, c.at AS created_at, r.at AS revoked_at
            FROM key_events c LEFT JOIN key_events r ON r.created = c.event
            WHERE c.change = 'created'""",
        """CREATE VIEW keys_in_force AS SELECT * FROM keys WHERE revoked_at IS NULL""",
    ):
        db.execute(statement)


NAMES = frozenset(
    {
        "m001_first_shape",
        "m002_sources",
        "m003_gate",
        "m005_experiments",
        "m006_drift",
        "m007_labels",
        "m008_regression",
        "m009_reasons",
        "m010_buckets",
        "m011_campaigns",
        "m012_alerts",
        "m013_curves",
        "m014_warnings",
        "m015_uplift",
        "m016_compiled",
        "m018_keys",
    }
)
