package users

// Recovery codes: a list that a person keeps for the day when the other second
// factors are lost (NIST SP 800-63B section 3.1.2).

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"idp/internal/idp"
)

// RecoveryCodeStore keeps the hashes of recovery codes. Implemented by
// *store.Store.
type RecoveryCodeStore interface {
	ReplaceRecoveryCodes(ctx context.Context, userID string, hashes []string, at time.Time, event idp.Event) error
	UseRecoveryCode(ctx context.Context, userID, hash string, at time.Time, event idp.Event) error
}

const (
	recoveryCodes = 10
	// recoveryAlphabet has no two letters that look alike in some font, in
	// either case: twelve of it are 53 random bits.
	recoveryAlphabet = "3467acdefghjkmnprtvwxy"
	recoveryLength   = 12
)

// MakeRecoveryCodes gives the person ten new codes, to be shown once; those
// from before are worth nothing any more. Only keyed hashes are stored.
func (f *Factors) MakeRecoveryCodes(ctx context.Context, user idp.User) ([]idp.Secret, error) {
	codes, hashes := make([]idp.Secret, recoveryCodes), make([]string, recoveryCodes)
	for i := range codes {
		code := newRecoveryCode()
		codes[i], hashes[i] = idp.Secret(inGroups(code, "-")), f.vault.HashRecoveryCode(user.ID, code)
	}
	event := f.telling(ctx, f.event(idp.EventFactorAdded, user.ID, idp.FactorRecoveryCode), user, idp.MailFactorRecoveryCodes, idp.MailFactorAdded)
	if err := f.store.ReplaceRecoveryCodes(ctx, user.ID, hashes, f.now(), event); err != nil {
		return nil, fmt.Errorf("users: make recovery codes: %w", err)
	}
	return codes, nil
}

func newRecoveryCode() string {
	// Bytes from the incomplete last turn round the alphabet would make some
	// letters likelier.
	const fair = 256 / len(recoveryAlphabet) * len(recoveryAlphabet)
	code := make([]byte, 0, recoveryLength)
	for random := make([]byte, 2*recoveryLength); len(code) < recoveryLength; {
		fillRandom(random)
		for _, b := range random {
			if int(b) < fair && len(code) < recoveryLength {
				code = append(code, recoveryAlphabet[int(b)%len(recoveryAlphabet)])
			}
		}
	}
	return string(code)
}

// VerifyRecoveryCode checks a recovery code that somebody typed who is in the
// middle of signing in as the user, and uses it up; case, spaces and dashes do
// not matter. The answer is idp.FactorRecoveryCode. Of(…).RecoveryCodes says
// how many are left.
//
// Errors are those of VerifyCode, and both share their attempts.
func (f *Factors) VerifyRecoveryCode(ctx context.Context, user idp.User, code string) (idp.Factor, error) {
	if err := f.attempt(ctx, user, idp.FactorRecoveryCode); err != nil {
		return "", err
	}
	code = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || unicode.Is(unicode.Pd, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, code)
	if len(code) != recoveryLength || strings.Trim(code, recoveryAlphabet) != "" {
		return "", f.refuse(ctx, user.ID, idp.FactorRecoveryCode, reasonWrongCode)
	}
	err := f.store.UseRecoveryCode(ctx, user.ID, f.vault.HashRecoveryCode(user.ID, code), f.now(),
		f.event(idp.EventFactorUsed, user.ID, idp.FactorRecoveryCode))
	switch {
	case errors.Is(err, idp.ErrAlreadyUsed):
		return "", f.refuse(ctx, user.ID, idp.FactorRecoveryCode, reasonWrongCode)
	case err != nil:
		return "", fmt.Errorf("users: verify a recovery code: %w", err)
	}
	f.accepted(ctx, user.ID)
	return idp.FactorRecoveryCode, nil
}
