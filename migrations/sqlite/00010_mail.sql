-- +goose Up

-- Messages to people that are to be sent. Who gets one and what it says is
-- sealed under the master key. due_at is the next attempt; without it the
-- message has ended, and stays for a while for the operator to see. A row goes
-- when its message was sent.
CREATE TABLE mails (
    mail_id    BLOB    NOT NULL,
    kind       TEXT    NOT NULL,
    user_id    TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    due_at     INTEGER,
    attempts   INTEGER NOT NULL,
    outcome    TEXT    NOT NULL,
    failure    TEXT    NOT NULL,
    CONSTRAINT mails_pkey PRIMARY KEY (mail_id)
) STRICT;
CREATE INDEX mails_due_at_idx ON mails (due_at) WHERE due_at IS NOT NULL;
