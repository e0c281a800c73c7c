package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// What requests do costs one network round trip each, on the wire and in the
// request's own count.
func TestRoundTripsOnTheWire(t *testing.T) {
	t.Parallel()
	p, url := newProxy(t, storetest.Postgres(t))
	s := storetest.Migrated(t, store.Config{URL: url, MaxConns: 1}) // the proxy sees one line only
	u := newUser(t, s, "alice")
	session := newSession(t, s, u.ID)
	now := idp.Instant(time.Now())
	grant := func(spent bool) idp.Grant {
		g := grantOf(t, session)
		require.NoError(t, s.CreateGrant(t.Context(), g, time.Time{}))
		if spent {
			require.NoError(t, s.RedeemCode(t.Context(), redemption(g), nil, event(idp.EventCodeIssued)))
		}
		return g
	}
	// Each prepares its stage and returns the one call that is counted.
	calls := map[string]func() func(context.Context) error{
		"AuthorizationContext": func() func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := s.AuthorizationContext(ctx, session.ID, "web")
				return err
			}
		},
		"CreateGrant": func() func(context.Context) error {
			g := grantOf(t, session)
			return func(ctx context.Context) error { return s.CreateGrant(ctx, g, now, event(idp.EventCodeIssued)) }
		},
		"CreatePushedRequest": func() func(context.Context) error {
			pushed := pushedRequest(t)
			return func(ctx context.Context) error { return s.CreatePushedRequest(ctx, pushed) }
		},
		"PushedRequest": func() func(context.Context) error {
			pushed := pushedRequest(t)
			require.NoError(t, s.CreatePushedRequest(t.Context(), pushed))
			return func(ctx context.Context) error {
				_, err := s.PushedRequest(ctx, pushed.Handle)
				return err
			}
		},
		"CreatePushedGrant": func() func(context.Context) error {
			pushed, g := pushedRequest(t), grantOf(t, session)
			require.NoError(t, s.CreatePushedRequest(t.Context(), pushed))
			return func(ctx context.Context) error {
				return s.CreatePushedGrant(ctx, pushed.Handle, g, now, event(idp.EventCodeIssued))
			}
		},
		"GrantState": func() func(context.Context) error {
			g := grant(false)
			return func(ctx context.Context) error {
				_, err := s.GrantState(ctx, g.Handle)
				return err
			}
		},
		"RedeemCode": func() func(context.Context) error {
			g := grant(false)
			token := accessToken(t, g.Handle)
			return func(ctx context.Context) error {
				return s.RedeemCode(ctx, redemption(g), &token, event(idp.EventTokenIssued))
			}
		},
		"RotateRefresh": func() func(context.Context) error {
			g := grant(true)
			token := accessToken(t, g.Handle)
			return func(ctx context.Context) error {
				return s.RotateRefresh(ctx, idp.RefreshRotation{Handle: g.Handle, From: 1, At: now, IdleExpiresAt: now.Add(time.Hour)}, &token, event(idp.EventTokenIssued))
			}
		},
		"AppendTokens": func() func(context.Context) error {
			token := accessToken(t, grant(true).Handle)
			return func(ctx context.Context) error {
				return s.AppendTokens(ctx, &token, event(idp.EventTokenIssued))
			}
		},
		"AccessTokenState": func() func(context.Context) error {
			token := accessToken(t, grant(true).Handle)
			require.NoError(t, s.AppendTokens(t.Context(), &token, event(idp.EventTokenIssued)))
			return func(ctx context.Context) error {
				_, err := s.AccessTokenState(ctx, idp.DayOf(token.ExpiresAt), token.ID)
				return err
			}
		},
		"RevokeGrant": func() func(context.Context) error {
			g := grant(true)
			return func(ctx context.Context) error {
				return s.RevokeGrant(ctx, g.Handle, "test", now, event(idp.EventTokenRevoked))
			}
		},
		"AccessTokenRevoked": func() func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := s.AccessTokenRevoked(ctx, session.ID, idp.DayOf(now))
				return err
			}
		},
		"AppendEvents": func() func(context.Context) error {
			events := make([]idp.Event, 100)
			return func(ctx context.Context) error { return s.AppendEvents(ctx, events) }
		},
		"Factors": func() func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := s.Factors(ctx, u.ID)
				return err
			}
		},
		"UseAuthenticator": func() func(context.Context) error {
			a := authenticatorOf(t, u.ID)
			require.NoError(t, s.AddAuthenticator(t.Context(), a, event(idp.EventFactorAdded)))
			return func(ctx context.Context) error {
				return s.UseAuthenticator(ctx, u.ID, a.ID, a.LastStep+1, now, event(idp.EventFactorUsed))
			}
		},
		"UseRecoveryCode": func() func(context.Context) error {
			require.NoError(t, s.ReplaceRecoveryCodes(t.Context(), u.ID, []string{"code"}, now, event(idp.EventFactorAdded)))
			return func(ctx context.Context) error {
				return s.UseRecoveryCode(ctx, u.ID, "code", now, event(idp.EventFactorUsed))
			}
		},
		"PasskeyState": func() func(context.Context) error {
			p := passkeyOf(t, u.ID)
			addPasskey(t, s, p)
			return func(ctx context.Context) error {
				_, err := s.PasskeyState(ctx, p.ID)
				return err
			}
		},
		"UsePasskey": func() func(context.Context) error {
			p, c := passkeyOf(t, u.ID), challenge(t)
			addPasskey(t, s, p)
			return func(ctx context.Context) error {
				return s.UsePasskey(ctx, idp.PasskeyUse{CredentialID: p.ID, UserID: u.ID, SignCount: p.SignCount + 1, At: now}, c, event(idp.EventFactorUsed))
			}
		},
		"Take": func() func(context.Context) error {
			return func(ctx context.Context) error {
				_, err := s.Take(ctx, "key", now, time.Microsecond, 100)
				return err
			}
		},
	}
	for name, prepare := range calls {
		t.Run(name, func(t *testing.T) {
			warm := prepare()
			require.NoError(t, warm(t.Context())) // describes the statements to the connection
			call := prepare()
			request := &idp.Request{}
			before := p.turns.Load()
			require.NoError(t, call(idp.WithRequest(t.Context(), request)))
			require.EqualValues(t, 1, p.turns.Load()-before, "on the wire")
			require.EqualValues(t, 1, request.RoundTrips.Load(), "as counted")
		})
	}
	t.Run("a transaction", func(t *testing.T) {
		require.NoError(t, s.SetUserState(t.Context(), u.ID, idp.UserActive, now, event(idp.EventUserEnabled)))
		request := &idp.Request{}
		before := p.turns.Load()
		require.NoError(t, s.SetUserState(idp.WithRequest(t.Context(), request), u.ID, idp.UserActive, now, event(idp.EventUserEnabled)))
		require.EqualValues(t, request.RoundTrips.Load(), p.turns.Load()-before, "as counted, on the wire")
	})
}

// SQLite counts what a network would cost, so that a budget can be tested
// without PostgreSQL.
func TestRoundTripsAreCountedOnSQLiteToo(t *testing.T) {
	t.Parallel()
	s := storetest.Migrated(t, store.Config{URL: storetest.SQLite(t)})
	sc := newScene(t, s)
	token := accessToken(t, sc.grant.Handle)
	request := &idp.Request{}
	ctx := idp.WithRequest(t.Context(), request)
	_, err := s.GrantState(ctx, sc.grant.Handle)
	require.NoError(t, err)
	require.EqualValues(t, 1, request.RoundTrips.Load())
	require.NoError(t, s.RedeemCode(ctx, redemption(sc.grant), &token, event(idp.EventTokenIssued)))
	require.EqualValues(t, 2, request.RoundTrips.Load())
}

// A database that is away is temporarily unavailable, never "not found", and
// the store finds back by itself.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	p, url := newProxy(t, storetest.Postgres(t))
	s := storetest.Migrated(t, store.Config{URL: url})
	sc := newScene(t, s)
	d, err := s.LoadDirectory(t.Context())
	require.NoError(t, err)

	p.cut()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	_, err = s.GrantState(ctx, sc.grant.Handle)
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.NotErrorIs(t, err, idp.ErrNotFound)
	require.ErrorIs(t, s.RedeemCode(ctx, redemption(sc.grant), nil, event(idp.EventTokenIssued)), idp.ErrUnavailable)
	require.ErrorIs(t, s.EndSession(ctx, sc.session.ID, time.Now(), event(idp.EventSessionEnded)), idp.ErrUnavailable)
	_, err = s.Take(ctx, "key", time.Now(), time.Minute, 1)
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.NotErrorIs(t, err, idp.ErrThrottled)
	require.ErrorIs(t, d.Refresh(ctx), idp.ErrUnavailable)
	require.ErrorIs(t, s.Ping(ctx), idp.ErrUnavailable)
	_, err = s.Migrate(ctx)
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.NoError(t, ctx.Err(), "all of that within the deadline")

	p.mend()
	require.Eventually(t, func() bool { return s.Ping(t.Context()) == nil }, 10*time.Second, 10*time.Millisecond)
	require.NoError(t, s.RedeemCode(t.Context(), redemption(sc.grant), nil, event(idp.EventTokenIssued)), "nothing of the failed attempt was stored")
	require.Equal(t, 1, countEvents(t, s, idp.EventTokenIssued))
}

// A server that says nothing any more must not hold a request for longer than
// its deadline.
func TestDeadlineIsKept(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s := open(t)
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, err := s.GrantState(ctx, idp.GrantHandle{ExpiresOn: 1, ID: newID(t)})
		require.ErrorIs(t, err, idp.ErrUnavailable)
	})
}

// Statements that the server breaks off by its own timeouts leave the
// connection usable.
func TestServerTimeoutsAreUnavailable(t *testing.T) {
	t.Parallel()
	s := storetest.Migrated(t, store.Config{URL: withParam(t, storetest.Postgres(t), "statement_timeout", "200ms"), MaxConns: 1})
	_, err := s.Exec(t.Context(), "SELECT pg_sleep(10)")
	require.ErrorIs(t, err, idp.ErrUnavailable)
	require.NoError(t, s.Ping(t.Context()))
	settings, err := s.Strings(t.Context(), `
SELECT name || '=' || setting FROM pg_settings
WHERE name IN ('application_name', 'TimeZone', 'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') ORDER BY name`)
	require.NoError(t, err)
	require.ElementsMatch(t, []string{
		"application_name=idp", "idle_in_transaction_session_timeout=5000", "lock_timeout=2000", "statement_timeout=200", "TimeZone=UTC",
	}, settings, "the URL's own setting wins")
}

// Values never become part of a statement's text, whatever the URL says.
func TestSimpleProtocolIsRefused(t *testing.T) {
	t.Parallel()
	_, err := store.Open(t.Context(), store.Config{URL: "postgres://idp:hunter2@127.0.0.1/idp?default_query_exec_mode=simple_protocol", Now: time.Now})
	var invalid *idp.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "database_url", invalid.Field)
	require.NotContains(t, err.Error(), "hunter2")
}
