-- +goose Up

-- How requests were decided, kept for days. The identifiers of requests are
-- compared byte by byte, so that the beginning of one finds it. steps is a JSON
-- text that only the program reads.
CREATE TABLE traces (
    occurred_on date        NOT NULL,
    request_id  text        COLLATE "C" NOT NULL,
    occurred_at timestamptz NOT NULL,
    endpoint    text        NOT NULL,
    status      bigint      NOT NULL,
    error       text        NOT NULL,
    issued      text        NOT NULL,
    grant_type  text        NOT NULL,
    client_id   text        NOT NULL,
    user_id     text        NOT NULL,
    steps       text        NOT NULL,
    CONSTRAINT traces_pkey PRIMARY KEY (request_id, occurred_at, occurred_on)
) PARTITION BY RANGE (occurred_on);

INSERT INTO partition_rules (table_name, span, floor_days) VALUES ('traces', 'day', 0);
