package audit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"idp/internal/idp"
)

const (
	batchSize    = 512             // rows in one commit, at most
	queueSize    = 4096            // events waiting, at most
	writeTimeout = 5 * time.Second // for one batch
	firstRetry   = 50 * time.Millisecond
	lastRetry    = time.Second
	maxText      = 4096 // bytes of one field; longer is cut
)

// Appender commits audit rows, all or none, in one round trip. Rows that are
// there already (by their ID) must not become errors of others. Implemented by
// *store.Store.
type Appender interface {
	AppendEvents(ctx context.Context, events []idp.Event) error
}

// Config is what a Recorder needs.
type Config struct {
	Store  Appender
	Logger *slog.Logger
	Now    func() time.Time
	// Strict makes Record wait for the commit of its row.
	Strict bool
}

// Recorder writes events in groups from one goroutine.
type Recorder struct {
	store  Appender
	logger *slog.Logger
	now    func() time.Time
	strict bool

	awaited chan entry // of strict Record
	later   chan entry // of Note and relaxed Record

	entering sync.RWMutex  // held for reading while an event is being queued
	closing  chan struct{} // closed first: nobody enters any more
	drain    chan struct{} // closed second: the queues will not grow
	done     chan struct{} // closed last: the goroutine has ended
	once     sync.Once
	cancel   context.CancelFunc

	dropped    atomic.Int64 // notes dropped since the start
	unreported atomic.Int64 // of these, not in the log yet
	reportedAt atomic.Int64 // Unix nanoseconds
	lost       atomic.Int64 // accepted events that could not be written before Close gave up
}

// entry is one event on its way, and who waits for it.
type entry struct {
	ctx    context.Context // of the waiter; nil when nobody waits
	event  idp.Event
	result chan<- error // nil when nobody waits
}

// New starts a Recorder. Close ends it.
func New(cfg Config) *Recorder {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Recorder{
		store:   cfg.Store,
		logger:  cfg.Logger,
		now:     cfg.Now,
		strict:  cfg.Strict,
		awaited: make(chan entry, queueSize),
		later:   make(chan entry, queueSize),
		closing: make(chan struct{}),
		drain:   make(chan struct{}),
		done:    make(chan struct{}),
		cancel:  cancel,
	}
	go r.run(ctx)
	return r
}

// Record writes the event. In strict mode it returns once the row is
// committed, or with an error: then the caller must not hand out what the
// event tells of. In relaxed mode it returns once the event is queued, waiting
// while the queue is full. Missing ID, At, RequestID and RemoteAddr are filled
// in from the clock and from ctx. Errors wrap idp.ErrUnavailable, or the
// store's when it refuses the row.
func (r *Recorder) Record(ctx context.Context, event idp.Event) error {
	if !r.strict {
		return r.enter(ctx, r.later, entry{event: r.prepare(ctx, event)})
	}
	result := make(chan error, 1)
	if err := r.enter(ctx, r.awaited, entry{ctx: ctx, event: r.prepare(ctx, event), result: result}); err != nil {
		return err
	}
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	case <-r.done:
	}
	// The goroutine answers everything that it took before it ends.
	select {
	case err := <-result:
		return err
	default:
		return errClosed()
	}
}

// Note queues the event and never waits. When the queue is full the event is
// dropped and counted; the log says how many, once per second.
func (r *Recorder) Note(ctx context.Context, event idp.Event) {
	e := entry{event: r.prepare(ctx, event)}
	r.entering.RLock()
	defer r.entering.RUnlock()
	select {
	case <-r.closing:
	default:
		select {
		case r.later <- e:
			return
		default:
		}
	}
	r.dropped.Add(1)
	r.unreported.Add(1)
	r.reportDropped(false)
}

// Dropped returns how many notes were dropped since the start.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Close refuses new events, writes those that are queued and returns. When ctx
// ends first, it gives up and says how many rows were not written.
func (r *Recorder) Close(ctx context.Context) error {
	r.once.Do(func() {
		close(r.closing)
		r.entering.Lock() // whoever is entering has entered or left
		close(r.drain)
		r.entering.Unlock()
	})
	select {
	case <-r.done:
	case <-ctx.Done():
		r.cancel()
		<-r.done
	}
	r.cancel()
	r.reportDropped(true)
	if lost := r.lost.Load(); lost > 0 {
		return fmt.Errorf("audit: %d events were not written: %w", lost, idp.ErrUnavailable)
	}
	return nil
}

func (r *Recorder) enter(ctx context.Context, queue chan<- entry, e entry) error {
	r.entering.RLock()
	defer r.entering.RUnlock()
	select {
	case <-r.closing:
		return errClosed()
	default:
	}
	select {
	case queue <- e:
		return nil
	case <-r.closing:
		return errClosed()
	case <-ctx.Done():
		return unavailable(context.Cause(ctx))
	}
}

// prepare fills in what the event lacks, while ctx is at hand.
func (r *Recorder) prepare(ctx context.Context, e idp.Event) idp.Event {
	if e.At.IsZero() {
		e.At = r.now()
	}
	e.At = idp.Instant(e.At)
	if e.ID.IsZero() {
		var random idp.ID
		_, _ = rand.Read(random[:]) // never fails: crypto/rand
		e.ID = idp.TimeOrderedID(e.At, random)
	}
	request := idp.RequestFrom(ctx)
	if e.RequestID == "" {
		e.RequestID = request.ID
	}
	if e.RemoteAddr == "" {
		e.RemoteAddr = request.RemoteAddr
	}
	for _, field := range []*string{&e.ClientID, &e.UserID, &e.SessionID, &e.GrantID, &e.RequestID, &e.RemoteAddr} {
		*field = clean(*field)
	}
	if len(e.Detail) > 0 {
		// A copy: the caller may go on with its map while the event waits.
		detail := make(map[string]string, len(e.Detail))
		for name, value := range e.Detail {
			detail[clean(name)] = clean(value)
		}
		e.Detail = detail
	}
	return e
}

// clean makes text safe for both databases and for a log.
func clean(s string) string {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "\uFFFD")
	}
	if utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0 {
		return s
	}
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return unicode.ReplacementChar
		}
		return c
	}, s)
}

func (r *Recorder) reportDropped(now bool) {
	last, at := r.reportedAt.Load(), r.now().UnixNano()
	if !now && at-last < int64(time.Second) {
		return
	}
	if !r.reportedAt.CompareAndSwap(last, at) {
		return
	}
	if n := r.unreported.Swap(0); n > 0 {
		r.logger.Warn("audit notes dropped, the database is slower than they come", "dropped", n)
	}
}

func unavailable(cause error) error {
	if errors.Is(cause, idp.ErrUnavailable) {
		return fmt.Errorf("audit: %w", cause)
	}
	return fmt.Errorf("audit: %w: %w", idp.ErrUnavailable, cause)
}

func errClosed() error { return fmt.Errorf("audit: closed: %w", idp.ErrUnavailable) }
