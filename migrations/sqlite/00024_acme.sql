-- +goose Up

-- What nodes share to get a TLS certificate by ACME: the account's key, the
-- answer to a challenge while there is one, the certificate with its key. Each is
-- sealed under the master key.
CREATE TABLE acme_entries (
    entry_name TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    updated_at INTEGER NOT NULL,
    CONSTRAINT acme_entries_pkey PRIMARY KEY (entry_name)
) STRICT, WITHOUT ROWID;
