-- +goose Up

-- Pictures of clients that the operator stored. The hash is their address.
CREATE TABLE client_logos (
    client_id            TEXT    NOT NULL,
    hash                 TEXT    NOT NULL,
    content_type         TEXT    NOT NULL,
    body                 BLOB    NOT NULL,
    created_at           INTEGER NOT NULL,
    CONSTRAINT client_logos_pkey PRIMARY KEY (client_id)
) STRICT;
CREATE INDEX client_logos_hash_idx ON client_logos (hash);
