-- +goose Up

ALTER TABLE users ADD COLUMN password_changed_at timestamptz;
ALTER TABLE users ADD COLUMN preferences jsonb NOT NULL DEFAULT '{}';

-- E-mail addresses. address_key is the address as it is compared. The primary
-- one is the email of the profile; a verified one is nobody else's.
CREATE TABLE email_addresses (
    user_id     text        NOT NULL,
    address_key text        NOT NULL,
    address     text        NOT NULL,
    is_primary  boolean     NOT NULL,
    verified_at timestamptz,
    created_at  timestamptz NOT NULL,
    CONSTRAINT email_addresses_pkey PRIMARY KEY (user_id, address_key),
    CONSTRAINT email_addresses_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX email_addresses_verified_idx ON email_addresses (address_key) WHERE verified_at IS NOT NULL;
CREATE UNIQUE INDEX email_addresses_primary_idx ON email_addresses (user_id) WHERE is_primary;

-- Of several accounts that say to have verified an address, the first keeps it.
INSERT INTO email_addresses (user_id, address_key, address, is_primary, verified_at, created_at)
SELECT u.user_id, lower(u.profile ->> 'email'), u.profile ->> 'email', TRUE,
    CASE WHEN u.profile ->> 'email_verified' = 'true' AND NOT EXISTS (
        SELECT 1 FROM users o
        WHERE o.user_id < u.user_id AND lower(o.profile ->> 'email') = lower(u.profile ->> 'email') AND o.profile ->> 'email_verified' = 'true')
    THEN u.updated_at END,
    u.created_at
FROM users u
WHERE u.profile ->> 'email' <> '';

-- Links that were sent to somebody. Of the links of one kind, person and
-- address the newest one works, once.
CREATE TABLE links (
    link_id     uuid        NOT NULL,
    kind        text        NOT NULL,
    user_id     text        NOT NULL,
    address_key text        NOT NULL,
    address     text        NOT NULL,
    salt        bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    used_at     timestamptz,
    CONSTRAINT links_pkey PRIMARY KEY (link_id)
);
CREATE INDEX links_user_id_idx ON links (user_id, kind, address_key);
CREATE INDEX links_expires_at_idx ON links (expires_at);
