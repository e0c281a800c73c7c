-- +goose Up

-- The clients that want to be told when a session ends in which they were
-- granted something; subject is what each knows the person by. A row is written
-- with the grant. When the session ends, due_at turns it into a message to be
-- sent, in the same transaction; the row goes when the message has arrived, or
-- when nobody tries any more.
CREATE TABLE session_clients (
    session_id uuid        NOT NULL,
    client_id  text        NOT NULL,
    subject    text        NOT NULL,
    ended_at   timestamptz,
    due_at     timestamptz,
    attempts   bigint      NOT NULL,
    CONSTRAINT session_clients_pkey PRIMARY KEY (session_id, client_id)
);
CREATE INDEX session_clients_due_at_idx ON session_clients (due_at) WHERE due_at IS NOT NULL;
