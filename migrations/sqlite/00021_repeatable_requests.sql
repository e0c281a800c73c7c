-- +goose Up

-- Requests that their callers may send again for the same answer. The key is a
-- hash of the caller and of what they call the request; sealed holds what was
-- asked and, once there is one, the answer. Rows are gone after a day.
CREATE TABLE repeatable_requests (
    request_key BLOB    NOT NULL,
    sealed      BLOB    NOT NULL,
    began_at    INTEGER NOT NULL,
    CONSTRAINT repeatable_requests_pkey PRIMARY KEY (request_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX repeatable_requests_began_at_idx ON repeatable_requests (began_at);
