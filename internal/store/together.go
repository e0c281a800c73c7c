package store

import (
	"context"
	"errors"
	"time"

	"idp/internal/idp"
)

// togetherLimit is how long all that is done together may take.
const togetherLimit = 10 * time.Minute

// errNotKept undoes what was done together.
var errNotKept = errors.New("nothing is kept")

// Together runs f on a store whose changes are one transaction: they and their
// events are there when f asks to keep them, and else, or when f fails, none of
// them is. Whatever else changes clients, resources, roles or settings comes
// before or after, so f sees what it decides on. Its store is for one goroutine
// and ends with f, which may run several times and must use no other store of
// this database meanwhile.
func (s *Store) Together(ctx context.Context, f func(*Store) (keep bool, err error)) error {
	var part *Store
	err := s.port.inTx(withLimit(ctx, togetherLimit), func(q querier) error {
		part = &Store{cfg: s.cfg, engine: s.engine, port: txPort{q}, holder: s.holder}
		part.cfg.Mirror = func(e idp.Event) { part.told = append(part.told, e) }
		if _, err := q.exec(ctx, bumpRevision, topicDirectory); err != nil {
			return err
		}
		switch keep, err := f(part); {
		case err != nil:
			return err
		case !keep:
			return errNotKept
		}
		return nil
	})
	switch {
	case errors.Is(err, errNotKept):
		return nil
	case err != nil:
		return err
	}
	s.mirror(part.told...)
	s.refreshDirectories(ctx)
	return nil
}

// Attempt undoes what f changed when it fails, on a store that Together made.
func (s *Store) Attempt(ctx context.Context, f func() error) error {
	told := len(s.told)
	err := s.port.inTx(ctx, func(querier) error { return f() })
	if err != nil {
		s.told = s.told[:told]
		s.forgetDirectories(ctx)
	}
	return err
}

// forgetDirectories reads directories anew that may have seen what was undone: a
// revision that comes again says something else.
func (s *Store) forgetDirectories(ctx context.Context) {
	for _, d := range s.directories {
		d.current.Store(&snapshot{})
	}
	s.refreshDirectories(ctx)
}

// limitKey marks a transaction that may take longer than what a request does.
type limitKey struct{}

func withLimit(ctx context.Context, limit time.Duration) context.Context {
	return context.WithValue(ctx, limitKey{}, limit)
}

// limitOf is how long what a context is for may take.
func limitOf(ctx context.Context) time.Duration {
	if limit, ok := ctx.Value(limitKey{}).(time.Duration); ok {
		return limit
	}
	return callTimeout
}

// The statements of a part of a transaction. Parts within parts have the same
// name: each statement means the innermost one.
const (
	beginPart = `SAVEPOINT part`
	undoPart  = `ROLLBACK TO SAVEPOINT part`
	endPart   = `RELEASE SAVEPOINT part`
)

// txPort is a transaction that what was made for a database can be done in. What
// would be a transaction there is a part of it here.
type txPort struct{ q querier }

func (p txPort) exec(ctx context.Context, sql string, args ...any) (int64, error) {
	n, err := p.q.exec(ctx, sql, args...)
	return n, sentinel(err)
}

func (p txPort) query(ctx context.Context, scan func(row) error, sql string, args ...any) error {
	return sentinel(p.q.query(ctx, scan, sql, args...))
}

func (p txPort) inTx(ctx context.Context, f func(querier) error) error {
	if _, err := p.exec(ctx, beginPart); err != nil {
		return err
	}
	err := sentinel(f(p.q))
	if err != nil {
		if _, undo := p.exec(ctx, undoPart); undo != nil {
			return errors.Join(undo, err) // and with it the whole
		}
	}
	if _, end := p.exec(ctx, endPart); end != nil {
		return errors.Join(end, err)
	}
	return err
}

func (p txPort) batch(ctx context.Context, statements []statement) ([]int64, error) {
	changed := make([]int64, len(statements))
	err := p.inTx(ctx, func(q querier) error {
		for i, s := range statements {
			var err error
			if changed[i], err = q.exec(ctx, s.sql, s.args...); err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}

func (p txPort) ping(ctx context.Context) error {
	var answer int64
	return one(ctx, p, []any{&answer}, "SELECT 1")
}

func (p txPort) pools() []PoolUse { return nil }

func (p txPort) close() {}
