-- +goose Up

-- Browsers in which people have signed in before. While now is before
-- trusted_until, one stands in for its person's second factor.
CREATE TABLE devices (
    device_id     uuid        NOT NULL,
    user_id       text        NOT NULL,
    salt          bytea       NOT NULL,
    created_at    timestamptz NOT NULL,
    last_seen_at  timestamptz NOT NULL,
    expires_at    timestamptz NOT NULL,
    trusted_at    timestamptz,
    trusted_until timestamptz,
    remote_addr   text        NOT NULL,
    user_agent    text        NOT NULL,
    CONSTRAINT devices_pkey PRIMARY KEY (device_id)
);
CREATE INDEX devices_user_id_idx ON devices (user_id);
CREATE INDEX devices_expires_at_idx ON devices (expires_at);
