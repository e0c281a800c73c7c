-- +goose Up

-- The name under which authenticators know a person (Web Authentication Level 3
-- section 5.4.3): random, so that it tells nothing of the account.
CREATE TABLE user_handles (
    user_id              TEXT    NOT NULL,
    user_handle          BLOB    NOT NULL,
    CONSTRAINT user_handles_pkey PRIMARY KEY (user_id),
    CONSTRAINT user_handles_user_handle_key UNIQUE (user_handle),
    CONSTRAINT user_handles_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- user_verified says that the authenticator is known to check who uses it.
-- last_event_id is the audit event of the last use, as in the tables below.
CREATE TABLE passkeys (
    credential_id        BLOB    NOT NULL,
    user_id              TEXT    NOT NULL,
    passkey_name         TEXT    NOT NULL,
    public_key           BLOB    NOT NULL,
    sign_count           INTEGER NOT NULL,
    aaguid               BLOB,
    transports           TEXT    NOT NULL,
    user_verified        INTEGER NOT NULL,
    backup_eligible      INTEGER NOT NULL,
    backup_state         INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    last_used_at         INTEGER,
    last_event_id        BLOB,
    CONSTRAINT passkeys_pkey PRIMARY KEY (credential_id),
    CONSTRAINT passkeys_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX passkeys_user_id_idx ON passkeys (user_id);

-- Apps that show time-based codes (RFC 6238). last_step is the newest time step
-- of which a code was accepted.
CREATE TABLE authenticators (
    user_id              TEXT    NOT NULL,
    authenticator_id     BLOB    NOT NULL,
    authenticator_name   TEXT    NOT NULL,
    secret_sealed        BLOB    NOT NULL,
    last_step            INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    last_used_at         INTEGER,
    last_event_id        BLOB,
    CONSTRAINT authenticators_pkey PRIMARY KEY (user_id, authenticator_id),
    CONSTRAINT authenticators_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- The slot makes two lists that are stored at the same moment replace each
-- other.
CREATE TABLE recovery_codes (
    user_id              TEXT    NOT NULL,
    slot                 INTEGER NOT NULL,
    code_hash            TEXT    NOT NULL,
    created_at           INTEGER NOT NULL,
    used_at              INTEGER,
    last_event_id        BLOB,
    CONSTRAINT recovery_codes_pkey PRIMARY KEY (user_id, slot),
    CONSTRAINT recovery_codes_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
