package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"idp/internal/audit"
	"idp/internal/idp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)

func clock() time.Time { return start }

// log is a database that keeps batches in memory. When gate is not nil, every
// write waits for it; answer says what becomes of a batch.
type log struct {
	gate   chan struct{}
	answer func(batch []idp.Event) error

	mu      sync.Mutex
	batches [][]idp.Event
	calls   int
}

func (l *log) AppendEvents(ctx context.Context, events []idp.Event) error {
	if l.gate != nil {
		select {
		case <-l.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if l.answer != nil {
		if err := l.answer(events); err != nil {
			return err
		}
	}
	l.batches = append(l.batches, events)
	return nil
}

func (l *log) written() []idp.Event {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []idp.Event
	for _, b := range l.batches {
		all = append(all, b...)
	}
	return all
}

func open(t *testing.T, l *log, strict bool) (*audit.Recorder, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	r := audit.New(audit.Config{Store: l, Logger: slog.New(slog.NewJSONHandler(out, nil)), Now: clock, Strict: strict})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		_ = r.Close(ctx)
	})
	return r, out
}

func issued(id string) idp.Event {
	return idp.Event{Kind: idp.EventTokenIssued, ClientID: id, Detail: map[string]string{"grant_type": "client_credentials"}}
}

// Strict: no caller goes on before the row is committed.
func TestStrictRecordWaitsForTheCommit(t *testing.T) {
	l := &log{gate: make(chan struct{})}
	r, _ := open(t, l, true)
	answered := make(chan error, 1)
	go func() { answered <- r.Record(t.Context(), issued("a")) }()
	select {
	case err := <-answered:
		t.Fatalf("answered before the commit: %v", err)
	case <-time.After(50 * time.Millisecond):
	}
	close(l.gate)
	require.NoError(t, <-answered)
	require.Len(t, l.written(), 1)
}

// Many requests share one commit: those that come while one batch commits form
// the next.
func TestRequestsDuringACommitShareTheNextOne(t *testing.T) {
	l := &log{gate: make(chan struct{})}
	r, _ := open(t, l, true)
	const callers = 700
	var wg sync.WaitGroup
	failed := make(chan error, callers)
	for i := range callers {
		wg.Go(func() {
			if err := r.Record(t.Context(), issued(fmt.Sprint(i))); err != nil {
				failed <- err
			}
		})
	}
	// The first batch holds the goroutine; wait until the others have queued.
	time.Sleep(200 * time.Millisecond)
	close(l.gate)
	wg.Wait()
	require.Empty(t, failed)
	seen := map[string]bool{}
	for _, e := range l.written() {
		require.False(t, seen[e.ClientID], "written twice")
		seen[e.ClientID] = true
	}
	require.Len(t, seen, callers)
	require.Less(t, len(l.batches), 10)
	for _, b := range l.batches {
		require.LessOrEqual(t, len(b), 512)
	}
}

// Strict: when the row cannot be written the caller hears it, as a dependency
// that is away.
func TestStrictRecordFailsWithTheDatabase(t *testing.T) {
	l := &log{answer: func([]idp.Event) error { return fmt.Errorf("connection lost: %w", idp.ErrUnavailable) }}
	r, _ := open(t, l, true)
	require.ErrorIs(t, r.Record(t.Context(), issued("a")), idp.ErrUnavailable)
	require.Empty(t, l.written())
}

// A caller that gives up is not kept, and is told that the outcome is open.
func TestStrictRecordRespectsCancellation(t *testing.T) {
	l := &log{gate: make(chan struct{})}
	r, _ := open(t, l, true)
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan error, 1)
	go func() { answered <- r.Record(ctx, issued("a")) }()
	time.Sleep(20 * time.Millisecond)
	cancel()
	err := <-answered
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.ErrorIs(t, err, context.Canceled)
	close(l.gate)
}

// One row that the database refuses does not take the others with it.
func TestRefusedRowFailsAlone(t *testing.T) {
	refused := errors.New("value out of range")
	l := &log{gate: make(chan struct{}, 100), answer: func(batch []idp.Event) error {
		for _, e := range batch {
			if e.ClientID == "bad" {
				return refused
			}
		}
		return nil
	}}
	r, _ := open(t, l, true)
	results := map[string]chan error{}
	for _, id := range []string{"first", "bad", "good"} {
		ch := make(chan error, 1)
		results[id] = ch
		go func() { ch <- r.Record(t.Context(), issued(id)) }()
		time.Sleep(30 * time.Millisecond) // "first" holds the goroutine
	}
	for range 10 {
		l.gate <- struct{}{}
	}
	require.NoError(t, <-results["first"])
	require.ErrorIs(t, <-results["bad"], refused)
	require.NoError(t, <-results["good"])
}

// A batch whose answer got lost is tried again; rows that are there already
// count as written.
func TestRetriedRowThatExistsIsWritten(t *testing.T) {
	l := &log{}
	l.answer = func(batch []idp.Event) error {
		switch l.calls {
		case 1:
			l.batches = append(l.batches, batch)
			return idp.ErrUnavailable // committed, answer lost
		default:
			return idp.ErrConflict
		}
	}
	r, out := open(t, l, false)
	require.NoError(t, r.Record(t.Context(), issued("a")))
	require.NoError(t, r.Close(t.Context()))
	require.Len(t, l.written(), 1)
	require.NotContains(t, out.String(), "refused by the database")
}

// Relaxed: the caller does not wait, and no row is lost while the database is
// away.
func TestRelaxedRecordSurvivesAnOutage(t *testing.T) {
	l := &log{}
	l.answer = func([]idp.Event) error {
		if l.calls < 4 {
			return idp.ErrUnavailable
		}
		return nil
	}
	r, _ := open(t, l, false)
	for i := range 600 {
		require.NoError(t, r.Record(t.Context(), issued(fmt.Sprint(i))))
	}
	require.NoError(t, r.Close(t.Context()))
	require.Len(t, l.written(), 600)
}

// Relaxed: a full queue makes callers wait; nothing is dropped.
func TestRelaxedRecordBlocksWhenTheQueueIsFull(t *testing.T) {
	l := &log{gate: make(chan struct{})}
	r, _ := open(t, l, false)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	accepted := 0
	var err error
	for range 10_000 {
		if err = r.Record(ctx, issued("a")); err != nil {
			break
		}
		accepted++
	}
	require.ErrorIs(t, err, idp.ErrUnavailable)
	close(l.gate)
	require.NoError(t, r.Close(t.Context()))
	require.Len(t, l.written(), accepted)
	require.Zero(t, r.Dropped())
}

// Note never waits; what it drops is counted and told.
func TestNoteDropsAndTellsWhenTheQueueIsFull(t *testing.T) {
	l := &log{gate: make(chan struct{})}
	r, out := open(t, l, true)
	const notes = 10_000
	for range notes {
		r.Note(t.Context(), issued("a"))
	}
	require.Positive(t, r.Dropped())
	close(l.gate)
	require.NoError(t, r.Close(t.Context()))
	require.Equal(t, notes, len(l.written())+int(r.Dropped()))
	told := 0
	for line := range strings.Lines(out.String()) {
		var record struct {
			Dropped int `json:"dropped"`
		}
		require.NoError(t, json.Unmarshal([]byte(line), &record))
		told += record.Dropped
	}
	require.Equal(t, int(r.Dropped()), told)
}

// Notes that wait for a database that is away do not hold up strict callers
// once it is back, and are written then.
func TestNotesAreRetriedBesideStrictRows(t *testing.T) {
	l := &log{}
	l.answer = func([]idp.Event) error {
		if l.calls <= 2 {
			return idp.ErrUnavailable
		}
		return nil
	}
	r, _ := open(t, l, true)
	for range 600 {
		r.Note(t.Context(), idp.Event{Kind: idp.EventLoginFailed})
	}
	require.Eventually(t, func() bool { return r.Record(t.Context(), issued("a")) == nil }, 5*time.Second, time.Millisecond)
	require.NoError(t, r.Close(t.Context()))
	require.Len(t, l.written(), 601)
}

// The event tells of the request it came from, with what it was at that time.
func TestEventCarriesItsRequest(t *testing.T) {
	l := &log{}
	r, _ := open(t, l, false)
	ctx := idp.WithRequest(t.Context(), &idp.Request{ID: "req-1", RemoteAddr: "192.0.2.7"})
	e := issued("a")
	require.NoError(t, r.Record(ctx, e))
	e.Detail["grant_type"] = "changed afterwards"
	require.NoError(t, r.Close(t.Context()))
	got := l.written()[0]
	require.Equal(t, "req-1", got.RequestID)
	require.Equal(t, "192.0.2.7", got.RemoteAddr)
	require.Equal(t, "client_credentials", got.Detail["grant_type"])
	require.Equal(t, idp.Instant(start), got.At)
	require.Equal(t, byte(7), got.ID[6]>>4, "a version 7 identifier")
}

// Text from outside can neither spoil a batch nor forge a line.
func TestTextIsMadeSafe(t *testing.T) {
	l := &log{}
	r, _ := open(t, l, true)
	e := issued("a\x00b\xff")
	e.Detail = map[string]string{"error": "x\r\naudit=true\x1b[2J", "scope": strings.Repeat("é", 5000)}
	require.NoError(t, r.Record(t.Context(), e))
	got := l.written()[0]
	require.Equal(t, "a\uFFFDb\uFFFD", got.ClientID)
	require.Equal(t, "x\uFFFD\uFFFDaudit=true\uFFFD[2J", got.Detail["error"])
	require.LessOrEqual(t, len(got.Detail["scope"]), 4096)
}

// Close writes what was accepted and accepts no more.
func TestCloseDrains(t *testing.T) {
	l := &log{}
	r, _ := open(t, l, false)
	for range 2000 {
		require.NoError(t, r.Record(t.Context(), issued("a")))
	}
	require.NoError(t, r.Close(t.Context()))
	require.NoError(t, r.Close(t.Context()))
	require.Len(t, l.written(), 2000)
	require.ErrorIs(t, r.Record(t.Context(), issued("late")), idp.ErrUnavailable)
	r.Note(t.Context(), issued("late"))
	require.Len(t, l.written(), 2000)
}

// Close does not wait longer than it may, and says what was lost. Callers in
// strict mode are answered.
func TestCloseGivesUpWithItsContext(t *testing.T) {
	l := &log{gate: make(chan struct{})}
	r, _ := open(t, l, true)
	answered := make(chan error, 1)
	go func() { answered <- r.Record(t.Context(), issued("a")) }()
	for range 5 {
		r.Note(t.Context(), issued("b"))
	}
	time.Sleep(20 * time.Millisecond)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, r.Close(ctx), idp.ErrUnavailable)
	require.ErrorIs(t, <-answered, idp.ErrUnavailable)
}

// Closing while others record: everybody gets an answer, and what was accepted
// is written.
func TestCloseWhileOthersRecord(t *testing.T) {
	for _, strict := range []bool{true, false} {
		l := &log{}
		r, _ := open(t, l, strict)
		var accepted sync.Map
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				for j := range 50 {
					id := fmt.Sprint(i, "-", j)
					if r.Record(t.Context(), issued(id)) == nil {
						accepted.Store(id, true)
					}
				}
			})
		}
		require.NoError(t, r.Close(t.Context()))
		wg.Wait()
		written := map[string]bool{}
		for _, e := range l.written() {
			written[e.ClientID] = true
		}
		accepted.Range(func(id, _ any) bool {
			require.True(t, written[id.(string)], "accepted but not written: %v", id)
			return true
		})
	}
}

// The mirror's record has stable names and marks itself.
func TestMirrorWritesOneRecord(t *testing.T) {
	var out bytes.Buffer
	audit.Mirror(slog.New(slog.NewJSONHandler(&out, nil)))(idp.Event{
		ID: idp.TimeOrderedID(start, idp.ID{}), At: start, Kind: idp.EventRefreshReplayed, ClientID: "web", UserID: "u1",
		RequestID: "r1", RemoteAddr: "192.0.2.7", GrantID: "g1", SessionID: "s1", Detail: map[string]string{"reason": "old\ngeneration"},
	})
	require.Equal(t, 1, strings.Count(out.String(), "\n"))
	var got map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	delete(got, "time")
	require.Equal(t, map[string]any{
		"level": "WARN", "msg": "audit", "audit": true, "event": "refresh.replayed",
		"event_id": "019ca945-0a7b-7000-8000-000000000000", "at": "2026-03-01T12:00:00.123456789Z",
		"client_id": "web", "user_id": "u1", "session_id": "s1", "grant_id": "g1", "request_id": "r1",
		"remote_addr": "192.0.2.7", "detail": map[string]any{"reason": "old\ngeneration"},
	}, got)
}
