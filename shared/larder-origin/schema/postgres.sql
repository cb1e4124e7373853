-- The writes that have happened under an idempotency key. Rows older than a day are removed by later writes.
CREATE TABLE larder_writes (
    id text NOT NULL PRIMARY KEY,
    digest text NOT NULL,
    outcome text NOT NULL,
    written_at bigint NOT NULL
);
CREATE INDEX larder_writes_by_time ON larder_writes (written_at);
