-- +goose Up

-- The audit's log: rows of audit_events in the order in which they were sealed.
-- leaves holds 48 bytes for each, its event_id and the hash of what it says;
-- peaks are the roots of the complete subtrees after them, and checkpoint is
-- the signed note over the whole tree. Rows are added and never change. The key
-- decides between two that would follow the same one.
CREATE TABLE audit_seals (
    first_leaf  INTEGER NOT NULL,
    first_event BLOB    NOT NULL,
    last_event  BLOB    NOT NULL,
    leaves      BLOB    NOT NULL,
    peaks       BLOB    NOT NULL,
    checkpoint  TEXT    NOT NULL,
    sealed_at   INTEGER NOT NULL,
    CONSTRAINT audit_seals_pkey PRIMARY KEY (first_leaf)
) STRICT;
CREATE INDEX audit_seals_first_event_idx ON audit_seals (first_event);
