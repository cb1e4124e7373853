-- The writes that have happened under an idempotency key. Rows older than a day are removed by later writes.
CREATE TABLE larder_writes (
    id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL PRIMARY KEY,
    digest CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    outcome LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    written_at BIGINT NOT NULL,
    INDEX larder_writes_by_time (written_at)
) ENGINE = InnoDB;
