package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
)

// tracer remembers what it was told, each with what it lies in.
type tracer struct {
	mu   sync.Mutex
	told []string
}

type withinKey struct{}

func (r *tracer) Query(ctx context.Context, system, summary, text string) (context.Context, func(error)) {
	if within, ok := ctx.Value(withinKey{}).(string); ok {
		summary = within + " > " + summary
	}
	return context.WithValue(ctx, withinKey{}, summary), func(err error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if err != nil {
			summary += " failed"
		}
		r.told = append(r.told, system+": "+summary)
	}
}

// What is followed: statements by what they do and where, and those of a
// transaction as parts of it.
func TestTracer(t *testing.T) {
	t.Parallel()
	followed := &tracer{}
	s, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + t.TempDir() + "/idp.db", Now: time.Now, Tracer: followed})
	require.NoError(t, err)
	defer s.Close()
	_, err = s.Migrate(t.Context())
	require.NoError(t, err)
	followed.told = nil

	now := idp.Instant(time.Now())
	require.NoError(t, s.CreateGroup(t.Context(), idp.Group{Name: "sales"}, idp.Event{ID: idp.TimeOrderedID(now, idp.ID{1}), At: now, Kind: idp.EventGroupChanged}))
	_, err = s.Setting(t.Context(), "none")
	require.ErrorIs(t, err, idp.ErrNotFound)
	_, err = s.AcquireLease(t.Context(), "keys", "me", time.Minute)
	require.NoError(t, err)
	require.NoError(t, s.InsertSetting(t.Context(), "name", []byte("value")))
	require.ErrorIs(t, s.InsertSetting(t.Context(), "name", []byte("value")), idp.ErrConflict)
	require.Equal(t, []string{
		"sqlite: BATCH INSERT groups, INSERT audit_events", "sqlite: SELECT settings", "sqlite: INSERT leases",
		"sqlite: TRANSACTION > UPDATE revisions", "sqlite: TRANSACTION > INSERT settings", "sqlite: TRANSACTION",
		"sqlite: TRANSACTION > UPDATE revisions", "sqlite: TRANSACTION > INSERT settings failed", "sqlite: TRANSACTION failed",
	}, followed.told)
}
