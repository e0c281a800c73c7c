-- +goose Up

-- Clients (RFC 7591). A deleted client leaves its row behind without content:
-- the other nodes learn of the deletion by it, and nothing issued under the
-- identifier comes back to life when it is taken again.
CREATE TABLE clients (
    client_id          text        NOT NULL,
    metadata           jsonb       NOT NULL,
    disabled           boolean     NOT NULL,
    tokens_valid_after timestamptz,
    revision           bigint      NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    deleted_at         timestamptz,
    CONSTRAINT clients_pkey PRIMARY KEY (client_id)
);
CREATE INDEX clients_revision_idx ON clients (revision);

CREATE TABLE client_secrets (
    secret_id   uuid        NOT NULL,
    client_id   text        NOT NULL,
    secret_hash text        NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    CONSTRAINT client_secrets_pkey PRIMARY KEY (secret_id),
    CONSTRAINT client_secrets_client_id_fkey FOREIGN KEY (client_id) REFERENCES clients (client_id) ON DELETE CASCADE
);
CREATE INDEX client_secrets_client_id_idx ON client_secrets (client_id);

-- username_key is the user name as it is compared: the program lowers it, so
-- that both engines and all locales agree.
CREATE TABLE users (
    user_id            text        NOT NULL,
    username           text        NOT NULL,
    username_key       text        NOT NULL,
    password_hash      text        NOT NULL,
    state              text        NOT NULL,
    profile            jsonb       NOT NULL,
    tokens_valid_after timestamptz,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    CONSTRAINT users_pkey PRIMARY KEY (user_id),
    CONSTRAINT users_username_key UNIQUE (username_key)
);

CREATE TABLE groups (
    group_name  text        NOT NULL,
    description text        NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT groups_pkey PRIMARY KEY (group_name)
);

CREATE TABLE group_members (
    user_id    text NOT NULL,
    group_name text NOT NULL,
    CONSTRAINT group_members_pkey PRIMARY KEY (user_id, group_name),
    CONSTRAINT group_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE,
    CONSTRAINT group_members_group_name_fkey FOREIGN KEY (group_name) REFERENCES groups (group_name) ON DELETE CASCADE
);
CREATE INDEX group_members_group_name_idx ON group_members (group_name);

CREATE TABLE resources (
    audience   text        NOT NULL,
    metadata   jsonb       NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    CONSTRAINT resources_pkey PRIMARY KEY (audience)
);

CREATE TABLE roles (
    role_name   text NOT NULL,
    description text NOT NULL,
    CONSTRAINT roles_pkey PRIMARY KEY (role_name)
);

CREATE TABLE role_scopes (
    role_name text NOT NULL,
    audience  text NOT NULL,
    scope     text NOT NULL,
    CONSTRAINT role_scopes_pkey PRIMARY KEY (role_name, audience, scope),
    CONSTRAINT role_scopes_role_name_fkey FOREIGN KEY (role_name) REFERENCES roles (role_name) ON DELETE CASCADE,
    CONSTRAINT role_scopes_audience_fkey FOREIGN KEY (audience) REFERENCES resources (audience) ON DELETE CASCADE
);
CREATE INDEX role_scopes_audience_idx ON role_scopes (audience);

CREATE TABLE role_groups (
    role_name  text NOT NULL,
    group_name text NOT NULL,
    CONSTRAINT role_groups_pkey PRIMARY KEY (role_name, group_name),
    CONSTRAINT role_groups_role_name_fkey FOREIGN KEY (role_name) REFERENCES roles (role_name) ON DELETE CASCADE,
    CONSTRAINT role_groups_group_name_fkey FOREIGN KEY (group_name) REFERENCES groups (group_name) ON DELETE CASCADE
);
CREATE INDEX role_groups_group_name_idx ON role_groups (group_name);

CREATE TABLE user_roles (
    user_id   text NOT NULL,
    role_name text NOT NULL,
    CONSTRAINT user_roles_pkey PRIMARY KEY (user_id, role_name),
    CONSTRAINT user_roles_user_id_fkey FOREIGN KEY (user_id) REFERENCES users (user_id) ON DELETE CASCADE,
    CONSTRAINT user_roles_role_name_fkey FOREIGN KEY (role_name) REFERENCES roles (role_name) ON DELETE CASCADE
);
CREATE INDEX user_roles_role_name_idx ON user_roles (role_name);

-- withdrawn_at stays when the person allows the client again, and keeps what was
-- issued before it dead.
-- last_event_id is the audit event of the last change, and the row's version.
CREATE TABLE consents (
    user_id          text        NOT NULL,
    client_id        text        NOT NULL,
    scopes           text        NOT NULL,
    resources        text        NOT NULL,
    redirect_origins text        NOT NULL,
    remembered       boolean     NOT NULL,
    granted_at       timestamptz NOT NULL,
    withdrawn_at     timestamptz,
    last_event_id    uuid        NOT NULL,
    CONSTRAINT consents_pkey PRIMARY KEY (user_id, client_id)
);
CREATE INDEX consents_client_id_idx ON consents (client_id);

CREATE TABLE sessions (
    session_id   uuid        NOT NULL,
    user_id      text        NOT NULL,
    salt         bytea       NOT NULL,
    auth_time    timestamptz NOT NULL,
    acr          text        NOT NULL,
    amr          text        NOT NULL,
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    expires_at   timestamptz NOT NULL,
    ended_at     timestamptz,
    remote_addr  text        NOT NULL,
    user_agent   text        NOT NULL,
    CONSTRAINT sessions_pkey PRIMARY KEY (session_id)
);
CREATE INDEX sessions_user_id_idx ON sessions (user_id);
CREATE INDEX sessions_expires_at_idx ON sessions (expires_at);

-- One row per authorization: the code and the refresh family. last_event_id is
-- the audit event of the last change; what depends on having won a race asks
-- for it. Weekly partitions.
CREATE TABLE grants (
    expires_on           date        NOT NULL,
    grant_id             uuid        NOT NULL,
    client_id            text        NOT NULL,
    user_id              text        NOT NULL,
    session_id           uuid,
    scopes               text        NOT NULL,
    resources            text        NOT NULL,
    redirect_uri         text        NOT NULL,
    redirect_uri_omitted boolean     NOT NULL,
    nonce                text        NOT NULL,
    code_challenge       text        NOT NULL,
    auth_time            timestamptz NOT NULL,
    acr                  text        NOT NULL,
    amr                  text        NOT NULL,
    salt                 bytea       NOT NULL,
    created_at           timestamptz NOT NULL,
    code_expires_at      timestamptz NOT NULL,
    code_used_at         timestamptz,
    generation           bigint      NOT NULL,
    rotated_at           timestamptz,
    idle_expires_at      timestamptz,
    expires_at           timestamptz NOT NULL,
    revoked_at           timestamptz,
    revoked_reason       text,
    last_event_id        uuid,
    CONSTRAINT grants_pkey PRIMARY KEY (expires_on, grant_id)
) PARTITION BY RANGE (expires_on);

-- Opaque access tokens. groups, roles and entitlements hold one name per line.
-- Daily partitions.
CREATE TABLE access_tokens (
    expires_on       date        NOT NULL,
    token_id         uuid        NOT NULL,
    grant_expires_on date,
    grant_id         uuid,
    client_id        text        NOT NULL,
    subject          text        NOT NULL,
    audience         text        NOT NULL,
    scopes           text        NOT NULL,
    issued_at        timestamptz NOT NULL,
    expires_at       timestamptz NOT NULL,
    auth_time        timestamptz,
    acr              text        NOT NULL,
    amr              text        NOT NULL,
    groups           text        NOT NULL,
    roles            text        NOT NULL,
    entitlements     text        NOT NULL,
    CONSTRAINT access_tokens_pkey PRIMARY KEY (expires_on, token_id)
) PARTITION BY RANGE (expires_on);

-- Access tokens that were revoked one by one, whatever their format. Daily
-- partitions.
CREATE TABLE revoked_tokens (
    expires_on date        NOT NULL,
    token_id   uuid        NOT NULL,
    revoked_at timestamptz NOT NULL,
    event_id   uuid        NOT NULL,
    CONSTRAINT revoked_tokens_pkey PRIMARY KEY (expires_on, token_id)
) PARTITION BY RANGE (expires_on);

CREATE TABLE signing_keys (
    kid            text        NOT NULL,
    alg            text        NOT NULL,
    public_jwk     text        NOT NULL,
    sealed_private bytea       NOT NULL,
    created_at     timestamptz NOT NULL,
    active_from    timestamptz NOT NULL,
    retired_at     timestamptz,
    CONSTRAINT signing_keys_pkey PRIMARY KEY (kid)
);

-- event_id is time-ordered. Monthly partitions.
CREATE TABLE audit_events (
    event_id    uuid        NOT NULL,
    occurred_on date        NOT NULL,
    occurred_at timestamptz NOT NULL,
    kind        text        NOT NULL,
    client_id   text        NOT NULL,
    user_id     text        NOT NULL,
    session_id  text        NOT NULL,
    grant_id    text        NOT NULL,
    request_id  text        NOT NULL,
    remote_addr text        NOT NULL,
    detail      jsonb,
    CONSTRAINT audit_events_pkey PRIMARY KEY (event_id, occurred_on)
) PARTITION BY RANGE (occurred_on);

-- GCRA: tat is the theoretical arrival time in microseconds since 1970,
-- refused whether the last attempt was turned away.
CREATE TABLE throttles (
    throttle_key text    NOT NULL,
    tat          bigint  NOT NULL,
    refused      boolean NOT NULL,
    CONSTRAINT throttles_pkey PRIMARY KEY (throttle_key)
);

CREATE TABLE leases (
    lease_name text        NOT NULL,
    holder     text        NOT NULL,
    expires_at timestamptz NOT NULL,
    CONSTRAINT leases_pkey PRIMARY KEY (lease_name)
);

-- What nodes keep in memory, and how often it changed.
CREATE TABLE revisions (
    topic    text   NOT NULL,
    revision bigint NOT NULL,
    CONSTRAINT revisions_pkey PRIMARY KEY (topic)
);
INSERT INTO revisions (topic, revision) VALUES ('directory', 1), ('keys', 1);

CREATE TABLE settings (
    setting_name text        NOT NULL,
    value        bytea       NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT settings_pkey PRIMARY KEY (setting_name)
);
