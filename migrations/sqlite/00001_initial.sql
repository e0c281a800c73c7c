-- +goose Up

-- The same tables as on PostgreSQL. Times are microseconds since 1970, days
-- are days since 1970, identifiers are 16 bytes.

-- Clients (RFC 7591). A deleted client leaves its row behind without content:
-- the other nodes learn of the deletion by it, and nothing issued under the
-- identifier comes back to life when it is taken again.
CREATE TABLE clients (
    client_id            TEXT    NOT NULL,
    metadata             TEXT    NOT NULL,
    disabled             INTEGER NOT NULL,
    tokens_valid_after   INTEGER,
    revision             INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    deleted_at           INTEGER,
    CONSTRAINT clients_pkey PRIMARY KEY (client_id)
) STRICT;
CREATE INDEX clients_revision_idx ON clients (revision);

CREATE TABLE client_secrets (
    secret_id            BLOB    NOT NULL,
    client_id            TEXT    NOT NULL,
    secret_hash          TEXT    NOT NULL,
    created_at           INTEGER NOT NULL,
    expires_at           INTEGER,
    CONSTRAINT client_secrets_pkey PRIMARY KEY (secret_id),
    CONSTRAINT client_secrets_client_id_fkey FOREIGN KEY (client_id) REFERENCES clients (client_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX client_secrets_client_id_idx ON client_secrets (client_id);

-- username_key is the user name as it is compared: the program lowers it, so
-- that both engines and all locales agree.
CREATE TABLE users (
    user_id              TEXT    NOT NULL,
    username             TEXT    NOT NULL,
    username_key         TEXT    NOT NULL,
    password_hash        TEXT    NOT NULL,
    state                TEXT    NOT NULL,
    profile              TEXT    NOT NULL,
    tokens_valid_after   INTEGER,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (user_id),
    CONSTRAINT users_username_key UNIQUE (username_key)
) STRICT;

CREATE TABLE groups (
    group_name           TEXT    NOT NULL,
    description          TEXT    NOT NULL,
    created_at           INTEGER NOT NULL,
    CONSTRAINT groups_pkey PRIMARY KEY (group_name)
) STRICT;

CREATE TABLE group_members (
    user_id              TEXT    NOT NULL,
    group_name           TEXT    NOT NULL,
    CONSTRAINT group_members_pkey PRIMARY KEY (user_id, group_name),
    CONSTRAINT group_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE,
    CONSTRAINT group_members_group_name_fkey FOREIGN KEY (group_name) REFERENCES groups (group_name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX group_members_group_name_idx ON group_members (group_name);

CREATE TABLE resources (
    audience             TEXT    NOT NULL,
    metadata             TEXT    NOT NULL,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    CONSTRAINT resources_pkey PRIMARY KEY (audience)
) STRICT;

CREATE TABLE roles (
    role_name            TEXT    NOT NULL,
    description          TEXT    NOT NULL,
    CONSTRAINT roles_pkey PRIMARY KEY (role_name)
) STRICT;

CREATE TABLE role_scopes (
    role_name            TEXT    NOT NULL,
    audience             TEXT    NOT NULL,
    scope                TEXT    NOT NULL,
    CONSTRAINT role_scopes_pkey PRIMARY KEY (role_name, audience, scope),
    CONSTRAINT role_scopes_role_name_fkey FOREIGN KEY (role_name) REFERENCES roles (role_name) ON DELETE CASCADE,
    CONSTRAINT role_scopes_audience_fkey FOREIGN KEY (audience) REFERENCES resources (audience) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX role_scopes_audience_idx ON role_scopes (audience);

CREATE TABLE role_groups (
    role_name            TEXT    NOT NULL,
    group_name           TEXT    NOT NULL,
    CONSTRAINT role_groups_pkey PRIMARY KEY (role_name, group_name),
    CONSTRAINT role_groups_role_name_fkey FOREIGN KEY (role_name) REFERENCES roles (role_name) ON DELETE CASCADE,
    CONSTRAINT role_groups_group_name_fkey FOREIGN KEY (group_name) REFERENCES groups (group_name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX role_groups_group_name_idx ON role_groups (group_name);

CREATE TABLE user_roles (
    user_id              TEXT    NOT NULL,
    role_name            TEXT    NOT NULL,
    CONSTRAINT user_roles_pkey PRIMARY KEY (user_id, role_name),
    CONSTRAINT user_roles_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE,
    CONSTRAINT user_roles_role_name_fkey FOREIGN KEY (role_name) REFERENCES roles (role_name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX user_roles_role_name_idx ON user_roles (role_name);

-- withdrawn_at stays when the person allows the client again, and keeps what was
-- issued before it dead.
-- last_event_id is the audit event of the last change, and the row's version.
CREATE TABLE consents (
    user_id              TEXT    NOT NULL,
    client_id            TEXT    NOT NULL,
    scopes               TEXT    NOT NULL,
    resources            TEXT    NOT NULL,
    redirect_origins     TEXT    NOT NULL,
    remembered           INTEGER NOT NULL,
    granted_at           INTEGER NOT NULL,
    withdrawn_at         INTEGER,
    last_event_id        BLOB    NOT NULL,
    CONSTRAINT consents_pkey PRIMARY KEY (user_id, client_id)
) STRICT;
CREATE INDEX consents_client_id_idx ON consents (client_id);

CREATE TABLE sessions (
    session_id           BLOB    NOT NULL,
    user_id              TEXT    NOT NULL,
    salt                 BLOB    NOT NULL,
    auth_time            INTEGER NOT NULL,
    acr                  TEXT    NOT NULL,
    amr                  TEXT    NOT NULL,
    created_at           INTEGER NOT NULL,
    last_seen_at         INTEGER NOT NULL,
    expires_at           INTEGER NOT NULL,
    ended_at             INTEGER,
    remote_addr          TEXT    NOT NULL,
    user_agent           TEXT    NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (session_id)
) STRICT;
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- One row per authorization: the code and the refresh family. last_event_id is
-- the audit event of the last change; what depends on having won a race asks
-- for it.
CREATE TABLE grants (
    expires_on           INTEGER NOT NULL,
    grant_id             BLOB    NOT NULL,
    client_id            TEXT    NOT NULL,
    user_id              TEXT    NOT NULL,
    session_id           BLOB,
    scopes               TEXT    NOT NULL,
    resources            TEXT    NOT NULL,
    redirect_uri         TEXT    NOT NULL,
    redirect_uri_omitted INTEGER NOT NULL,
    nonce                TEXT    NOT NULL,
    code_challenge       TEXT    NOT NULL,
    auth_time            INTEGER NOT NULL,
    acr                  TEXT    NOT NULL,
    amr                  TEXT    NOT NULL,
    salt                 BLOB    NOT NULL,
    created_at           INTEGER NOT NULL,
    code_expires_at      INTEGER NOT NULL,
    code_used_at         INTEGER,
    generation           INTEGER NOT NULL,
    rotated_at           INTEGER,
    idle_expires_at      INTEGER,
    expires_at           INTEGER NOT NULL,
    revoked_at           INTEGER,
    revoked_reason       TEXT,
    last_event_id        BLOB,
    CONSTRAINT grants_pkey PRIMARY KEY (expires_on, grant_id)
) STRICT, WITHOUT ROWID;

-- Opaque access tokens. groups, roles and entitlements hold one name per line.
CREATE TABLE access_tokens (
    expires_on           INTEGER NOT NULL,
    token_id             BLOB    NOT NULL,
    grant_expires_on     INTEGER,
    grant_id             BLOB,
    client_id            TEXT    NOT NULL,
    subject              TEXT    NOT NULL,
    audience             TEXT    NOT NULL,
    scopes               TEXT    NOT NULL,
    issued_at            INTEGER NOT NULL,
    expires_at           INTEGER NOT NULL,
    auth_time            INTEGER,
    acr                  TEXT    NOT NULL,
    amr                  TEXT    NOT NULL,
    groups               TEXT    NOT NULL,
    roles                TEXT    NOT NULL,
    entitlements         TEXT    NOT NULL,
    CONSTRAINT access_tokens_pkey PRIMARY KEY (expires_on, token_id)
) STRICT, WITHOUT ROWID;

-- Access tokens that were revoked one by one, whatever their format.
CREATE TABLE revoked_tokens (
    expires_on           INTEGER NOT NULL,
    token_id             BLOB    NOT NULL,
    revoked_at           INTEGER NOT NULL,
    event_id             BLOB    NOT NULL,
    CONSTRAINT revoked_tokens_pkey PRIMARY KEY (expires_on, token_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE signing_keys (
    kid                  TEXT    NOT NULL,
    alg                  TEXT    NOT NULL,
    public_jwk           TEXT    NOT NULL,
    sealed_private       BLOB    NOT NULL,
    created_at           INTEGER NOT NULL,
    active_from          INTEGER NOT NULL,
    retired_at           INTEGER,
    CONSTRAINT signing_keys_pkey PRIMARY KEY (kid)
) STRICT;

-- event_id is time-ordered.
CREATE TABLE audit_events (
    event_id             BLOB    NOT NULL,
    occurred_on          INTEGER NOT NULL,
    occurred_at          INTEGER NOT NULL,
    kind                 TEXT    NOT NULL,
    client_id            TEXT    NOT NULL,
    user_id              TEXT    NOT NULL,
    session_id           TEXT    NOT NULL,
    grant_id             TEXT    NOT NULL,
    request_id           TEXT    NOT NULL,
    remote_addr          TEXT    NOT NULL,
    detail               TEXT,
    CONSTRAINT audit_events_pkey PRIMARY KEY (event_id, occurred_on)
) STRICT, WITHOUT ROWID;

-- GCRA: tat is the theoretical arrival time in microseconds since 1970,
-- refused whether the last attempt was turned away.
CREATE TABLE throttles (
    throttle_key         TEXT    NOT NULL,
    tat                  INTEGER NOT NULL,
    refused              INTEGER NOT NULL,
    CONSTRAINT throttles_pkey PRIMARY KEY (throttle_key)
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    lease_name           TEXT    NOT NULL,
    holder               TEXT    NOT NULL,
    expires_at           INTEGER NOT NULL,
    CONSTRAINT leases_pkey PRIMARY KEY (lease_name)
) STRICT, WITHOUT ROWID;

-- What nodes keep in memory, and how often it changed.
CREATE TABLE revisions (
    topic                TEXT    NOT NULL,
    revision             INTEGER NOT NULL,
    CONSTRAINT revisions_pkey PRIMARY KEY (topic)
) STRICT, WITHOUT ROWID;
INSERT INTO revisions (topic, revision) VALUES ('directory', 1), ('keys', 1);

CREATE TABLE settings (
    setting_name         TEXT    NOT NULL,
    value                BLOB    NOT NULL,
    updated_at           INTEGER NOT NULL,
    CONSTRAINT settings_pkey PRIMARY KEY (setting_name)
) STRICT;
