-- +goose Up

-- Messages to people that are to be sent. Who gets one and what it says is
-- sealed under the master key. due_at is the next attempt; without it the
-- message has ended, and stays for a while for the operator to see. A row goes
-- when its message was sent.
CREATE TABLE mails (
    mail_id    uuid        NOT NULL,
    kind       text        NOT NULL,
    user_id    text        NOT NULL,
    sealed     bytea       NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    due_at     timestamptz,
    attempts   bigint      NOT NULL,
    outcome    text        NOT NULL,
    failure    text        NOT NULL,
    CONSTRAINT mails_pkey PRIMARY KEY (mail_id)
);
CREATE INDEX mails_due_at_idx ON mails (due_at) WHERE due_at IS NOT NULL;
