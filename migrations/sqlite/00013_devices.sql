-- +goose Up

-- Browsers in which people have signed in before. While now is before
-- trusted_until, one stands in for its person's second factor.
CREATE TABLE devices (
    device_id     BLOB    NOT NULL,
    user_id       TEXT    NOT NULL,
    salt          BLOB    NOT NULL,
    created_at    INTEGER NOT NULL,
    last_seen_at  INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    trusted_at    INTEGER,
    trusted_until INTEGER,
    remote_addr   TEXT    NOT NULL,
    user_agent    TEXT    NOT NULL,
    CONSTRAINT devices_pkey PRIMARY KEY (device_id)
) STRICT;
CREATE INDEX devices_user_id_idx ON devices (user_id);
CREATE INDEX devices_expires_at_idx ON devices (expires_at);
