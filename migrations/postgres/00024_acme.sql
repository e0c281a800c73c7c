-- +goose Up

-- What nodes share to get a TLS certificate by ACME: the account's key, the
-- answer to a challenge while there is one, the certificate with its key. Each is
-- sealed under the master key.
CREATE TABLE acme_entries (
    entry_name text        NOT NULL,
    sealed     bytea       NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT acme_entries_pkey PRIMARY KEY (entry_name)
);
