package audit_test

import (
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/audit"
	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

var _ audit.Appender = (*store.Store)(nil)

// What Record accepted is in the database, once, and was mirrored once.
func TestRecordOverADatabase(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(t *testing.T) string) {
		var mu sync.Mutex
		mirrored := map[idp.ID]int{}
		s := storetest.Migrated(t, store.Config{URL: url(t), Mirror: func(e idp.Event) {
			mu.Lock()
			defer mu.Unlock()
			mirrored[e.ID]++
		}})
		r := audit.New(audit.Config{Store: s, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Strict: true})
		var wg sync.WaitGroup
		failed := make(chan error, 100)
		for i := range 100 {
			wg.Go(func() {
				event := issued(fmt.Sprintf("client\x00%d\xff", i)) // no text spoils a batch
				if err := r.Record(t.Context(), event); err != nil {
					failed <- err
				}
			})
		}
		wg.Wait()
		require.Empty(t, failed)
		rows, err := s.Events(t.Context(), idp.ID{}, 1000)
		require.NoError(t, err)
		require.Len(t, rows, 100, "committed when Record returned")
		r.Note(t.Context(), idp.Event{Kind: idp.EventLoginFailed, Detail: map[string]string{"reason": "unknown_user"}})
		require.NoError(t, r.Close(t.Context()))
		rows, err = s.Events(t.Context(), idp.ID{}, 1000)
		require.NoError(t, err)
		require.Len(t, rows, 101)
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, mirrored, 101)
		for _, n := range mirrored {
			require.Equal(t, 1, n)
		}
	})
}

// A row that is there already is a conflict, which the recorder takes for
// written.
func TestSameRowTwiceIsAConflict(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		s := open(t)
		e := issued("a")
		e.At = time.Now()
		e.ID = idp.TimeOrderedID(e.At, idp.ID{})
		require.NoError(t, s.AppendEvents(t.Context(), []idp.Event{e}))
		require.ErrorIs(t, s.AppendEvents(t.Context(), []idp.Event{e}), idp.ErrConflict)
	})
}
