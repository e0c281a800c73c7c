package audit

// The goroutine behind a Recorder: it forms batches and commits them.

import (
	"context"
	"errors"
	"fmt"
	"time"

	"idp/internal/idp"
)

// writer is what only the goroutine knows.
type writer struct {
	*Recorder
	ctx     context.Context
	awaited []entry       // taken, somebody waits
	pending []entry       // taken, nobody waits; kept until written
	retry   time.Duration // how long to wait before pending is tried again; 0 after success
}

func (r *Recorder) run(ctx context.Context) {
	defer close(r.done)
	w := &writer{Recorder: r, ctx: ctx}
	for w.wait() {
		w.gather()
		w.write()
		if r.unreported.Load() > 0 {
			r.reportDropped(false)
		}
	}
	w.finish()
}

// wait returns true as soon as there is something to write, and false when the
// queues will not grow any more or nothing may be written any more.
func (w *writer) wait() bool {
	later := w.Recorder.later
	var again <-chan time.Time
	if len(w.pending) > 0 {
		// The database is away: what nobody waits for is tried at intervals.
		later = nil
		timer := time.NewTimer(w.retry)
		defer timer.Stop()
		again = timer.C
	}
	select {
	case e := <-w.Recorder.awaited:
		w.awaited = append(w.awaited, e)
	case e := <-later:
		w.pending = append(w.pending, e)
	case <-again:
	case <-w.drain:
		return false
	case <-w.ctx.Done():
		return false
	}
	return true
}

// gather takes what has queued meanwhile, up to one batch. Rows kept for a
// retry always find some room in it.
func (w *writer) gather() {
	room := batchSize - min(len(w.pending), batchSize/8)
	for len(w.awaited) < room {
		select {
		case e := <-w.Recorder.awaited:
			w.awaited = append(w.awaited, e)
			continue
		default:
		}
		break
	}
	for len(w.awaited)+len(w.pending) < batchSize {
		select {
		case e := <-w.Recorder.later:
			w.pending = append(w.pending, e)
			continue
		default:
		}
		break
	}
}

// write commits one batch: first what is awaited, then as much of the rest as
// fits. Awaited entries are answered whatever happens; the others are kept
// when the database is away.
func (w *writer) write() {
	batch := make([]entry, 0, batchSize)
	for _, e := range w.awaited {
		if e.ctx.Err() == nil { // nobody is left who would act on the others
			batch = append(batch, e)
		}
	}
	clear(w.awaited)
	w.awaited = w.awaited[:0]
	kept := min(len(w.pending), batchSize-len(batch))
	batch = append(batch, w.pending[:kept]...)
	w.pending = append([]entry(nil), w.pending[kept:]...)
	if len(batch) == 0 {
		return
	}

	err := w.commit(batch)
	if err != nil && !errors.Is(err, idp.ErrUnavailable) {
		w.retry = 0
		w.commitEach(batch)
		return
	}
	var unwritten []entry
	for _, e := range batch {
		switch {
		case e.result != nil:
			e.result <- err
		case err != nil:
			unwritten = append(unwritten, e)
		}
	}
	w.pending = append(unwritten, w.pending...)
	if err == nil {
		w.retry = 0
		return
	}
	w.retry = min(max(2*w.retry, firstRetry), lastRetry)
	w.logger.Warn("audit rows cannot be written", "waiting", len(w.pending), "error", err)
}

// commitEach writes a batch that the database refused row by row, so that only
// the row at fault fails. A row that is there already was committed by an
// attempt whose answer got lost.
func (w *writer) commitEach(batch []entry) {
	for _, e := range batch {
		err := w.commit([]entry{e})
		if errors.Is(err, idp.ErrConflict) {
			err = nil
		}
		switch {
		case e.result != nil:
			e.result <- err
		case errors.Is(err, idp.ErrUnavailable):
			w.pending = append(w.pending, e)
			w.retry = firstRetry
		case err != nil:
			w.logger.Error("audit row refused by the database", "event", e.event.Kind, "event_id", e.event.ID.UUID(), "error", err)
			w.lost.Add(1)
		}
	}
}

func (w *writer) commit(batch []entry) error {
	ctx, cancel := context.WithTimeout(w.ctx, writeTimeout)
	defer cancel()
	events := make([]idp.Event, len(batch))
	for i, e := range batch {
		events[i] = e.event
	}
	err := w.store.AppendEvents(ctx, events)
	if err != nil && ctx.Err() != nil {
		return unavailable(err)
	}
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// finish writes what is queued; the queues do not grow any more. It keeps
// trying until Close gives up.
func (w *writer) finish() {
	for w.ctx.Err() == nil {
		w.gather()
		if len(w.awaited)+len(w.pending) == 0 {
			return
		}
		w.write()
		if w.retry > 0 && len(w.pending) > 0 {
			timer := time.NewTimer(w.retry)
			select {
			case <-timer.C:
			case <-w.ctx.Done():
			}
			timer.Stop()
		}
	}
	for {
		w.gather()
		if len(w.awaited)+len(w.pending) == 0 {
			return
		}
		for _, e := range w.awaited {
			e.result <- errClosed()
		}
		w.awaited = w.awaited[:0]
		w.lost.Add(int64(len(w.pending)))
		w.pending = nil
	}
}
