-- +goose Up

-- Pushed authorization requests (RFC 9126), sealed. grant_id is the one grant
-- that came of it. Daily partitions.
CREATE TABLE pushed_requests (
    expires_on date        NOT NULL,
    request_id uuid        NOT NULL,
    client_id  text        NOT NULL,
    sealed     text        NOT NULL,
    salt       bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at    timestamptz,
    grant_id   uuid,
    CONSTRAINT pushed_requests_pkey PRIMARY KEY (expires_on, request_id)
) PARTITION BY RANGE (expires_on);
