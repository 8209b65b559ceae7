-- The ledger of one sweep. Everything here is derived from files beside it and can be deleted at any time, except
-- that `hint` and `journal` only save work: what they hold never decides a state by itself.
-- Times are seconds since the epoch (UTC), sizes are bytes, durations are seconds.

CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;

-- One row per grid point of the newest manifest revision, and of older ones (planned = 0) that were ever submitted.
CREATE TABLE point (
    point_id TEXT PRIMARY KEY,
    position INTEGER,               -- row of the manifest
    planned INTEGER NOT NULL,       -- 1: in the newest revision
    label TEXT, animal TEXT, session TEXT, model TEXT, n_states INTEGER,
    result_path TEXT NOT NULL,      -- relative to the study folder
    result_folder TEXT NOT NULL,
    has_result INTEGER NOT NULL DEFAULT 0,
    state TEXT NOT NULL DEFAULT 'planned',
    kind TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,           -- attempts charged to the budget of failures
    interruptions INTEGER NOT NULL DEFAULT 0,      -- attempts charged to the budget of interruptions
    repeated_error INTEGER NOT NULL DEFAULT 0,     -- the last two failures were the same exception
    submission TEXT, task INTEGER,                 -- where it was placed last
    submitted_at REAL, started_at REAL, ended_at REAL,
    elapsed_s REAL, cpu_s REAL, max_rss_bytes INTEGER,
    req_cpus INTEGER, req_mem_bytes INTEGER, time_limit_s REAL,
    job_id TEXT, host TEXT,
    phase TEXT, done INTEGER, total INTEGER,       -- how far the last attempt is
    elbo REAL, elbo_se REAL, converged INTEGER, iterations_run INTEGER,
    rhat_max REAL, ess_min REAL, divergences INTEGER, -- of samplers
    error TEXT, message TEXT, frame TEXT, log TEXT
) WITHOUT ROWID;
CREATE INDEX point_state ON point (planned, state, kind);
CREATE INDEX point_position ON point (position);
CREATE INDEX point_folder ON point (result_folder);

CREATE TABLE submission (
    uuid TEXT PRIMARY KEY, number INTEGER NOT NULL, command TEXT, executor TEXT, created_at REAL,
    n_tasks INTEGER, n_points INTEGER, grace_s REAL, job_prefix TEXT,
    driver TEXT,                    -- the process that sent it, as JSON
    uid INTEGER,                    -- the user who sent it
    cluster TEXT,                   -- where it was sent, by the scheduler's name of itself
    refused INTEGER NOT NULL DEFAULT 0, -- 1: the scheduler took nothing of it
    open INTEGER NOT NULL DEFAULT 1 -- 0: nothing of it can still be running
) WITHOUT ROWID;

CREATE TABLE task (
    submission TEXT NOT NULL, task INTEGER NOT NULL, array INTEGER NOT NULL, element INTEGER NOT NULL,
    cpus INTEGER, mem_bytes INTEGER, time_limit_s REAL,
    gone TEXT,                      -- found gone: no (further) run of it will start; why
    given_back INTEGER NOT NULL DEFAULT 0, -- 1: its sender stopped before it had begun
    failed_on TEXT, failed_at REAL, -- the node where it failed before it could write anything, and when that was found
    PRIMARY KEY (submission, task)
) WITHOUT ROWID;

CREATE TABLE placement (
    point_id TEXT NOT NULL, submission TEXT NOT NULL, task INTEGER NOT NULL, because TEXT,
    PRIMARY KEY (point_id, submission)
) WITHOUT ROWID;
CREATE INDEX placement_task ON placement (submission, task);

-- What `cancel` gave up: of each point, its newest submission up to this number.
CREATE TABLE cancellation (
    point_id TEXT NOT NULL, after INTEGER NOT NULL,
    PRIMARY KEY (point_id, after)
) WITHOUT ROWID;

CREATE TABLE run (
    submission TEXT NOT NULL, task INTEGER NOT NULL, run INTEGER NOT NULL,
    host TEXT, process_host TEXT, boot_id TEXT, pid INTEGER, process_started REAL, job_id TEXT,
    restart INTEGER NOT NULL DEFAULT 0, -- how often the scheduler had requeued the task before
    started_at REAL, last_seen_at REAL, ended_at REAL, ended TEXT,
    signalled TEXT,                 -- told to stop: why, as far as the run can know
    used_elapsed_s REAL, used_cpu_s REAL, used_max_rss_bytes INTEGER, -- NULL where it had no last word
    gone TEXT,                      -- found gone without a last word: why
    PRIMARY KEY (submission, task, run)
) WITHOUT ROWID;

CREATE TABLE attempt (
    submission TEXT NOT NULL, task INTEGER NOT NULL, run INTEGER NOT NULL, point_id TEXT NOT NULL, seq INTEGER NOT NULL,
    number INTEGER NOT NULL,        -- number of the submission: which attempt is newer
    started_at REAL, ended_at REAL, outcome TEXT,
    said TEXT,                      -- why it did not succeed, by its own last word
    state TEXT, kind TEXT,          -- and with what is known from elsewhere
    phase TEXT, done INTEGER, total INTEGER, checkpoint INTEGER, resumed_from INTEGER,
    elapsed_s REAL, cpu_s REAL, max_rss_bytes INTEGER, host TEXT, job_id TEXT,
    elbo REAL, elbo_se REAL, converged INTEGER, iterations_run INTEGER,
    rhat_max REAL, ess_min REAL, divergences INTEGER, -- of samplers
    error TEXT, message TEXT, frame TEXT, log TEXT,
    PRIMARY KEY (submission, task, run, point_id)
) WITHOUT ROWID;
CREATE INDEX attempt_point ON attempt (point_id, number, run);

-- What the files of adopted results say: results that no journal of this sweep told of.
CREATE TABLE adopted (
    point_id TEXT PRIMARY KEY, elbo REAL, elbo_se REAL, converged INTEGER, iterations_run INTEGER,
    rhat_max REAL, ess_min REAL, divergences INTEGER
) WITHOUT ROWID;

-- How far each journal was read.
CREATE TABLE journal (
    submission TEXT NOT NULL, task INTEGER NOT NULL, run INTEGER NOT NULL,
    offset INTEGER NOT NULL, closed INTEGER NOT NULL, damaged INTEGER NOT NULL,
    PRIMARY KEY (submission, task, run)
) WITHOUT ROWID;

-- What saves work, or was seen a moment ago. Losing it costs time only.
CREATE TABLE hint (key TEXT PRIMARY KEY, value TEXT, at REAL) WITHOUT ROWID;
