-- The writes that have happened under an idempotency key. Rows older than a day are removed by later writes.
CREATE TABLE larder_writes (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL,
    outcome TEXT NOT NULL,
    written_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX larder_writes_by_time ON larder_writes (written_at);
