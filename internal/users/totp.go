package users

// Authenticators: apps that show time-based codes (RFC 6238), six digits that
// change every 30 seconds.

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/boombuler/barcode/qr"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"idp/internal/idp"
)

// AuthenticatorStore keeps authenticators. Implemented by *store.Store.
type AuthenticatorStore interface {
	AddAuthenticator(ctx context.Context, a idp.Authenticator, event idp.Event) error
	UseAuthenticator(ctx context.Context, userID string, id idp.ID, step int64, at time.Time, event idp.Event) error
	RenameAuthenticator(ctx context.Context, userID string, id idp.ID, name string, event idp.Event) error
	RemoveAuthenticator(ctx context.Context, userID string, id idp.ID, validAfter time.Time, event idp.Event) error
}

const (
	totpPeriod = 30 // seconds
	totpDigits = 6
	totpSkew   = 1  // steps before and after the current one whose codes are accepted
	totpSecret = 20 // bytes: what RFC 4226 section 4 recommends

	enrolmentLifetime = 30 * time.Minute
	maxAuthenticators = 10
	authenticatorName = "Authenticator app"
)

// enrolment is the sealed state between showing a secret and the first code.
type enrolment struct {
	ID     idp.ID    `json:"i"`
	Secret []byte    `json:"s"`
	Until  time.Time `json:"u"`
}

func enrolmentPlace(userID string) string { return "enrolment|" + userID }

// AuthenticatorPlace ties a sealed secret to its row.
func AuthenticatorPlace(userID string, id idp.ID) string {
	return "authenticators|" + userID + "|" + id.String()
}

// BeginAuthenticator makes a secret for one more authenticator of the person.
func (f *Factors) BeginAuthenticator(user idp.User) (idp.Enrolment, error) {
	e := enrolment{ID: newID(f.now()), Secret: make([]byte, totpSecret), Until: f.now().Add(enrolmentLifetime)}
	fillRandom(e.Secret)
	sealed, err := f.seal(enrolmentPlace(user.ID), e)
	if err != nil {
		return idp.Enrolment{}, fmt.Errorf("users: set up an authenticator: %w", err)
	}
	return f.show(user, e, sealed)
}

// ResumeAuthenticator shows the same secret again, after a code that was wrong.
// Errors: idp.ErrMalformed for what BeginAuthenticator did not make for this
// person, idp.ErrExpired after half an hour.
func (f *Factors) ResumeAuthenticator(user idp.User, sealed string) (idp.Enrolment, error) {
	e, err := f.enrolment(user.ID, sealed)
	if err != nil {
		return idp.Enrolment{}, err
	}
	return f.show(user, e, sealed)
}

func (f *Factors) enrolment(userID, sealed string) (enrolment, error) {
	var e enrolment
	if err := f.open(enrolmentPlace(userID), sealed, &e); err != nil {
		return enrolment{}, err
	}
	if !f.now().Before(e.Until) {
		return enrolment{}, fmt.Errorf("users: set up an authenticator: %w", idp.ErrExpired)
	}
	return e, nil
}

func (f *Factors) show(user idp.User, e enrolment, sealed string) (idp.Enrolment, error) {
	// A colon would end the issuer's part of the label.
	name := strings.NewReplacer(":", " ").Replace(f.name)
	key, err := totp.Generate(totp.GenerateOpts{Issuer: name, AccountName: user.Username, Secret: e.Secret})
	if err != nil {
		return idp.Enrolment{}, fmt.Errorf("users: set up an authenticator: %w", err)
	}
	code, err := drawQR(key.URL())
	if err != nil {
		return idp.Enrolment{}, fmt.Errorf("users: set up an authenticator: %w", err)
	}
	return idp.Enrolment{Sealed: sealed, Secret: idp.Secret(inGroups(key.Secret(), " ")), URL: idp.Secret(key.URL()), QR: code}, nil
}

// ConfirmAuthenticator stores the authenticator when the code is one that it
// shows now. The code is used up by that. An empty name gets one.
//
// Errors: idp.ErrFactor for a wrong code (show the form again with
// ResumeAuthenticator), idp.ErrMalformed and idp.ErrExpired as in
// ResumeAuthenticator, idp.ErrConflict when the form was sent twice and the
// authenticator is there, *idp.InvalidError that names "name", or
// "authenticators" when there are too many.
func (f *Factors) ConfirmAuthenticator(ctx context.Context, user idp.User, sealed, name, code string) (idp.Authenticator, error) {
	e, err := f.enrolment(user.ID, sealed)
	if err != nil {
		return idp.Authenticator{}, err
	}
	if name, err = checkFactorName(name, authenticatorName); err != nil {
		return idp.Authenticator{}, err
	}
	now := f.now()
	step, ok := matchTOTP(e.Secret, code, now)
	if !ok {
		return idp.Authenticator{}, idp.ErrFactor
	}
	has, err := f.Of(ctx, user.ID)
	if err != nil {
		return idp.Authenticator{}, err
	}
	if len(has.Authenticators) >= maxAuthenticators {
		return idp.Authenticator{}, idp.Invalid("authenticators", fmt.Sprintf("are %d already", maxAuthenticators))
	}
	a := idp.Authenticator{ID: e.ID, UserID: user.ID, Name: name, LastStep: step, CreatedAt: now}
	if a.Secret, err = f.vault.SealFactor(AuthenticatorPlace(user.ID, e.ID), e.Secret); err != nil {
		return idp.Authenticator{}, fmt.Errorf("users: set up an authenticator: %w", err)
	}
	event := f.telling(ctx, f.authenticatorEvent(idp.EventFactorAdded, user.ID, e.ID), user, idp.MailFactorAuthenticator, idp.MailFactorAdded)
	if err := f.store.AddAuthenticator(ctx, a, event); err != nil {
		return idp.Authenticator{}, fmt.Errorf("users: set up an authenticator: %w", err)
	}
	return a, nil
}

// minTOTPSecret is the least that RFC 4226 section 4 allows, in bytes.
const minTOTPSecret = 16

// ImportAuthenticator stores an authenticator of another system, of which the
// person has the other half already: SHA-1, six digits, 30 seconds. Nobody is
// told, as nothing changes for the person. Of the config it takes Store, Vault
// and Now. An *idp.InvalidError names "authenticators".
func ImportAuthenticator(ctx context.Context, cfg FactorsConfig, user idp.User, name string, secret []byte) error {
	f := Factors{now: func() time.Time { return idp.Instant(cfg.Now()) }}
	name, err := checkFactorName(name, authenticatorName)
	if err != nil {
		name = authenticatorName
	}
	if len(secret) < minTOTPSecret || len(secret) > maxPassword {
		return idp.Invalid("authenticators", fmt.Sprintf("the secret has fewer than %d bytes, or far too many", minTOTPSecret))
	}
	now := f.now()
	a := idp.Authenticator{ID: newID(now), UserID: user.ID, Name: name, CreatedAt: now}
	if a.Secret, err = cfg.Vault.SealFactor(AuthenticatorPlace(user.ID, a.ID), secret); err != nil {
		return fmt.Errorf("users: import an authenticator: %w", err)
	}
	if err := cfg.Store.AddAuthenticator(ctx, a, f.authenticatorEvent(idp.EventFactorAdded, user.ID, a.ID)); err != nil {
		return fmt.Errorf("users: import an authenticator: %w", err)
	}
	return nil
}

func (f *Factors) authenticatorEvent(kind idp.EventKind, userID string, id idp.ID) idp.Event {
	e := f.event(kind, userID, idp.FactorTOTP)
	e.Detail[detailTarget] = id.String()
	return e
}

// RenameAuthenticator gives an authenticator another name: idp.ErrNotFound when
// the person has no such one, *idp.InvalidError for a name that is none.
func (f *Factors) RenameAuthenticator(ctx context.Context, userID string, id idp.ID, name string) error {
	name, err := checkFactorName(name, authenticatorName)
	if err != nil {
		return err
	}
	if err := f.store.RenameAuthenticator(ctx, userID, id, name, f.authenticatorEvent(idp.EventFactorChanged, userID, id)); err != nil {
		return fmt.Errorf("users: rename an authenticator: %w", err)
	}
	return nil
}

// RemoveAuthenticator takes an authenticator away: idp.ErrNotFound when the
// person has no such one. Sessions and tokens from before validAfter die; the
// zero time keeps them.
func (f *Factors) RemoveAuthenticator(ctx context.Context, user idp.User, id idp.ID, validAfter time.Time) error {
	event := f.telling(ctx, f.authenticatorEvent(idp.EventFactorRemoved, user.ID, id), user, idp.MailFactorAuthenticator, idp.MailFactorRemoved)
	if err := f.store.RemoveAuthenticator(ctx, user.ID, id, validAfter, event); err != nil {
		return fmt.Errorf("users: remove an authenticator: %w", err)
	}
	return nil
}

// VerifyCode checks a code that somebody typed who is in the middle of signing
// in as the user, and uses it up. The answer is idp.FactorTOTP.
//
// Errors: idp.ErrFactor for a code that no authenticator of the person shows
// now, or that was used before; *ThrottledError after too many of those,
// whatever the code; idp.ErrUnavailable.
func (f *Factors) VerifyCode(ctx context.Context, user idp.User, code string) (idp.Factor, error) {
	// 1. Take an attempt before anything is evaluated.
	if err := f.attempt(ctx, user, idp.FactorTOTP); err != nil {
		return "", err
	}

	// 2. Look which authenticator shows it.
	has, err := f.Of(ctx, user.ID)
	if err != nil {
		return "", err
	}
	if len(has.Authenticators) == 0 {
		return "", f.refuse(ctx, user.ID, idp.FactorTOTP, reasonNotSetUp)
	}
	now := f.now()
	var match *idp.Authenticator
	var step int64
	for i := range has.Authenticators {
		a := &has.Authenticators[i]
		secret, err := f.vault.OpenFactor(AuthenticatorPlace(user.ID, a.ID), a.Secret)
		if err != nil {
			return "", fmt.Errorf("users: secret of authenticator %s: %w", a.ID, err)
		}
		if s, ok := matchTOTP(secret, code, now); ok {
			match, step = a, s
		}
	}
	if match == nil {
		return "", f.refuse(ctx, user.ID, idp.FactorTOTP, reasonWrongCode)
	}

	// 3. Use the step up: here the race is decided (RFC 6238 section 5.2).
	err = f.store.UseAuthenticator(ctx, user.ID, match.ID, step, now, f.authenticatorEvent(idp.EventFactorUsed, user.ID, match.ID))
	switch {
	case errors.Is(err, idp.ErrAlreadyUsed):
		return "", f.refuse(ctx, user.ID, idp.FactorTOTP, reasonReplayed)
	case err != nil:
		return "", fmt.Errorf("users: verify a code: %w", err)
	}
	f.accepted(ctx, user.ID)
	return idp.FactorTOTP, nil
}

// matchTOTP returns the time step of which the code is, if it is one of those
// accepted at now. It takes the same time for every code of six digits.
func matchTOTP(secret []byte, code string, now time.Time) (step int64, ok bool) {
	digits := strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, code)
	text := base32.StdEncoding.EncodeToString(secret)
	current := now.Unix() / totpPeriod
	for s := max(0, current-totpSkew); s <= current+totpSkew; s++ {
		want, err := hotp.GenerateCode(text, uint64(s))
		if err == nil && subtle.ConstantTimeCompare([]byte(want), []byte(digits)) == 1 {
			step, ok = s, true
		}
	}
	return step, ok && len(digits) == totpDigits
}

// quietZone is how much white a QR code has around it, in modules.
const quietZone = 4

// drawQR draws each row's dark runs as rectangles of one path.
func drawQR(text string) (idp.QR, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err != nil {
		return idp.QR{}, err
	}
	side := code.Bounds().Dx()
	dark := func(x, y int) bool {
		r, _, _, _ := code.At(x, y).RGBA()
		return r == 0
	}
	var path strings.Builder
	for y := range side {
		for x := 0; x < side; x++ {
			from := x
			for x < side && dark(x, y) {
				x++
			}
			if x > from {
				fmt.Fprintf(&path, "M%d %dh%dv1h-%dz", from+quietZone, y+quietZone, x-from, x-from)
			}
		}
	}
	return idp.QR{Size: side + 2*quietZone, Path: path.String()}, nil
}

// inGroups writes text in groups of four.
func inGroups(text, between string) string {
	var groups []string
	for ; len(text) > 4; text = text[4:] {
		groups = append(groups, text[:4])
	}
	return strings.Join(append(groups, text), between)
}

// fillRandom fills b with random bytes.
func fillRandom(b []byte) { _, _ = rand.Read(b) } // never fails: crypto/rand
