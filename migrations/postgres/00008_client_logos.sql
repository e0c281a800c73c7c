-- +goose Up

-- Pictures of clients that the operator stored. The hash is their address.
CREATE TABLE client_logos (
    client_id    text        NOT NULL,
    hash         text        NOT NULL,
    content_type text        NOT NULL,
    body         bytea       NOT NULL,
    created_at   timestamptz NOT NULL,
    CONSTRAINT client_logos_pkey PRIMARY KEY (client_id)
);
CREATE INDEX client_logos_hash_idx ON client_logos (hash);
