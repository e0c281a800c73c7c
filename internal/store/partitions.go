package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"idp/internal/idp"
)

// Partitions exist on PostgreSQL only. What has expired is not deleted there
// row by row: its partition is dropped.

// partitionLockTimeout bounds how long making or dropping a partition may wait,
// because everything that comes after it waits too.
const partitionLockTimeout = 200 * time.Millisecond

// tokenDaysAhead covers the longest life of an access token, seven days, with
// two to spare for maintenance that does not run.
const tokenDaysAhead = 9

// partitioned says which ranges of a table there have to be. How it is cut is
// what the database's partition_rules say as well: a table that is added here
// needs its row there.
type partitioned struct {
	table   string
	first   func(idp.Day) idp.Day // the first day of the range that holds a day
	next    func(idp.Day) idp.Day // the first day after the range that begins at a day
	from    idp.Day               // ranges must exist from the one that holds this day
	through idp.Day               // to the one that holds this
	keep    idp.Day               // ranges that end by this day are dropped; 0 for none
}

func (s *Store) partitionedTables() []partitioned {
	today := s.today()
	yesterday := today - 1 // clocks differ, and what has just expired is still asked for
	daily := func(table string) partitioned {
		return partitioned{
			table: table,
			first: func(d idp.Day) idp.Day { return d },
			next:  func(d idp.Day) idp.Day { return d + 1 },
			from:  yesterday, through: today + tokenDaysAhead, keep: yesterday,
		}
	}
	audit := partitioned{
		table: "audit_events",
		first: func(d idp.Day) idp.Day { return monthOf(d, 0) },
		next:  func(d idp.Day) idp.Day { return monthOf(d, 1) },
		from:  monthOf(today, -1), through: monthOf(today, 2),
	}
	if s.cfg.AuditRetention > 0 {
		audit.keep = idp.DayOf(s.now().Add(-s.cfg.AuditRetention))
		audit.from = max(audit.from, min(audit.keep, today))
	}
	traces := daily("traces")
	traces.keep = s.oldestTraces()
	return []partitioned{
		{
			table: "grants",
			first: mondayOf,
			next:  func(d idp.Day) idp.Day { return d + 7 },
			from:  yesterday, through: idp.DayOf(s.now().Add(s.cfg.GrantRetention)) + 14, keep: yesterday,
		},
		daily("access_tokens"), daily("revoked_tokens"), daily("pushed_requests"), daily("assertions"), audit, traces,
	}
}

// mondayOf returns the Monday of the day's week; day 0 was a Thursday.
func mondayOf(d idp.Day) idp.Day { return d - (d+3)%7 }

// monthOf returns the first day of the day's month, some months on.
func monthOf(d idp.Day, months int) idp.Day {
	t := d.Time()
	return idp.DayOf(time.Date(t.Year(), t.Month()+time.Month(months), 1, 0, 0, 0, 0, time.UTC))
}

const selectPartitions = `
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid)
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass($1)`

var partitionBounds = regexp.MustCompile(`^FOR VALUES FROM \('(\d{4}-\d\d-\d\d)'\) TO \('(\d{4}-\d\d-\d\d)'\)$`)

// partitions returns the ranges that exist: name → the first day after it.
func (s *Store) partitions(ctx context.Context, table string) (map[string]idp.Day, error) {
	ends := map[string]idp.Day{}
	err := s.port.query(ctx, func(r row) error {
		var name, bounds string
		if err := r.Scan(&name, &bounds); err != nil {
			return err
		}
		m := partitionBounds.FindStringSubmatch(bounds)
		if m == nil {
			return nil // not made here
		}
		end, err := time.Parse(time.DateOnly, m[2])
		if err != nil {
			return err
		}
		ends[name] = idp.DayOf(end)
		return nil
	}, selectPartitions, table)
	return ends, err
}

// makePartition and dropPartition run with the rights of the tables' owner, so
// that the server's own role needs none of them; the migrations say what they
// refuse. It is by the database's clock that a range is past, whatever a node
// believes.
const (
	makePartition = `SELECT make_partition($1, $2)`
	dropPartition = `SELECT drop_partition($1)`
)

// partitionsAhead makes the partitions that are missing. Several nodes may do
// so at once.
func (s *Store) partitionsAhead(ctx context.Context) error {
	if s.engine != enginePostgres {
		return nil
	}
	for _, p := range s.partitionedTables() {
		existing, err := s.partitions(ctx, p.table)
		if err != nil {
			return err
		}
		ends := map[idp.Day]bool{}
		for _, end := range existing {
			ends[end] = true
		}
		for day := p.first(p.from); day <= p.through; day = p.next(day) {
			if ends[p.next(day)] {
				continue
			}
			if err := s.runDDL(ctx, makePartition, p.table, day); err != nil && !alreadyThere(err) {
				return fmt.Errorf("make partition of %s for %s: %w", p.table, day.Time().Format(time.DateOnly), err)
			}
		}
	}
	return nil
}

// alreadyThere recognises that another node made the same table between the
// look and the creation.
func alreadyThere(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "42P07" || pg.Code == "23505" || pg.Code == "42710")
}

// partitionsBehind drops the partitions that are wholly past.
func (s *Store) partitionsBehind(ctx context.Context) error {
	if s.engine != enginePostgres {
		return nil
	}
	var faults []error
	for _, p := range s.partitionedTables() {
		if p.keep == 0 {
			continue
		}
		existing, err := s.partitions(ctx, p.table)
		if err != nil {
			return err
		}
		for name, end := range existing {
			if end > p.keep {
				continue
			}
			if err := s.runDDL(ctx, dropPartition, name); err != nil {
				faults = append(faults, fmt.Errorf("drop partition %s: %w", name, err))
				continue
			}
			s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "dropped a partition that has expired", slog.String("partition", name))
		}
	}
	return errors.Join(faults...)
}

// runDDL runs one statement that gives up soon when a lock is taken, a few
// times.
func (s *Store) runDDL(ctx context.Context, sql string, args ...any) error {
	converted, err := pgArgs(args)
	if err != nil {
		return err
	}
	for try := range 10 {
		if try > 0 && !pause(ctx, 10*try) {
			break
		}
		err = s.direct.(*postgres).call(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
			tx, err := c.Begin(ctx)
			if err != nil {
				return err
			}
			defer func() { _ = tx.Rollback(ctx) }() // nothing to do after a commit
			if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL lock_timeout = %d", partitionLockTimeout.Milliseconds())); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, sql, converted...); err != nil {
				return err
			}
			return tx.Commit(ctx)
		})
		pg, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || pg.Code != "55P03" {
			break
		}
	}
	return err
}
