-- +goose Up

-- What clients signed and may use once (RFC 7523 section 3, jti): a hash of
-- client and identifier, until it would have expired.
CREATE TABLE assertions (
    expires_on     INTEGER NOT NULL,
    assertion_hash BLOB    NOT NULL,
    CONSTRAINT assertions_pkey PRIMARY KEY (expires_on, assertion_hash)
) STRICT, WITHOUT ROWID;

-- The secret itself, sealed, for client_secret_jwt alone.
ALTER TABLE client_secrets ADD COLUMN secret_sealed BLOB;
