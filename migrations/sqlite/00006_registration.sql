-- +goose Up

-- Initial access tokens (RFC 7591 section 1.2).
CREATE TABLE registration_tokens (
    token_id             BLOB    NOT NULL,
    label                TEXT    NOT NULL,
    salt                 BLOB    NOT NULL,
    uses                 INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    expires_at           INTEGER NOT NULL,
    CONSTRAINT registration_tokens_pkey PRIMARY KEY (token_id)
) STRICT, WITHOUT ROWID;

-- Clients that registered themselves. generation counts the changes, each of
-- which gives a new registration access token (RFC 7592).
CREATE TABLE client_registrations (
    client_id            TEXT    NOT NULL,
    registration_id      BLOB    NOT NULL,
    salt                 BLOB    NOT NULL,
    generation           INTEGER NOT NULL,
    token_id             BLOB,
    created_at           INTEGER NOT NULL,
    last_used_at         INTEGER NOT NULL,
    CONSTRAINT client_registrations_pkey PRIMARY KEY (client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX client_registrations_last_used_at_idx ON client_registrations (last_used_at);
