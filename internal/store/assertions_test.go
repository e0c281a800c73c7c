package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// One of many that present the same assertion wins, and what others call the
// same is another one.
func TestAssertionsAreUsedOnce(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(t *testing.T) *store.Store) {
		s := open(t)
		a := idp.ClientAssertion{ClientID: "web", ID: "1", ExpiresAt: time.Now().Add(time.Minute)}
		requireOneWinner(t, parallel(20, func(int) error { return s.UseAssertion(t.Context(), a) }), idp.ErrAlreadyUsed)
		for _, other := range []idp.ClientAssertion{{ClientID: "web", ID: "2"}, {ClientID: "app", ID: "1"}, {ClientID: "we", ID: "b1"}} {
			other.ExpiresAt = a.ExpiresAt
			require.NoError(t, s.UseAssertion(t.Context(), other))
		}
		require.ErrorIs(t, s.UseAssertion(t.Context(), a), idp.ErrAlreadyUsed)
	})
}
