-- +goose Up

-- The tables that are cut into ranges of days, weeks or months, and how many
-- days past its end, by this database's clock, a range is kept at least. What
-- makes and drops partitions goes by these rules, whoever asks for it, so that
-- the server need not own its tables.
CREATE TABLE partition_rules (
    table_name text    NOT NULL,
    span       text    NOT NULL,
    floor_days integer NOT NULL,
    CONSTRAINT partition_rules_pkey PRIMARY KEY (table_name),
    CONSTRAINT partition_rules_span_check CHECK (span IN ('day', 'week', 'month')),
    CONSTRAINT partition_rules_floor_days_check CHECK (floor_days >= 0)
);
INSERT INTO partition_rules (table_name, span, floor_days) VALUES
    ('grants', 'week', 0),
    ('access_tokens', 'day', 0),
    ('revoked_tokens', 'day', 0),
    ('assertions', 'day', 0),
    ('pushed_requests', 'day', 0),
    ('audit_events', 'month', 1);

-- make_partition makes the range that holds a day, unless it is there.
-- +goose StatementBegin
CREATE FUNCTION make_partition(parent text, held date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET datestyle = 'ISO' AS $$
DECLARE
    span_of text;
    first   date;
    past    date;
    name    text;
BEGIN
    SELECT r.span INTO span_of FROM partition_rules r WHERE r.table_name = parent;
    IF span_of IS NULL OR held IS NULL THEN
        RAISE EXCEPTION 'no partitions are made of this table' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF held > (clock_timestamp() AT TIME ZONE 'UTC')::date + 7305 THEN
        RAISE EXCEPTION 'no partitions are made more than 20 years ahead' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    first := date_trunc(span_of, held::timestamp)::date;
    past := (first + ('1 ' || span_of)::interval)::date;
    name := parent || to_char(first, CASE span_of WHEN 'day' THEN '"_"YYYYMMDD' WHEN 'week' THEN '"_"IYYY"w"IW' ELSE '"_"YYYY"m"MM' END);
    -- Every rotation of a refresh token updates its grant in place.
    EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)%s',
        name, parent, first, past, CASE parent WHEN 'grants' THEN ' WITH (fillfactor = 80)' ELSE '' END);
END
$$;
-- +goose StatementEnd

-- drop_partition drops a range that is wholly past, and nothing else.
-- +goose StatementBegin
CREATE FUNCTION drop_partition(name text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET datestyle = 'ISO' AS $$
DECLARE
    kept integer;
    past date;
BEGIN
    IF to_regclass(format('%I', name)) IS NULL THEN
        RETURN;
    END IF;
    SELECT r.floor_days, substring(pg_get_expr(c.relpartbound, c.oid) FROM 'TO \(''(\d{4}-\d\d-\d\d)''\)')::date
    INTO kept, past
    FROM pg_class c
    JOIN pg_inherits i ON i.inhrelid = c.oid
    JOIN partition_rules r ON to_regclass(format('%I', r.table_name)) = i.inhparent
    WHERE c.oid = to_regclass(format('%I', name));
    IF past IS NULL THEN
        RAISE EXCEPTION 'this table is no partition that may be dropped' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF past > (clock_timestamp() AT TIME ZONE 'UTC')::date - kept THEN
        RAISE EXCEPTION 'the partition % is not old enough: by this database''s clock, % days have to pass after %', name, kept, past
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS %I', name);
END
$$;
-- +goose StatementEnd

-- They act with the rights of the tables' owner, in the tables' schema and
-- nowhere else; a temporary table stands for none of theirs.
-- +goose StatementBegin
DO $$
DECLARE
    signature text;
    owner     text;
BEGIN
    SELECT pg_get_userbyid(relowner) INTO owner FROM pg_class WHERE oid = to_regclass('grants');
    FOREACH signature IN ARRAY ARRAY['make_partition(text, date)', 'drop_partition(text)'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET search_path = %I, pg_temp', signature, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', signature);
        IF owner <> current_user THEN -- a superuser migrates what belongs to another role
            EXECUTE format('ALTER FUNCTION %s OWNER TO %I', signature, owner);
        END IF;
    END LOOP;
    IF owner <> current_user THEN
        EXECUTE format('ALTER TABLE partition_rules OWNER TO %I', owner);
    END IF;
END
$$;
-- +goose StatementEnd
