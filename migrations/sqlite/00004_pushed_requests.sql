-- +goose Up

-- Pushed authorization requests (RFC 9126), sealed. grant_id is the one grant
-- that came of it.
CREATE TABLE pushed_requests (
    expires_on           INTEGER NOT NULL,
    request_id           BLOB    NOT NULL,
    client_id            TEXT    NOT NULL,
    sealed               TEXT    NOT NULL,
    salt                 BLOB    NOT NULL,
    created_at           INTEGER NOT NULL,
    expires_at           INTEGER NOT NULL,
    used_at              INTEGER,
    grant_id             BLOB,
    CONSTRAINT pushed_requests_pkey PRIMARY KEY (expires_on, request_id)
) STRICT, WITHOUT ROWID;
