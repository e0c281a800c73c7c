-- +goose Up

-- Initial access tokens (RFC 7591 section 1.2).
CREATE TABLE registration_tokens (
    token_id   uuid        NOT NULL,
    label      text        NOT NULL,
    salt       bytea       NOT NULL,
    uses       bigint      NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT registration_tokens_pkey PRIMARY KEY (token_id)
);

-- Clients that registered themselves. generation counts the changes, each of
-- which gives a new registration access token (RFC 7592).
CREATE TABLE client_registrations (
    client_id       text        NOT NULL,
    registration_id uuid        NOT NULL,
    salt            bytea       NOT NULL,
    generation      bigint      NOT NULL,
    token_id        uuid,
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz NOT NULL,
    CONSTRAINT client_registrations_pkey PRIMARY KEY (client_id)
);
CREATE INDEX client_registrations_last_used_at_idx ON client_registrations (last_used_at);
