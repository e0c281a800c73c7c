-- +goose Up

-- What clients signed and may use once (RFC 7523 section 3, jti): a hash of
-- client and identifier, until it would have expired. Daily partitions.
CREATE TABLE assertions (
    expires_on     date  NOT NULL,
    assertion_hash bytea NOT NULL,
    CONSTRAINT assertions_pkey PRIMARY KEY (expires_on, assertion_hash)
) PARTITION BY RANGE (expires_on);

-- The secret itself, sealed, for client_secret_jwt alone.
ALTER TABLE client_secrets ADD COLUMN secret_sealed bytea;
