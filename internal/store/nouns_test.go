package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

func TestGrantAndItsStateSurvive(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		sc := newScene(t, s)
		require.NoError(t, s.CreateGroup(ctx, idp.Group{Name: "ops team"}))
		require.NoError(t, s.CreateGroup(ctx, idp.Group{Name: "admins"}))
		require.NoError(t, s.AddMember(ctx, "ops team", sc.user.ID, event(idp.EventGroupChanged)))
		require.NoError(t, s.AddMember(ctx, "admins", sc.user.ID, event(idp.EventGroupChanged)))
		require.NoError(t, s.SaveRole(ctx, idp.Role{Name: "reader"}, true, nil, event(idp.EventRoleChanged)))
		require.NoError(t, s.AssignRole(ctx, "reader", sc.user.ID, event(idp.EventRoleChanged)))

		want := idp.GrantState{
			Grant: sc.grant, User: sc.user,
			Memberships: idp.Memberships{Groups: []string{"admins", "ops team"}, Roles: []string{"reader"}},
		}
		got, err := s.GrantState(ctx, sc.grant.Handle)
		require.NoError(t, err)
		same(t, want, got)

		withdrawn := idp.Instant(time.Now().Add(time.Minute))
		require.NoError(t, s.SaveConsent(ctx, idp.Consent{UserID: sc.user.ID, ClientID: "web", Scopes: []string{"openid"}}, event(idp.EventConsentGranted)))
		require.NoError(t, s.WithdrawConsent(ctx, sc.user.ID, "web", withdrawn, event(idp.EventConsentWithdrawn)))
		require.NoError(t, s.EndSession(ctx, sc.session.ID, withdrawn, event(idp.EventSessionEnded)))
		require.NoError(t, s.RevokeGrant(ctx, sc.grant.Handle, "test", withdrawn, event(idp.EventTokenRevoked)))
		want.ConsentWithdrawnAt, want.SessionEndedAt, want.Grant.RevokedAt = withdrawn, withdrawn, withdrawn
		got, err = s.GrantState(ctx, sc.grant.Handle)
		require.NoError(t, err)
		same(t, want, got)

		_, err = s.GrantState(ctx, idp.GrantHandle{ExpiresOn: sc.grant.Handle.ExpiresOn, ID: newID(t)})
		require.ErrorIs(t, err, idp.ErrNotFound)
		_, err = s.GrantState(ctx, idp.GrantHandle{ExpiresOn: sc.grant.Handle.ExpiresOn - 1, ID: sc.grant.Handle.ID})
		require.ErrorIs(t, err, idp.ErrNotFound, "the day is part of the handle")
		require.NoError(t, s.DeleteUser(ctx, sc.user.ID, event(idp.EventUserDeleted)))
		_, err = s.GrantState(ctx, sc.grant.Handle)
		require.ErrorIs(t, err, idp.ErrNotFound, "nothing lives without its user")
	})
}

// Any text, list and microsecond comes back as it went in.
func TestAnyGrantSurvives(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s := open(t)
		sc := newScene(t, s)
		now := idp.Instant(time.Now())
		text := rapid.StringOf(rapid.RuneFrom([]rune("aZ0 äß漢\U0001F600'\"\\%_;$1\n\t")))
		word := rapid.StringMatching(`[!-~]{1,20}`)
		wordList := rapid.Custom(func(t *rapid.T) []string {
			list := rapid.SliceOfN(word, 0, 5).Draw(t, "words")
			if len(list) == 0 {
				return nil
			}
			return list
		})
		instant := rapid.Custom(func(t *rapid.T) time.Time {
			if rapid.Bool().Draw(t, "zero") {
				return time.Time{}
			}
			return now.Add(time.Duration(rapid.Int64Range(-1e15, 1e15).Draw(t, "µs")) * time.Microsecond / 1000)
		})
		rapid.Check(t, func(rt *rapid.T) {
			g := grantOf(t, sc.session)
			g.ClientID, g.RedirectURI, g.Nonce, g.CodeChallenge, g.ACR = text.Draw(rt, "client"), text.Draw(rt, "uri"), text.Draw(rt, "nonce"), text.Draw(rt, "challenge"), text.Draw(rt, "acr")
			g.RedirectURIOmitted = rapid.Bool().Draw(rt, "omitted")
			if rapid.Bool().Draw(rt, "with claims") {
				g.Claims = &idp.ClaimsRequest{Userinfo: map[string]*idp.ClaimRequest{"email": nil, "name": {Essential: true}}}
			}
			g.Scopes, g.Resources, g.AMR = wordList.Draw(rt, "scopes"), wordList.Draw(rt, "resources"), wordList.Draw(rt, "amr")
			g.Generation = rapid.Uint32().Draw(rt, "generation")
			g.CodeUsedAt, g.RotatedAt, g.IdleExpiresAt, g.RevokedAt = instant.Draw(rt, "used"), instant.Draw(rt, "rotated"), instant.Draw(rt, "idle"), instant.Draw(rt, "revoked")
			g.Salt = rapid.SliceOfN(rapid.Byte(), 1, 32).Draw(rt, "salt")
			for _, at := range []*time.Time{&g.CodeUsedAt, &g.RotatedAt, &g.IdleExpiresAt, &g.RevokedAt} {
				if !at.IsZero() {
					*at = idp.Instant(*at)
				}
			}
			if err := s.CreateGrant(t.Context(), g, time.Time{}); err != nil {
				rt.Fatal(err)
			}
			got, err := s.GrantState(t.Context(), g.Handle)
			if err != nil {
				rt.Fatal(err)
			}
			same(t, g, got.Grant)
		})
	})
}

func TestListsThatWouldReadBackDifferentlyAreRefused(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		sc := newScene(t, s)
		var invalid *idp.InvalidError
		g := grantOf(t, sc.session)
		g.Scopes = []string{"read admin"}
		require.ErrorAs(t, s.CreateGrant(ctx, g, time.Time{}), &invalid)
		require.ErrorAs(t, s.CreateGroup(ctx, idp.Group{Name: "staff\nadmins"}), &invalid)
		require.ErrorAs(t, s.SaveRole(ctx, idp.Role{Name: "a\nb"}, true, nil, event(idp.EventRoleChanged)), &invalid)
		token := accessToken(t, sc.grant.Handle)
		token.Groups = []string{"staff\nadmins"}
		require.ErrorAs(t, s.AppendTokens(ctx, &token, event(idp.EventTokenIssued)), &invalid)
		require.ErrorAs(t, s.RedeemCode(ctx, redemption(sc.grant), &token, event(idp.EventTokenIssued)), &invalid)
	})
}

func TestAccessTokensSurvive(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		sc := newScene(t, s)
		token := accessToken(t, sc.grant.Handle)
		day := idp.DayOf(token.ExpiresAt)
		require.NoError(t, s.AppendTokens(ctx, &token, event(idp.EventTokenIssued)))
		got, err := s.AccessTokenState(ctx, day, token.ID)
		require.NoError(t, err)
		grant, err := s.GrantState(ctx, sc.grant.Handle)
		require.NoError(t, err)
		same(t, idp.AccessTokenState{Token: token, Grant: &grant}, got)

		now := idp.Instant(time.Now())
		machine := idp.AccessToken{ID: newID(t), ClientID: "service", Subject: "service", Audience: []string{"https://api.example"}, IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
		day = idp.DayOf(machine.ExpiresAt)
		require.NoError(t, s.CreateAccessToken(ctx, machine, event(idp.EventTokenIssued)))
		got, err = s.AccessTokenState(ctx, day, machine.ID)
		require.NoError(t, err)
		same(t, idp.AccessTokenState{Token: machine}, got)

		revoked, err := s.AccessTokenRevoked(ctx, machine.ID, day)
		require.NoError(t, err)
		require.False(t, revoked)
		for range 2 {
			require.NoError(t, s.RevokeAccessToken(ctx, machine.ID, day, now, event(idp.EventTokenRevoked)))
		}
		require.Equal(t, 1, countEvents(t, s, idp.EventTokenRevoked), "revoking twice is told once")
		revoked, err = s.AccessTokenRevoked(ctx, machine.ID, day)
		require.NoError(t, err)
		require.True(t, revoked)
		got, err = s.AccessTokenState(ctx, day, machine.ID)
		require.NoError(t, err)
		same(t, idp.AccessTokenState{Token: machine, RevokedAt: now}, got)

		require.NoError(t, s.RevokeAccessToken(ctx, newID(t), idp.DayOf(now)-400, now, event(idp.EventTokenRevoked)), "long dead")
		require.NoError(t, s.DeleteUser(ctx, sc.user.ID, event(idp.EventUserDeleted)))
		_, err = s.AccessTokenState(ctx, idp.DayOf(token.ExpiresAt), token.ID)
		require.ErrorIs(t, err, idp.ErrNotFound)
	})
}

func TestSessionsSurvive(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		first := newSession(t, s, u.ID)
		c, err := s.AuthorizationContext(ctx, first.ID, "web")
		require.NoError(t, err)
		same(t, idp.AuthorizationContext{Session: first, User: u}, c)
		_, err = s.AuthorizationContext(ctx, newID(t), "web")
		require.ErrorIs(t, err, idp.ErrNotFound)

		second := first
		second.ID, second.CreatedAt = newID(t), first.CreatedAt.Add(time.Second)
		require.NoError(t, s.CreateSession(ctx, second, first.ID))
		first.EndedAt = second.CreatedAt
		all, err := s.Sessions(ctx, u.ID)
		require.NoError(t, err)
		same(t, []idp.Session{second, first}, all)

		second.Salt, second.AuthTime, second.LastSeenAt = []byte("another salt 16b"), second.AuthTime.Add(time.Minute), second.LastSeenAt.Add(time.Minute)
		require.NoError(t, s.RenewSession(ctx, second))
		c, err = s.AuthorizationContext(ctx, second.ID, "web")
		require.NoError(t, err)
		same(t, idp.AuthorizationContext{Session: second, User: u}, c)
		require.ErrorIs(t, s.RenewSession(ctx, first), idp.ErrNotFound, "a session that has ended")
		stolen := second
		stolen.UserID = "somebody else"
		require.ErrorIs(t, s.RenewSession(ctx, stolen), idp.ErrNotFound, "another person's session")

		at := idp.Instant(time.Now())
		n, err := s.EndUserSessions(ctx, u.ID, at, event(idp.EventSessionEnded))
		require.NoError(t, err)
		require.EqualValues(t, 1, n)
		n, err = s.EndUserSessions(ctx, u.ID, at, event(idp.EventSessionEnded))
		require.NoError(t, err)
		require.Zero(t, n)
		require.NoError(t, s.EndSession(ctx, second.ID, at, event(idp.EventSessionEnded)))
		require.Equal(t, 1, countEvents(t, s, idp.EventSessionEnded))
	})
}

func TestGrantTouchesItsSessionOnceAMinute(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		sc := newScene(t, s)
		seen := func() time.Time {
			c, err := s.AuthorizationContext(ctx, sc.session.ID, "web")
			require.NoError(t, err)
			return c.Session.LastSeenAt
		}
		require.NoError(t, s.CreateGrant(ctx, grantOf(t, sc.session), sc.session.LastSeenAt.Add(59*time.Second)))
		require.Equal(t, sc.session.LastSeenAt, seen())
		require.NoError(t, s.CreateGrant(ctx, grantOf(t, sc.session), sc.session.LastSeenAt.Add(time.Minute)))
		require.Equal(t, sc.session.LastSeenAt.Add(time.Minute), seen())
	})
}

func TestConsentGrowsUntilWithdrawn(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		sc := newScene(t, s)
		at := idp.Instant(time.Now())
		consent := func() idp.Consent {
			c, err := s.AuthorizationContext(ctx, sc.session.ID, "web")
			require.NoError(t, err)
			require.NotNil(t, c.Consent)
			all, err := s.Consents(ctx, sc.user.ID)
			require.NoError(t, err)
			same(t, []idp.Consent{*c.Consent}, all)
			return *c.Consent
		}
		save := func(c idp.Consent) {
			c.UserID, c.ClientID = sc.user.ID, "web"
			require.NoError(t, s.SaveConsent(ctx, c, event(idp.EventConsentGranted)))
		}
		save(idp.Consent{Scopes: []string{"openid", "email"}, RedirectOrigins: []string{"https://app.example"}, Remembered: true, GrantedAt: at})
		save(idp.Consent{Scopes: []string{"email", "read"}, Resources: []string{"https://api.example"}, RedirectOrigins: []string{"myapp:"}, GrantedAt: at.Add(time.Second)})
		same(t, idp.Consent{
			UserID: sc.user.ID, ClientID: "web", Scopes: []string{"openid", "email", "read"}, Resources: []string{"https://api.example"},
			RedirectOrigins: []string{"https://app.example", "myapp:"}, GrantedAt: at.Add(time.Second),
		}, consent())

		require.NoError(t, s.WithdrawConsent(ctx, sc.user.ID, "web", at, event(idp.EventConsentWithdrawn)))
		withdrawn := consent()
		require.False(t, withdrawn.Stands(), "even by a clock that lags behind the one that granted")
		require.ErrorIs(t, s.WithdrawConsent(ctx, sc.user.ID, "web", at, event(idp.EventConsentWithdrawn)), idp.ErrNotFound)

		save(idp.Consent{Scopes: []string{"openid"}, GrantedAt: at})
		anew := consent()
		require.True(t, anew.Stands())
		require.Equal(t, []string{"openid"}, anew.Scopes, "what was withdrawn does not come back")
		state, err := s.GrantState(ctx, sc.grant.Handle)
		require.NoError(t, err)
		require.Equal(t, withdrawn.WithdrawnAt, state.ConsentWithdrawnAt, "what was issued before stays dead")
		require.Equal(t, 3, countEvents(t, s, idp.EventConsentGranted))
		require.Equal(t, 1, countEvents(t, s, idp.EventConsentWithdrawn))
	})
}

// When a client was last given something is the newest of its grants, or the
// last time that one of them was refreshed.
func TestLastGrants(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		sc := newScene(t, s)
		bob := newUser(t, s, "bob")
		last := func(userID string) map[string]time.Time {
			got, err := s.LastGrants(ctx, userID)
			require.NoError(t, err)
			return got
		}
		require.Equal(t, map[string]time.Time{"web": sc.grant.CreatedAt}, last(sc.user.ID))
		second := grantOf(t, sc.session)
		second.ClientID = "wiki"
		require.NoError(t, s.CreateGrant(ctx, second, time.Time{}, event(idp.EventCodeIssued)))
		require.NoError(t, s.RedeemCode(ctx, redemption(sc.grant), nil, event(idp.EventTokenIssued)))
		at := redemption(sc.grant).At.Add(time.Hour)
		require.NoError(t, s.RotateRefresh(ctx, idp.RefreshRotation{
			Handle: sc.grant.Handle, From: 1, At: at, IdleExpiresAt: at.Add(time.Hour),
		}, nil, event(idp.EventTokenIssued)))
		require.Equal(t, map[string]time.Time{"web": at, "wiki": second.CreatedAt}, last(sc.user.ID))
		require.Empty(t, last(bob.ID))
	})
}

func TestConsentsSavedAtOnceAllCount(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		scopes := []string{"a", "b", "c", "d"}
		errs := parallel(len(scopes), func(i int) error {
			return s.SaveConsent(ctx, idp.Consent{UserID: u.ID, ClientID: "web", Scopes: scopes[i : i+1]}, event(idp.EventConsentGranted))
		})
		for _, err := range errs {
			require.NoError(t, err)
		}
		all, err := s.Consents(ctx, u.ID)
		require.NoError(t, err)
		require.ElementsMatch(t, scopes, all[0].Scopes)
	})
}

func TestUsersSurvive(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		now := idp.Instant(time.Now())
		u := idp.User{
			ID: "sub-1", Username: "Ålice", PasswordHash: "$argon2id$…", State: idp.UserActive, TokensValidAfter: now, CreatedAt: now, UpdatedAt: now.Add(time.Microsecond),
			Profile: idp.Profile{Name: "Alice Ä.", Email: "alice@example.com", EmailVerified: true, Address: &idp.Address{Country: "DE"}},
		}
		require.NoError(t, s.CreateUser(ctx, u, event(idp.EventUserCreated)))
		got, err := s.User(ctx, u.ID)
		require.NoError(t, err)
		same(t, u, got)
		got, err = s.UserByUsername(ctx, strings.ToUpper(u.Username))
		require.NoError(t, err, "names are compared without case")
		same(t, u, got)

		other := idp.User{ID: "sub-2", Username: "åLICE"}
		require.ErrorIs(t, s.CreateUser(ctx, other, event(idp.EventUserCreated)), idp.ErrConflict)
		require.Equal(t, 1, countEvents(t, s, idp.EventUserCreated), "a conflict leaves no event")
		other.Username = "bob"
		require.NoError(t, s.CreateUser(ctx, other))
		other.Username = "ÅLICE"
		require.ErrorIs(t, s.UpdateUser(ctx, other, time.Time{}), idp.ErrConflict)

		page, err := s.Users(ctx, "", 1)
		require.NoError(t, err)
		require.Len(t, page, 1)
		require.Equal(t, "bob", page[0].Username)
		page, err = s.Users(ctx, "Bob", 10)
		require.NoError(t, err)
		require.Len(t, page, 1)
		require.Equal(t, u.ID, page[0].ID)

		u.Username, u.Profile = "alice", idp.Profile{Name: "A"}
		require.NoError(t, s.UpdateUser(ctx, u, time.Time{}, event(idp.EventUserUpdated)))
		got, err = s.UserByUsername(ctx, "ALICE")
		require.NoError(t, err)
		u.UpdatedAt = got.UpdatedAt
		same(t, u, got)

		require.NoError(t, s.SetPassword(ctx, u.ID, "h2", time.Time{}, event(idp.EventUserPasswordSet)))
		got, err = s.User(ctx, u.ID)
		require.NoError(t, err)
		require.Equal(t, now, got.TokensValidAfter)
		require.NoError(t, s.SetPassword(ctx, u.ID, "h3", now.Add(time.Hour), event(idp.EventUserPasswordSet)))
		got, err = s.User(ctx, u.ID)
		require.NoError(t, err)
		require.Equal(t, now.Add(time.Hour), got.TokensValidAfter)
		require.Equal(t, "h3", got.PasswordHash)
		require.NoError(t, s.ReplacePasswordHash(ctx, u.ID, "h2", "stale"))
		require.NoError(t, s.ReplacePasswordHash(ctx, u.ID, "h3", "h4"))
		got, err = s.User(ctx, u.ID)
		require.NoError(t, err)
		require.Equal(t, "h4", got.PasswordHash, "only the hash that was read is replaced")

		for _, err := range []error{
			s.UpdateUser(ctx, idp.User{ID: "nobody", Username: "x", State: idp.UserActive}, time.Time{}, event(idp.EventUserUpdated)),
			s.SetPassword(ctx, "nobody", "h", time.Time{}, event(idp.EventUserPasswordSet)),
			s.SetUserState(ctx, "nobody", idp.UserActive, now, event(idp.EventUserEnabled)),
			s.DeleteUser(ctx, "nobody", event(idp.EventUserDeleted)),
		} {
			require.ErrorIs(t, err, idp.ErrNotFound)
		}
		_, err = s.User(ctx, "nobody")
		require.ErrorIs(t, err, idp.ErrNotFound)
		require.Zero(t, countEvents(t, s, idp.EventUserDeleted))
	})
}

func TestDisablingAUserEndsWhatWasProvenBefore(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		at := idp.Instant(time.Now()).Add(time.Minute)
		require.NoError(t, s.SetUserState(ctx, u.ID, idp.UserDisabled, at, event(idp.EventUserDisabled)))
		require.NoError(t, s.SetUserState(ctx, u.ID, idp.UserDisabled, at.Add(time.Minute), event(idp.EventUserDisabled)))
		require.NoError(t, s.SetUserState(ctx, u.ID, idp.UserActive, at.Add(time.Hour), event(idp.EventUserEnabled)))
		got, err := s.User(ctx, u.ID)
		require.NoError(t, err)
		require.Equal(t, idp.UserActive, got.State)
		require.Equal(t, at.Add(time.Hour), got.TokensValidAfter, "what came while the user was disabled stays dead as well")
	})
}

func TestGroupsAndRoles(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		u := newUser(t, s, "alice")
		changed := event(idp.EventGroupChanged)
		require.NoError(t, s.CreateGroup(ctx, idp.Group{Name: "ops", Description: "On call"}, changed))
		require.ErrorIs(t, s.CreateGroup(ctx, idp.Group{Name: "ops"}, changed), idp.ErrConflict)
		groups, err := s.Groups(ctx)
		require.NoError(t, err)
		require.Len(t, groups, 1)
		require.Equal(t, "On call", groups[0].Description)

		before := countEvents(t, s, idp.EventGroupChanged)
		require.NoError(t, s.AddMember(ctx, "ops", u.ID, changed))
		require.NoError(t, s.AddMember(ctx, "ops", u.ID, changed))
		require.Equal(t, before+1, countEvents(t, s, idp.EventGroupChanged))
		require.ErrorIs(t, s.AddMember(ctx, "nothing", u.ID, changed), idp.ErrNotFound)
		require.ErrorIs(t, s.AddMember(ctx, "ops", "nobody", changed), idp.ErrNotFound)
		members, err := s.Members(ctx, "ops")
		require.NoError(t, err)
		same(t, []idp.User{u}, members)

		require.ErrorIs(t, s.AssignRole(ctx, "reader", u.ID, changed), idp.ErrNotFound)
		require.NoError(t, s.SaveRole(ctx, idp.Role{Name: "reader"}, true, nil, changed))
		require.NoError(t, s.AssignRole(ctx, "reader", u.ID, changed))
		m, err := s.Memberships(ctx, u.ID)
		require.NoError(t, err)
		same(t, idp.Memberships{Groups: []string{"ops"}, Roles: []string{"reader"}}, m)

		require.NoError(t, s.UnassignRole(ctx, "reader", u.ID, changed))
		require.ErrorIs(t, s.UnassignRole(ctx, "reader", u.ID, changed), idp.ErrNotFound)
		require.NoError(t, s.RemoveMember(ctx, "ops", u.ID, changed))
		require.ErrorIs(t, s.RemoveMember(ctx, "ops", u.ID, changed), idp.ErrNotFound)
		require.NoError(t, s.DeleteGroup(ctx, "ops", changed))
		require.ErrorIs(t, s.DeleteGroup(ctx, "ops", changed), idp.ErrNotFound)
		require.NoError(t, s.DeleteRole(ctx, "reader", changed))
		m, err = s.Memberships(ctx, u.ID)
		require.NoError(t, err)
		same(t, idp.Memberships{}, m)
	})
}

func TestKeysSurvive(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		now := idp.Instant(time.Now())
		key := func(kid string) idp.Key {
			return idp.Key{KID: kid, Alg: idp.AlgES256, PublicJWK: []byte(`{"kty": "EC",  "z":1}`), SealedPrivate: []byte{0, 1, 255}, CreatedAt: now, ActiveFrom: now}
		}
		errs := parallel(8, func(i int) error {
			return s.InsertFirstKeys(ctx, []idp.Key{key("k" + string(rune('0'+i)))}, event(idp.EventKeyCreated))
		})
		requireOneWinner(t, errs, idp.ErrConflict)
		keys, err := s.Keys(ctx)
		require.NoError(t, err)
		same(t, []idp.Key{key(keys[0].KID)}, keys)
		require.Equal(t, 1, countEvents(t, s, idp.EventKeyCreated))

		require.NoError(t, s.InsertKeys(ctx, []idp.Key{key("next")}, event(idp.EventKeyCreated)))
		require.ErrorIs(t, s.InsertKeys(ctx, []idp.Key{key("next")}), idp.ErrConflict)
		require.NoError(t, s.RetireKey(ctx, "next", now, event(idp.EventKeyRetired)))
		require.ErrorIs(t, s.RetireKey(ctx, "next", now, event(idp.EventKeyRetired)), idp.ErrNotFound)
		keys, err = s.Keys(ctx)
		require.NoError(t, err)
		require.Len(t, keys, 2)
		require.Equal(t, now, keys[1].RetiredAt)
		revisions, err := s.Revisions(ctx)
		require.NoError(t, err)
		require.EqualValues(t, 4, revisions["keys"], "one for each change that happened")
	})
}

func TestSettings(t *testing.T) {
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		s, ctx := open(t), t.Context()
		_, err := s.Setting(ctx, "check")
		require.ErrorIs(t, err, idp.ErrNotFound)
		require.NoError(t, s.InsertSetting(ctx, "check", []byte{0, 1}))
		require.ErrorIs(t, s.InsertSetting(ctx, "check", []byte{2}), idp.ErrConflict)
		value, err := s.Setting(ctx, "check")
		require.NoError(t, err)
		require.Equal(t, []byte{0, 1}, value)
		require.NoError(t, s.SetSetting(ctx, "check", []byte{3}, event(idp.EventClientUpdated)))
		value, err = s.Setting(ctx, "check")
		require.NoError(t, err)
		require.Equal(t, []byte{3}, value)
	})
}

func TestEventsAreCompletedMirroredAndReadBack(t *testing.T) {
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		var mirrored []idp.Event
		s := storetest.Migrated(t, store.Config{URL: url(t), Mirror: func(e idp.Event) { mirrored = append(mirrored, e) }})
		ctx := idp.WithRequest(t.Context(), &idp.Request{ID: "req-1", RemoteAddr: "2001:db8::1"})
		given := idp.Event{
			ID: newID(t), At: idp.Instant(time.Now().Add(-time.Hour)), Kind: idp.EventLoginFailed, ClientID: "c", UserID: "u", SessionID: "s", GrantID: "g",
			RequestID: "own", RemoteAddr: "192.0.2.1", Detail: map[string]string{"error": "ä\"'\x00"[:4]},
		}
		given.ID = idp.TimeOrderedID(given.At, given.ID)
		require.NoError(t, s.AppendEvents(ctx, []idp.Event{given, {Kind: idp.EventTokenIssued}, {Kind: idp.EventTokenIssued}}))
		require.NoError(t, s.AppendEvents(ctx, nil))
		require.Len(t, mirrored, 3)
		same(t, given, mirrored[0])
		require.Equal(t, "req-1", mirrored[1].RequestID)
		require.Equal(t, "2001:db8::1", mirrored[1].RemoteAddr)
		require.NotEqual(t, mirrored[1].ID, mirrored[2].ID)

		stored, err := s.Events(ctx, idp.ID{}, 10)
		require.NoError(t, err)
		require.ElementsMatch(t, mirrored, stored)
		same(t, given, stored[0])
		rest, err := s.Events(ctx, stored[0].ID, 1)
		require.NoError(t, err)
		same(t, stored[1:2], rest)
		last, err := s.EventsBefore(ctx, idp.ID{}, 1)
		require.NoError(t, err)
		same(t, stored[2:], last)

		canceled, cancel := context.WithCancel(ctx)
		cancel()
		require.ErrorIs(t, s.AppendEvents(canceled, []idp.Event{given}), idp.ErrUnavailable)
		require.ErrorIs(t, s.AppendEvents(ctx, []idp.Event{given}), idp.ErrConflict)
		require.Len(t, mirrored, 3, "what was not stored is not told")
	})
}
