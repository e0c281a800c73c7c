-- +goose Up

-- The name under which authenticators know a person (Web Authentication Level 3
-- section 5.4.3): random, so that it tells nothing of the account.
CREATE TABLE user_handles (
    user_id     text  NOT NULL,
    user_handle bytea NOT NULL,
    CONSTRAINT user_handles_pkey PRIMARY KEY (user_id),
    CONSTRAINT user_handles_user_handle_key UNIQUE (user_handle),
    CONSTRAINT user_handles_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
);

-- user_verified says that the authenticator is known to check who uses it.
-- last_event_id is the audit event of the last use, as in the tables below.
CREATE TABLE passkeys (
    credential_id   bytea       NOT NULL,
    user_id         text        NOT NULL,
    passkey_name    text        NOT NULL,
    public_key      bytea       NOT NULL,
    sign_count      bigint      NOT NULL,
    aaguid          uuid,
    transports      text        NOT NULL,
    user_verified   boolean     NOT NULL,
    backup_eligible boolean     NOT NULL,
    backup_state    boolean     NOT NULL,
    created_at      timestamptz NOT NULL,
    last_used_at    timestamptz,
    last_event_id   uuid,
    CONSTRAINT passkeys_pkey PRIMARY KEY (credential_id),
    CONSTRAINT passkeys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
);
CREATE INDEX passkeys_user_id_idx ON passkeys (user_id);

-- Apps that show time-based codes (RFC 6238). last_step is the newest time step
-- of which a code was accepted.
CREATE TABLE authenticators (
    user_id            text        NOT NULL,
    authenticator_id   uuid        NOT NULL,
    authenticator_name text        NOT NULL,
    secret_sealed      bytea       NOT NULL,
    last_step          bigint      NOT NULL,
    created_at         timestamptz NOT NULL,
    last_used_at       timestamptz,
    last_event_id      uuid,
    CONSTRAINT authenticators_pkey PRIMARY KEY (user_id, authenticator_id),
    CONSTRAINT authenticators_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
);

-- The slot makes two lists that are stored at the same moment replace each
-- other.
CREATE TABLE recovery_codes (
    user_id       text        NOT NULL,
    slot          bigint      NOT NULL,
    code_hash     text        NOT NULL,
    created_at    timestamptz NOT NULL,
    used_at       timestamptz,
    last_event_id uuid,
    CONSTRAINT recovery_codes_pkey PRIMARY KEY (user_id, slot),
    CONSTRAINT recovery_codes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
);
