package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"idp/internal/idp"
)

const (
	leaseName = "audit"
	leaseTTL  = 35 * time.Second // with sealEvery, another node takes over within a minute
	sealEvery = 20 * time.Second
	// lagTolerance is how long rows may go without a seal before the log says so.
	lagTolerance = 5 * time.Minute
	tellEvery    = time.Hour

	// Identifiers of events are ordered by time, but rows are committed later
	// than they are named, by clocks that differ. overlap covers both. Rows that
	// waited for a database that was away come later still: now and then the
	// sealer looks back as far as lateOverlap.
	overlap     = 2 * time.Minute
	lateOverlap = time.Hour
	lateEvery   = 15 * time.Minute

	sealSize = 1000             // leaves in one seal, at most
	sealSpan = 10 * time.Minute // between the first and the last of one seal, at most
	idPage   = 5000             // identifiers read at once
	rowPage  = 1000             // rows read at once
)

// SealStore is what a Sealer reads and writes. Implemented by *store.Store.
type SealStore interface {
	unsealedStore
	LastSeal(ctx context.Context) (idp.Seal, error)
	AppendSeal(ctx context.Context, seal idp.Seal) error
}

// Lease is won by one node at a time. Implemented by *store.Store.
type Lease interface {
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
}

// SealerConfig is what a Sealer needs.
type SealerConfig struct {
	Store  SealStore
	Lease  Lease
	Key    ed25519.PrivateKey // signs the checkpoints
	Issuer string             // names a log that begins
	Now    func() time.Time
	Logger *slog.Logger
	Done   func(error) // is told how each round ended; nil for nobody
}

// Sealer adds what was committed to the audit's log.
type Sealer struct {
	store  SealStore
	lease  Lease
	key    ed25519.PrivateKey
	issuer string
	now    func() time.Time
	logger *slog.Logger
	done   func(error)
	holder string

	seen      int64     // the largest size of the log so far
	lookedAt  time.Time // when rows that came late were last looked for
	told      time.Time // when the log was last told a checkpoint
	good      time.Time // when nothing was left to do
	complains bool      // the log knows that rows are not sealed
}

// NewSealer returns a Sealer. Run starts it.
func NewSealer(cfg SealerConfig) *Sealer {
	return &Sealer{
		store: cfg.Store, lease: cfg.Lease, key: cfg.Key, issuer: cfg.Issuer, now: cfg.Now, logger: cfg.Logger, done: cfg.Done,
		holder: rand.Text(), good: cfg.Now(),
	}
}

// Run seals every few seconds, on one node at a time, until ctx ends.
func (s *Sealer) Run(ctx context.Context) {
	ticker := time.NewTicker(sealEvery)
	defer ticker.Stop()
	for {
		err := s.round(ctx)
		s.complain(ctx, err)
		if s.done != nil {
			s.done(err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Sealer) round(ctx context.Context) error {
	mine, err := s.lease.AcquireLease(ctx, leaseName, s.holder, leaseTTL)
	if err != nil {
		return err
	}
	if !mine {
		s.lookedAt = time.Time{} // whoever takes over looks at what the other one may have left
		return nil
	}
	now, back := s.now(), overlap
	if now.Sub(s.lookedAt) >= lateEvery {
		back = lateOverlap
	}
	if _, err := s.seal(ctx, back, s.renewing(now)); err != nil {
		return err
	}
	if back == lateOverlap {
		s.lookedAt = now
	}
	return nil
}

// renewing returns what keeps the lease while there is much to do.
func (s *Sealer) renewing(leased time.Time) func(context.Context) error {
	return func(ctx context.Context) error {
		now := s.now()
		if now.Sub(leased) < leaseTTL/3 {
			return nil
		}
		mine, err := s.lease.AcquireLease(ctx, leaseName, s.holder, leaseTTL)
		if err == nil && !mine {
			err = idp.ErrConflict
		}
		leased = now
		return err
	}
}

// complain says in the log, once, that rows are not sealed: at once when
// sealing is refused, and when the database is away, after a while.
func (s *Sealer) complain(ctx context.Context, err error) {
	switch now := s.now(); {
	case ctx.Err() != nil:
	case err == nil:
		if s.complains {
			s.logger.Info("audit rows are sealed again")
		}
		s.good, s.complains = now, false
	case !s.complains && (!errors.Is(err, idp.ErrUnavailable) || now.Sub(s.good) > lagTolerance):
		s.logger.Error("audit rows are not sealed", "since", s.good, "cause", err)
		s.complains = true
	}
}

// Seal adds the rows to the log that have no leaf yet, and returns how many. It
// looks at those that are younger than the last seal, and back beyond it for
// what was committed later than it was named. When another sealer is faster, it
// leaves the rest to that one. It refuses to follow a log that is not its own.
func (s *Sealer) Seal(ctx context.Context, back time.Duration) (int, error) {
	return s.seal(ctx, back, func(context.Context) error { return nil })
}

// seal is Seal, asking before each page of rows whether to go on. ErrConflict
// means that another sealer does.
func (s *Sealer) seal(ctx context.Context, back time.Duration, goOn func(context.Context) error) (int, error) {
	at := idp.Instant(s.now())
	log, after, err := s.open(ctx, at, back)
	if err != nil {
		return 0, err
	}
	sealed := 0
	err = eachUnsealed(ctx, s.store, after, func(page idPageResult) error {
		if err := goOn(ctx); err != nil {
			return err
		}
		rows, err := unsealedRows(ctx, s.store, page.unsealed)
		if err != nil {
			return err
		}
		for len(rows) > 0 {
			n := 1
			for n < min(len(rows), sealSize) && rows[n].ID.Time().Sub(rows[0].ID.Time()) <= sealSpan {
				n++
			}
			if err := log.append(ctx, s.store, rows[:n], at); err != nil {
				return err
			}
			s.seen = log.tree.size
			sealed += n
			rows = rows[n:]
		}
		return nil
	})
	if errors.Is(err, idp.ErrConflict) {
		err = nil
	}
	if sealed > 0 && at.Sub(s.told) >= tellEvery {
		// Wherever the log goes, a checkpoint is kept.
		s.logger.Info("audit sealed", "origin", log.signer.Name(), "leaves", log.tree.size, "root", log.tree.root().String())
		s.told = at
	}
	return sealed, err
}

// sealedLog is a log that can be added to.
type sealedLog struct {
	signer signer
	tree   *tree
}

// open returns the log as it is now, and the event after which rows may lack a
// leaf.
func (s *Sealer) open(ctx context.Context, at time.Time, back time.Duration) (log sealedLog, after idp.ID, err error) {
	last, err := s.store.LastSeal(ctx)
	empty := errors.Is(err, idp.ErrNotFound)
	if err != nil && !empty {
		return log, after, err
	}
	origin := Origin(s.issuer)
	log.tree = &tree{}
	if !empty {
		origin = LogOrigin(last)
	}
	if log.signer, err = newSigner(origin, s.key); err != nil {
		return log, after, fmt.Errorf("audit log %q: %w", origin, err)
	}
	if !empty {
		c, err := Verifier{log.signer.Verifier}.Open(last.Checkpoint)
		if err != nil {
			return log, after, fmt.Errorf("the last checkpoint of the audit log is forged, idp audit verify tells more: %w", err)
		}
		log.tree, err = treeOf(c.Size, last.Peaks)
		if err != nil || c.Size != last.First+int64(len(last.Leaves)) || log.tree.root() != c.Root {
			return log, after, fmt.Errorf("%w: the audit log does not end as its last checkpoint says, idp audit verify tells more", idp.ErrMalformed)
		}
		from := through(last.SealedAt, last.Leaves)
		if at.Before(from) {
			from = at
		}
		after = idp.FirstID(from.Add(-back))
	}
	if log.tree.size < s.seen {
		return log, after, fmt.Errorf("%w: the audit log had %d leaves, and now ends after %d", idp.ErrMalformed, s.seen, log.tree.size)
	}
	s.seen = log.tree.size
	return log, after, nil
}

// through returns until when rows have a leaf that were committed in time, after
// leaves that were added at an instant: whoever added them may not have come to
// the end.
func through(at time.Time, leaves []idp.Leaf) time.Time {
	last := leaves[len(leaves)-1].EventID.Time()
	if at.Before(last) {
		return at
	}
	return last
}

// append seals rows. That nobody else did is decided by the database.
func (l sealedLog) append(ctx context.Context, store SealStore, rows []idp.AuditRow, at time.Time) error {
	seal := idp.Seal{First: l.tree.size, SealedAt: at}
	for _, r := range rows {
		added := leaf(r.Event)
		seal.Leaves = append(seal.Leaves, added)
		l.tree.add(added.Hash)
	}
	var err error
	seal.Peaks = l.tree.edge()
	if seal.Checkpoint, err = l.signer.checkpoint(l.tree); err != nil {
		return err
	}
	return store.AppendSeal(ctx, seal)
}

// unsealedStore is what rows without a leaf are found in. Implemented by
// *store.Store.
type unsealedStore interface {
	EventIDs(ctx context.Context, after idp.ID, limit int) ([]idp.ID, error)
	SealedEvents(ctx context.Context, from, through idp.ID, span time.Duration) (map[idp.ID]int, error)
	AuditRows(ctx context.Context, from, through idp.ID, after *idp.AuditRow, limit int) ([]idp.AuditRow, error)
}

// idPageResult is one look at consecutive rows.
type idPageResult struct {
	last     idp.ID   // of the rows
	unsealed []idp.ID // that have no leaf
	twice    []idp.ID // that have several
}

// eachUnsealed goes through the rows after one of them, page by page.
func eachUnsealed(ctx context.Context, store unsealedStore, after idp.ID, use func(idPageResult) error) error {
	for {
		ids, err := store.EventIDs(ctx, after, idPage)
		if err != nil || len(ids) == 0 {
			return err
		}
		after = ids[len(ids)-1]
		sealed, err := store.SealedEvents(ctx, ids[0], after, sealSpan)
		if err != nil {
			return err
		}
		page := idPageResult{last: after}
		for _, id := range ids {
			switch sealed[id] {
			case 0:
				page.unsealed = append(page.unsealed, id)
			case 1:
			default:
				page.twice = append(page.twice, id)
			}
		}
		if err := use(page); err != nil {
			return err
		}
	}
}

// unsealedRows reads the rows with some identifiers, which are in order. Those
// that this program cannot have written are left out: verify will name them.
func unsealedRows(ctx context.Context, store unsealedStore, ids []idp.ID) ([]idp.AuditRow, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	var out []idp.AuditRow
	next := 0
	err := eachRow(ctx, store, ids[0], ids[len(ids)-1], func(r idp.AuditRow) {
		for next < len(ids) && before(ids[next], r.ID) {
			next++ // was let go meanwhile, or has two rows
		}
		if next < len(ids) && ids[next] == r.ID {
			next++
			if genuine(r) {
				out = append(out, r)
			}
		}
	})
	return out, err
}
