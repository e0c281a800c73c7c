package decisions

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"idp/internal/idp"
)

const (
	batchSize    = 512  // traces written at once, at most
	refusedQueue = 1024 // traces waiting, at most
	othersQueue  = 4096
	// gather is how long traces wait for others: more than batchSize in that time
	// are dropped sooner or later, so that a flood leaves the database to requests.
	gather       = 200 * time.Millisecond
	writeTimeout = 5 * time.Second
	retryEvery   = time.Second
)

// Appender writes traces, all or none, in one round trip. Implemented by
// *store.Store.
type Appender interface {
	AppendTraces(ctx context.Context, traces []idp.Trace) error
}

// Config is what a Recorder needs. Every field is needed.
type Config struct {
	Store Appender
	// Successes says that requests which ended without an error are kept as well.
	Successes bool
	Logger    *slog.Logger
}

// Recorder writes traces in groups from one goroutine.
type Recorder struct {
	Config
	refused, others chan idp.Trace

	closing chan struct{}
	done    chan struct{}
	once    sync.Once
	ctx     context.Context // ends when Close gives up
	cancel  context.CancelFunc
	dropped atomic.Int64
}

// New starts a Recorder. Close ends it.
func New(cfg Config) *Recorder {
	r := &Recorder{
		Config: cfg, refused: make(chan idp.Trace, refusedQueue), others: make(chan idp.Trace, othersQueue),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	go r.run()
	return r
}

// Answered takes the trace of a request that was answered; one without steps has
// none. It never waits. The record's steps are the Recorder's from then on.
func (r *Recorder) Answered(endpoint string, status int, at time.Time, record *idp.Request) {
	if len(record.Steps) == 0 {
		return
	}
	t := idp.Trace{
		RequestID: record.ID, At: at, Endpoint: endpoint, Status: status, Error: record.Outcome, Issued: record.Issued,
		GrantType: record.GrantType, ClientID: record.ClientID, UserID: record.Subject, Steps: record.Steps,
	}
	queue := r.others
	switch {
	case t.Refused():
		queue = r.refused
	case !r.Successes:
		return
	}
	select {
	case <-r.closing:
	default:
		select {
		case queue <- t:
			return
		default:
		}
	}
	r.dropped.Add(1)
}

// Dropped returns how many traces were dropped since the start.
func (r *Recorder) Dropped() int64 { return r.dropped.Load() }

// Close writes what is queued and returns. When ctx ends first, it gives up.
func (r *Recorder) Close(ctx context.Context) {
	r.once.Do(func() { close(r.closing) })
	select {
	case <-r.done:
	case <-ctx.Done():
		r.cancel()
		<-r.done
	}
	r.cancel()
}

// run is the goroutine that writes: 1 wait for a trace · 2 let others come
// · 3 take them, the refused ones first · 4 write. Once closed, it goes on until
// there are no more.
func (r *Recorder) run() {
	defer close(r.done)
	var batch []idp.Trace
	for {
		batch = batch[:0]
		select {
		case t := <-r.refused:
			batch = append(batch, t)
		case t := <-r.others:
			batch = append(batch, t)
		case <-r.closing:
		}
		open := r.pause(gather)
		if batch = r.fill(batch); len(batch) == 0 && !open {
			return
		}
		r.write(batch)
	}
}

// fill adds what is queued to the batch, as far as it goes.
func (r *Recorder) fill(batch []idp.Trace) []idp.Trace {
	for _, queue := range []chan idp.Trace{r.refused, r.others} {
		for len(batch) < batchSize {
			select {
			case t := <-queue:
				batch = append(batch, t)
				continue
			default:
			}
			break
		}
	}
	return batch
}

// write writes the batch, and waits for a database that is away until the
// Recorder is closed.
func (r *Recorder) write(batch []idp.Trace) {
	if len(batch) == 0 {
		return
	}
	for i := range batch {
		name(&batch[i])
	}
	for {
		ctx, cancel := context.WithTimeout(r.ctx, writeTimeout)
		err := r.Store.AppendTraces(ctx, batch)
		cancel()
		if err == nil {
			return
		}
		if !errors.Is(err, idp.ErrUnavailable) || !r.pause(retryEvery) {
			r.dropped.Add(int64(len(batch)))
			r.Logger.Warn("traces of requests not written", "traces", len(batch), "cause", err)
			return
		}
	}
}

// pause reports whether the time went by without Close being called.
func (r *Recorder) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.closing:
		return false
	}
}

// name fills in whom a request was about that did not prove to be from them.
func name(t *idp.Trace) {
	for _, s := range t.Steps {
		for _, f := range s.Facts {
			switch {
			case f.Name == "client_id" && t.ClientID == "" && s.Rule != idp.RuleClientKnown:
				t.ClientID = f.Value
			case f.Name == "user_id" && t.UserID == "":
				t.UserID = f.Value
			}
		}
	}
}
