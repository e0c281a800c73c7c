package users_test

import (
	"context"
	"encoding/base32"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp/totp"
	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
	"idp/internal/tokens"
	"idp/internal/users"
)

var (
	_ users.FactorStore = (*store.Store)(nil)
	_ users.Vault       = (*tokens.Master)(nil)
)

// freely is a throttle that lets everybody pass.
type freely struct{}

func (freely) Take(context.Context, string, time.Time, time.Duration, int) (time.Duration, error) {
	return 0, nil
}
func (freely) GiveBack(context.Context, string, time.Duration) error { return nil }
func (freely) Release(context.Context, string) error                 { return nil }

// factorWorld is Factors over a real database, with two people, and a clock that
// moves by hand.
type factorWorld struct {
	*users.Factors
	store      *store.Store
	notes      *notes
	alice, bob idp.User
	later      atomic.Int64
}

func (w *factorWorld) now() time.Time       { return start.Add(time.Duration(w.later.Load())) }
func (w *factorWorld) pass(d time.Duration) { w.later.Add(int64(d)) }

// eachFactorWorld runs f on both engines. A nil throttle is the store's.
func eachFactorWorld(t *testing.T, throttle users.Throttle, f func(t *testing.T, w *factorWorld)) {
	t.Helper()
	t.Parallel()
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		w := &factorWorld{notes: &notes{}}
		w.store = storetest.Migrated(t, store.Config{URL: url(t), Now: w.now})
		w.Factors = newFactors(t, w, "https://id.example.com", throttle)
		for name, u := range map[string]*idp.User{"alice": &w.alice, "bob": &w.bob} {
			*u = idp.User{ID: "u-" + name, Username: name, State: idp.UserActive, Profile: idp.Profile{Name: strings.ToTitle(name)}}
			require.NoError(t, w.store.CreateUser(t.Context(), *u))
		}
		f(t, w)
	})
}

func newFactors(t testing.TB, w *factorWorld, issuer string, throttle users.Throttle) *users.Factors {
	t.Helper()
	if throttle == nil {
		throttle = w.store
	}
	return factorsOver(t, w, w.store, issuer, throttle)
}

func factorsOver(t testing.TB, w *factorWorld, s users.FactorStore, issuer string, throttle users.Throttle) *users.Factors {
	t.Helper()
	master, err := tokens.NewMaster([]byte("0123456789abcdef0123456789abcdef"))
	require.NoError(t, err)
	f, err := users.NewFactors(users.FactorsConfig{Store: s, Vault: master, Throttle: throttle, Audit: w.notes, Mail: master, Logger: slog.New(slog.DiscardHandler), Issuer: issuer, Name: "Example: Co", Now: w.now})
	require.NoError(t, err)
	return f
}

// code is what the authenticator shows at that time.
func code(t *testing.T, e idp.Enrolment, at time.Time) string {
	t.Helper()
	c, err := totp.GenerateCode(strings.ReplaceAll(e.Secret.Reveal(), " ", ""), at)
	require.NoError(t, err)
	return c
}

// enrol sets up an authenticator and lets its first code pass.
func (w *factorWorld) enrol(t *testing.T, u idp.User) idp.Enrolment {
	t.Helper()
	e, err := w.BeginAuthenticator(u)
	require.NoError(t, err)
	_, err = w.ConfirmAuthenticator(t.Context(), u, e.Sealed, "", code(t, e, w.now()))
	require.NoError(t, err)
	w.pass(time.Minute)
	return e
}

// events returns the stored events of a kind.
func (w *factorWorld) events(t *testing.T, kind idp.EventKind) []idp.Event {
	t.Helper()
	all, err := w.store.Events(t.Context(), idp.ID{}, 1000)
	require.NoError(t, err)
	var of []idp.Event
	for _, e := range all {
		if e.Kind == kind {
			of = append(of, e)
		}
	}
	return of
}

// reasons returns why codes were refused since the last call.
func (w *factorWorld) reasons() []string {
	var reasons []string
	for _, e := range w.notes.take() {
		reasons = append(reasons, string(e.Kind)+" "+e.Detail["factor"]+" "+e.Detail["reason"])
	}
	return reasons
}

func TestSettingUpAnAuthenticator(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		e, err := w.BeginAuthenticator(w.alice)
		require.NoError(t, err)
		require.Regexp(t, `^([A-Z2-7]{4} ){7}[A-Z2-7]{4}$`, e.Secret.Reveal(), "160 bits")
		secret := strings.ReplaceAll(e.Secret.Reveal(), " ", "")
		require.Equal(t, "otpauth://totp/Example%20%20Co:alice?algorithm=SHA1&digits=6&issuer=Example%20%20Co&period=30&secret="+secret, e.URL.Reveal())
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			require.Equal(t, "[enrolment]", fmt.Sprintf(verb, e))
		}
		has, err := w.Of(ctx, w.alice.ID)
		require.NoError(t, err)
		require.False(t, has.SecondFactor(), "nothing is stored before the first code")

		_, err = w.ConfirmAuthenticator(ctx, w.alice, e.Sealed, "Phone", "000000")
		require.ErrorIs(t, err, idp.ErrFactor)
		again, err := w.ResumeAuthenticator(w.alice, e.Sealed)
		require.NoError(t, err)
		require.Equal(t, e.Secret.Reveal(), again.Secret.Reveal())
		require.Equal(t, e.QR, again.QR)

		for name, sealed := range map[string]string{"empty": "", "cut": e.Sealed[:len(e.Sealed)-4], "no base64": e.Sealed + "!", "line break": e.Sealed + "\n"} {
			_, err = w.ConfirmAuthenticator(ctx, w.alice, sealed, "Phone", code(t, e, w.now()))
			require.ErrorIs(t, err, idp.ErrMalformed, name)
		}
		_, err = w.ConfirmAuthenticator(ctx, w.bob, e.Sealed, "Phone", code(t, e, w.now()))
		require.ErrorIs(t, err, idp.ErrMalformed, "another person's form")
		var invalid *idp.InvalidError
		for _, name := range []string{strings.Repeat("é", 65), "a\nb", "a\x00", "\xff"} {
			_, err = w.ConfirmAuthenticator(ctx, w.alice, e.Sealed, name, code(t, e, w.now()))
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, "name", invalid.Field)
		}

		a, err := w.ConfirmAuthenticator(ctx, w.alice, e.Sealed, " Phone ", code(t, e, w.now()))
		require.NoError(t, err)
		require.Equal(t, "Phone", a.Name)
		require.NotContains(t, string(a.Secret), secret)
		_, err = w.ConfirmAuthenticator(ctx, w.alice, e.Sealed, "Phone", code(t, e, w.now()))
		require.ErrorIs(t, err, idp.ErrConflict, "the form sent twice")
		has, err = w.Of(ctx, w.alice.ID)
		require.NoError(t, err)
		require.True(t, has.SecondFactor())
		require.Len(t, has.Authenticators, 1)

		_, err = w.VerifyCode(ctx, w.alice, code(t, e, w.now()))
		require.ErrorIs(t, err, idp.ErrFactor, "the first code is used up")
		require.Equal(t, []string{"factor.failed totp replayed"}, w.reasons())

		late, err := w.BeginAuthenticator(w.alice)
		require.NoError(t, err)
		w.pass(30 * time.Minute)
		_, err = w.ConfirmAuthenticator(ctx, w.alice, late.Sealed, "Phone", code(t, late, w.now()))
		require.ErrorIs(t, err, idp.ErrExpired)
		_, err = w.ResumeAuthenticator(w.alice, late.Sealed)
		require.ErrorIs(t, err, idp.ErrExpired)

		for range 9 {
			w.enrol(t, w.alice)
		}
		more, err := w.BeginAuthenticator(w.alice)
		require.NoError(t, err)
		_, err = w.ConfirmAuthenticator(ctx, w.alice, more.Sealed, "", code(t, more, w.now()))
		require.ErrorAs(t, err, &invalid)
		require.Equal(t, "authenticators", invalid.Field)

		require.NoError(t, w.RenameAuthenticator(ctx, w.alice.ID, a.ID, "Old phone"))
		require.ErrorIs(t, w.RenameAuthenticator(ctx, w.bob.ID, a.ID, "Mine"), idp.ErrNotFound)
		require.ErrorIs(t, w.RemoveAuthenticator(ctx, w.bob, a.ID, time.Time{}), idp.ErrNotFound)
		require.NoError(t, w.RemoveAuthenticator(ctx, w.alice, a.ID, w.now()))
		removed := w.events(t, idp.EventFactorRemoved)
		require.Len(t, removed, 1)
		require.Equal(t, map[string]string{"factor": "totp", "target": a.ID.String()}, removed[0].Detail)
	})
}

// The path draws exactly the modules of the code, and white around them.
func TestQRCodeIsDrawnAsOnePath(t *testing.T) {
	t.Parallel()
	w := &factorWorld{notes: &notes{}}
	f := newFactors(t, w, "https://id.example.com", freely{})
	e, err := f.BeginAuthenticator(idp.User{ID: "u", Username: "alice"})
	require.NoError(t, err)
	want, err := qr.Encode(e.URL.Reveal(), qr.M, qr.Auto)
	require.NoError(t, err)
	require.Equal(t, want.Bounds().Dx()+8, e.QR.Size)
	drawn := map[[2]int]bool{}
	for _, run := range strings.Split(strings.TrimSuffix(e.QR.Path, "z"), "z") {
		var x, y, n, back int
		_, err := fmt.Sscanf(run, "M%d %dh%dv1h-%d", &x, &y, &n, &back)
		require.NoError(t, err, run)
		require.Equal(t, n, back)
		for i := range n {
			require.False(t, drawn[[2]int{x + i, y}], "drawn twice")
			drawn[[2]int{x + i, y}] = true
		}
	}
	for y := range e.QR.Size {
		for x := range e.QR.Size {
			dark := false
			if x >= 4 && y >= 4 && x < e.QR.Size-4 && y < e.QR.Size-4 {
				r, _, _, _ := want.At(x-4, y-4).RGBA()
				dark = r == 0
			}
			require.Equal(t, dark, drawn[[2]int{x, y}], "%d,%d", x, y)
		}
	}
}

// RFC 6238 section 5.2: one step either side of now, each once.
func TestRFC6238_5_2_WindowOfAcceptedCodes(t *testing.T) {
	eachFactorWorld(t, freely{}, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		e := w.enrol(t, w.alice)
		verify := func(code string) error {
			factor, err := w.VerifyCode(ctx, w.alice, code)
			if err == nil {
				require.Equal(t, idp.FactorTOTP, factor)
			} else {
				require.Empty(t, factor)
			}
			return err
		}
		step := 30 * time.Second
		for offset, ok := range map[time.Duration]bool{-2 * step: false, 2 * step: false, -10 * step: false} {
			require.Equal(t, ok, verify(code(t, e, w.now().Add(offset))) == nil, offset)
		}
		require.NoError(t, verify(code(t, e, w.now().Add(-step))))
		require.ErrorIs(t, verify(code(t, e, w.now().Add(-step))), idp.ErrFactor, "used")
		require.NoError(t, verify(" "+code(t, e, w.now())[:3]+" "+code(t, e, w.now())[3:]+"\t"), "spaces are what apps show")
		require.NoError(t, verify(code(t, e, w.now().Add(step))))
		require.ErrorIs(t, verify(code(t, e, w.now())), idp.ErrFactor, "older than one that was used")
		w.notes.take()
		w.pass(10 * step)
		good := code(t, e, w.now())
		for _, bad := range []string{"", "1", good[:5], good + "0", "-" + good[1:], "x" + good[1:], strings.Repeat("0", 1<<16), "\xff", "٠٠٠٠٠٠"} {
			require.ErrorIs(t, verify(bad), idp.ErrFactor)
		}
		for _, reason := range w.reasons() {
			require.Equal(t, "factor.failed totp wrong_code", reason)
		}
		require.NoError(t, verify(good))

		_, err := w.VerifyCode(ctx, w.bob, good)
		require.ErrorIs(t, err, idp.ErrFactor)
		require.Equal(t, []string{"factor.failed totp not_set_up"}, w.reasons())

		second := w.enrol(t, w.alice)
		require.NoError(t, verify(code(t, second, w.now())), "any of the person's authenticators")
		require.NoError(t, verify(code(t, e, w.now())))
	})
}

// RFC 6238 appendix B: the test vectors for SHA-1, of which six digits count.
func TestRFC6238_AppendixB_Vectors(t *testing.T) {
	t.Parallel()
	for unix, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		at := time.Unix(unix, 0)
		step, ok := users.MatchTOTP([]byte("12345678901234567890"), want[2:], at)
		require.True(t, ok, unix)
		require.Equal(t, unix/30, step)
		_, ok = users.MatchTOTP([]byte("12345678901234567890"), want[2:], at.Add(time.Hour))
		require.False(t, ok)
	}
}

// Of fifty that bring the same code at the same moment one signs in.
func TestAttack_Q12_OneCodeForManyAtOnce(t *testing.T) {
	eachFactorWorld(t, freely{}, func(t *testing.T, w *factorWorld) {
		e := w.enrol(t, w.alice)
		codes, err := w.MakeRecoveryCodes(t.Context(), w.alice)
		require.NoError(t, err)
		now := code(t, e, w.now())
		for name, verify := range map[string]func() (idp.Factor, error){
			"totp":          func() (idp.Factor, error) { return w.VerifyCode(t.Context(), w.alice, now) },
			"recovery code": func() (idp.Factor, error) { return w.VerifyRecoveryCode(t.Context(), w.alice, codes[3].Reveal()) },
		} {
			var in, refused atomic.Int64
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					switch _, err := verify(); {
					case err == nil:
						in.Add(1)
					case errors.Is(err, idp.ErrFactor):
						refused.Add(1)
					}
				})
			}
			wg.Wait()
			require.EqualValues(t, 1, in.Load(), name)
			require.EqualValues(t, 49, refused.Load(), name)
		}
		require.Len(t, w.events(t, idp.EventFactorUsed), 2)
	})
}

func TestAttack_Q12_RecoveryCodes(t *testing.T) {
	eachFactorWorld(t, freely{}, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		verify := func(u idp.User, code string) error {
			factor, err := w.VerifyRecoveryCode(ctx, u, code)
			if err == nil {
				require.Equal(t, idp.FactorRecoveryCode, factor)
			}
			return err
		}
		codes, err := w.MakeRecoveryCodes(ctx, w.alice)
		require.NoError(t, err)
		require.Len(t, codes, 10)
		seen := map[string]bool{}
		for _, c := range codes {
			require.Regexp(t, `^[3467acdefghjkmnprtvwxy]{4}(-[3467acdefghjkmnprtvwxy]{4}){2}$`, c.Reveal())
			require.False(t, seen[c.Reveal()])
			seen[c.Reveal()] = true
			require.NotContains(t, fmt.Sprint(codes), c.Reveal())
		}
		left := func() int {
			has, err := w.Of(ctx, w.alice.ID)
			require.NoError(t, err)
			require.False(t, has.SecondFactor(), "they stand in for something else")
			return has.RecoveryCodes
		}
		require.Equal(t, 10, left())
		require.NoError(t, verify(w.alice, codes[0].Reveal()))
		require.ErrorIs(t, verify(w.alice, codes[0].Reveal()), idp.ErrFactor, "once")
		require.Equal(t, 9, left())
		// However it is typed.
		mixed := strings.Map(func(r rune) rune {
			if rand.IntN(2) == 0 {
				return unicode.ToUpper(r)
			}
			return r
		}, codes[1].Reveal())
		require.NoError(t, verify(w.alice, "  "+strings.ReplaceAll(mixed, "-", " – ")+"\n"))
		require.NoError(t, verify(w.alice, strings.ReplaceAll(codes[2].Reveal(), "-", "")))
		w.notes.take()
		for _, bad := range []string{"", "-", codes[3].Reveal()[:13], codes[3].Reveal() + "a", "aaaa-aaaa-aaaa", strings.Repeat("a", 1<<16), "\xff\xff", "aaaa\x00aaaaaaa"} {
			require.ErrorIs(t, verify(w.alice, bad), idp.ErrFactor)
		}
		require.ErrorIs(t, verify(w.bob, codes[3].Reveal()), idp.ErrFactor, "another person's")
		for _, reason := range w.reasons() {
			require.Equal(t, "factor.failed recovery_code wrong_code", reason)
		}
		require.NoError(t, verify(w.alice, codes[3].Reveal()))

		anew, err := w.MakeRecoveryCodes(ctx, w.alice)
		require.NoError(t, err)
		require.Equal(t, 10, left())
		require.ErrorIs(t, verify(w.alice, codes[4].Reveal()), idp.ErrFactor, "a new list replaces the old one")
		require.NoError(t, verify(w.alice, anew[4].Reveal()))
	})
}

// Of 100 parallel guesses at a person's codes, of whatever kind, twenty are
// evaluated, and one more every hour; a code that was right gives the attempts
// back.
func TestGuessesAtCodesAreThrottled(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		ctx := t.Context()
		e := w.enrol(t, w.alice)
		owner := w.alice
		owner.Profile.Email, owner.Profile.EmailVerified = "alice@example.com", true
		w.notes.take()
		var evaluated, throttled atomic.Int64
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				verify := w.VerifyCode
				if i%2 == 0 {
					verify = w.VerifyRecoveryCode
				}
				switch _, err := verify(ctx, owner, "aaaa-aaaa-aaaa"); {
				case errors.Is(err, idp.ErrFactor):
					evaluated.Add(1)
				case errors.Is(err, idp.ErrThrottled):
					throttled.Add(1)
				}
			})
		}
		wg.Wait()
		require.EqualValues(t, 20, evaluated.Load())
		require.EqualValues(t, 80, throttled.Load())
		require.Equal(t, 1, warnings(w), "the owner is told once")
		_, err := w.VerifyCode(ctx, owner, code(t, e, w.now()))
		var wait *users.ThrottledError
		require.ErrorAs(t, err, &wait, "the right one as well")
		require.Equal(t, time.Hour, wait.RetryAfter())
		require.Zero(t, warnings(w))
		_, err = w.VerifyCode(ctx, w.bob, "123456")
		require.ErrorIs(t, err, idp.ErrFactor, "others are not held up")
		w.pass(time.Hour)
		for range 3 {
			_, err = w.VerifyCode(ctx, w.alice, code(t, e, w.now()))
			require.NoError(t, err)
			for range 19 {
				_, err := w.VerifyCode(ctx, w.alice, "nonsense")
				require.ErrorIs(t, err, idp.ErrFactor)
			}
			w.pass(30 * time.Second)
		}
		w.pass(24 * time.Hour)
		w.notes.take()
		for range 30 {
			_, err := w.VerifyCode(ctx, owner, "nonsense")
			require.Error(t, err)
		}
		require.Equal(t, 1, warnings(w), "and once the next day")
	})
}

// warnings counts the notices of guessed codes since it was last asked.
func warnings(w *factorWorld) int {
	told := 0
	for _, e := range w.notes.take() {
		for _, m := range e.Mail {
			if m.Kind == idp.MailCodesGuessed {
				told++
			}
		}
	}
	return told
}

// Nothing that opens an account is readable in the database.
func TestSecretsOfFactorsAreNotInTheDatabase(t *testing.T) {
	t.Parallel()
	url := storetest.SQLite(t)
	w := &factorWorld{notes: &notes{}, alice: idp.User{ID: "u-alice", Username: "alice"}}
	w.store = storetest.Migrated(t, store.Config{URL: url, Now: w.now})
	w.Factors = newFactors(t, w, "https://id.example.com", nil)
	require.NoError(t, w.store.CreateUser(t.Context(), w.alice))
	e := w.enrol(t, w.alice)
	codes, err := w.MakeRecoveryCodes(t.Context(), w.alice)
	require.NoError(t, err)
	_, err = w.VerifyRecoveryCode(t.Context(), w.alice, codes[0].Reveal())
	require.NoError(t, err)
	w.store.Close() // writes the log back into the file
	file, err := os.ReadFile(strings.TrimPrefix(url, "sqlite:"))
	require.NoError(t, err)
	raw := string(file)
	require.Contains(t, raw, "u-alice")
	for _, secret := range append(codes, e.Secret, idp.Secret(strings.ReplaceAll(e.Secret.Reveal(), " ", ""))) {
		require.NotContains(t, raw, secret.Reveal())
		require.NotContains(t, raw, strings.ReplaceAll(secret.Reveal(), "-", ""))
	}
	binary, err := base32.StdEncoding.DecodeString(strings.ReplaceAll(e.Secret.Reveal(), " ", ""))
	require.NoError(t, err)
	require.NotContains(t, raw, string(binary))
}

// An outage is never a refusal of what was typed.
func TestOutagesAreNotRefusedCodes(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		e := w.enrol(t, w.alice)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		for _, verify := range []func(context.Context, idp.User, string) (idp.Factor, error){w.VerifyCode, w.VerifyRecoveryCode} {
			_, err := verify(gone, w.alice, code(t, e, w.now()))
			require.ErrorIs(t, err, idp.ErrUnavailable)
			require.NotErrorIs(t, err, idp.ErrFactor)
		}
		require.Empty(t, w.notes.take())
	})
}

// What each call costs in network round trips.
func TestRoundTripsOfFactors(t *testing.T) {
	eachFactorWorld(t, nil, func(t *testing.T, w *factorWorld) {
		e := w.enrol(t, w.alice)
		codes, err := w.MakeRecoveryCodes(t.Context(), w.alice)
		require.NoError(t, err)
		for name, tc := range map[string]struct {
			trips int
			call  func(context.Context) error
		}{
			"Of": {1, func(ctx context.Context) error { _, err := w.Of(ctx, w.alice.ID); return err }},
			"VerifyCode": {4, func(ctx context.Context) error { // take, read, use, give back
				_, err := w.VerifyCode(ctx, w.alice, code(t, e, w.now()))
				return err
			}},
			"VerifyRecoveryCode": {3, func(ctx context.Context) error { // take, use, give back
				_, err := w.VerifyRecoveryCode(ctx, w.alice, codes[0].Reveal())
				return err
			}},
			"MakeRecoveryCodes": {1, func(ctx context.Context) error { _, err := w.MakeRecoveryCodes(ctx, w.bob); return err }},
		} {
			request := &idp.Request{}
			require.NoError(t, tc.call(idp.WithRequest(t.Context(), request)), name)
			require.EqualValues(t, tc.trips, request.RoundTrips.Load(), name)
		}
	})
}
