-- +goose Up

-- How requests were decided, kept for days. The identifiers of requests are
-- compared byte by byte, so that the beginning of one finds it. steps is a JSON
-- text that only the program reads. Rows are added in the order of time, and
-- deleted in the order in which they were added.
CREATE TABLE traces (
    occurred_on INTEGER NOT NULL,
    request_id  TEXT    NOT NULL,
    occurred_at INTEGER NOT NULL,
    endpoint    TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    error       TEXT    NOT NULL,
    issued      TEXT    NOT NULL,
    grant_type  TEXT    NOT NULL,
    client_id   TEXT    NOT NULL,
    user_id     TEXT    NOT NULL,
    steps       TEXT    NOT NULL,
    CONSTRAINT traces_pkey PRIMARY KEY (request_id, occurred_at)
) STRICT;
