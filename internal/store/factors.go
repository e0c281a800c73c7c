package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"idp/internal/idp"
)

// The three kinds share one result: a column that a kind does not have is NULL
// there. The first two branches give every column its type.
const selectFactors = `
SELECT
    p.credential_id, p.passkey_name, p.public_key, p.sign_count, p.aaguid, p.transports, p.user_verified, p.backup_eligible, p.backup_state,
    NULL, NULL, NULL, NULL, p.created_at, p.last_used_at, 0
FROM passkeys p WHERE p.user_id = $1
UNION ALL
SELECT
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
    a.authenticator_id, a.authenticator_name, a.secret_sealed, a.last_step, a.created_at, a.last_used_at, 0
FROM authenticators a WHERE a.user_id = $1
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, count(*)
FROM recovery_codes r WHERE r.user_id = $1 AND r.used_at IS NULL`

// Factors returns what a user can sign in with besides the password, the oldest
// first. Nobody has nothing.
func (s *Store) Factors(ctx context.Context, userID string) (idp.Factors, error) {
	var f idp.Factors
	err := s.port.query(ctx, func(r row) error {
		p, a := idp.Passkey{UserID: userID}, idp.Authenticator{UserID: userID}
		var createdAt, lastUsedAt time.Time
		var codes int64
		if err := r.Scan(&p.ID, &p.Name, &p.PublicKey, &p.SignCount, (*idp.ID)(&p.AAGUID), (*words)(&p.Transports), &p.UserVerified, &p.BackupEligible, &p.BackupState,
			&a.ID, &a.Name, &a.Secret, &a.LastStep, &createdAt, &lastUsedAt, &codes); err != nil {
			return err
		}
		switch {
		case len(p.ID) > 0:
			p.CreatedAt, p.LastUsedAt = createdAt, lastUsedAt
			f.Passkeys = append(f.Passkeys, p)
		case !a.ID.IsZero():
			a.CreatedAt, a.LastUsedAt = createdAt, lastUsedAt
			f.Authenticators = append(f.Authenticators, a)
		default:
			f.RecoveryCodes = int(codes)
		}
		return nil
	}, selectFactors, userID)
	slices.SortFunc(f.Passkeys, func(a, b idp.Passkey) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), slices.Compare(a.ID, b.ID))
	})
	slices.SortFunc(f.Authenticators, func(a, b idp.Authenticator) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), slices.Compare(a.ID[:], b.ID[:]))
	})
	return f, err
}

// spend runs a conditional change that leaves the event's ID in the row it
// changes, and writes the event where that ID is found. A change of nothing is
// idp.ErrAlreadyUsed, and nothing is told.
func (s *Store) spend(ctx context.Context, event idp.Event, change, tell statement) error {
	changed, err := s.port.batch(ctx, []statement{change, tell})
	if err != nil {
		return err
	}
	if changed[0] == 0 {
		return idp.ErrAlreadyUsed
	}
	s.mirror(event)
	return nil
}

const insertEventFrom = `
INSERT INTO audit_events (event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
FROM `

// Authenticators.

const insertAuthenticator = `
INSERT INTO authenticators (user_id, authenticator_id, authenticator_name, secret_sealed, last_step, created_at, last_used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)`

// AddAuthenticator stores an authenticator. One that is there already is
// idp.ErrConflict, a user who is not is idp.ErrNotFound.
func (s *Store) AddAuthenticator(ctx context.Context, a idp.Authenticator, event idp.Event) error {
	return s.write(ctx, []statement{{insertAuthenticator, []any{
		a.UserID, a.ID, a.Name, a.Secret, a.LastStep, s.orNow(a.CreatedAt), a.LastUsedAt,
	}}}, event)
}

const useAuthenticator = `
UPDATE authenticators
SET last_step = $1, last_used_at = $2, last_event_id = $3
WHERE user_id = $4 AND authenticator_id = $5 AND last_step < $1`

const insertEventOfAuthenticator = insertEventFrom + `authenticators WHERE user_id = $12 AND authenticator_id = $13 AND last_event_id = $1`

// UseAuthenticator uses up a time step of an authenticator, and with it those
// before: of all nodes and requests that bring a code of the step one gets nil,
// and the others idp.ErrAlreadyUsed (RFC 6238 section 5.2).
func (s *Store) UseAuthenticator(ctx context.Context, userID string, id idp.ID, step int64, at time.Time, event idp.Event) error {
	event = s.complete(ctx, event)
	return s.spend(ctx, event,
		statement{useAuthenticator, []any{step, s.orNow(at), event.ID, userID, id}},
		statement{insertEventOfAuthenticator, append(eventArgs(event), userID, id)})
}

const renameAuthenticator = `
UPDATE authenticators SET authenticator_name = $1 WHERE user_id = $2 AND authenticator_id = $3`

// RenameAuthenticator gives an authenticator another name.
func (s *Store) RenameAuthenticator(ctx context.Context, userID string, id idp.ID, name string, event idp.Event) error {
	return s.changeOne(ctx, event, renameAuthenticator, name, userID, id)
}

const deleteAuthenticator = `DELETE FROM authenticators WHERE user_id = $1 AND authenticator_id = $2`

// RemoveAuthenticator deletes an authenticator. Sessions and tokens from before
// validAfter die; the zero time keeps them.
func (s *Store) RemoveAuthenticator(ctx context.Context, userID string, id idp.ID, validAfter time.Time, event idp.Event) error {
	return s.removeFactors(ctx, userID, validAfter, event, func(q querier) (bool, error) {
		n, err := q.exec(ctx, deleteAuthenticator, userID, id)
		return true, expect(n, err, idp.ErrNotFound)
	})
}

// Recovery codes.

const upsertRecoveryCode = `
INSERT INTO recovery_codes (user_id, slot, code_hash, created_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (user_id, slot) DO UPDATE
SET code_hash = excluded.code_hash, created_at = excluded.created_at, used_at = NULL, last_event_id = NULL`

const deleteFurtherRecoveryCodes = `DELETE FROM recovery_codes WHERE user_id = $1 AND slot >= $2`

// ReplaceRecoveryCodes stores the hashes of a new list. The codes from before
// are worth nothing any more, used or not.
func (s *Store) ReplaceRecoveryCodes(ctx context.Context, userID string, hashes []string, at time.Time, event idp.Event) error {
	statements := make([]statement, 0, len(hashes)+2)
	for slot, hash := range hashes {
		statements = append(statements, statement{upsertRecoveryCode, []any{userID, slot, hash, s.orNow(at)}})
	}
	statements = append(statements, statement{deleteFurtherRecoveryCodes, []any{userID, len(hashes)}})
	return s.write(ctx, statements, event)
}

const useRecoveryCode = `
UPDATE recovery_codes
SET used_at = $1, last_event_id = $2
WHERE user_id = $3 AND code_hash = $4 AND used_at IS NULL`

const insertEventOfRecoveryCode = insertEventFrom + `recovery_codes WHERE user_id = $12 AND code_hash = $13 AND last_event_id = $1`

// UseRecoveryCode uses up a recovery code: of all nodes and requests that bring
// it one gets nil, and the others idp.ErrAlreadyUsed, which is also the answer
// to a code that never was.
func (s *Store) UseRecoveryCode(ctx context.Context, userID, hash string, at time.Time, event idp.Event) error {
	event = s.complete(ctx, event)
	return s.spend(ctx, event,
		statement{useRecoveryCode, []any{s.orNow(at), event.ID, userID, hash}},
		statement{insertEventOfRecoveryCode, append(eventArgs(event), userID, hash)})
}

// Passkeys.

const upsertUserHandle = `
INSERT INTO user_handles (user_id, user_handle)
VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET user_handle = user_handles.user_handle
RETURNING user_handle`

// UserHandle returns the name under which authenticators know a user. It is the
// fresh one for somebody who had none, and stays for ever.
func (s *Store) UserHandle(ctx context.Context, userID string, fresh []byte) ([]byte, error) {
	var handle []byte
	err := one(ctx, s.port, []any{&handle}, upsertUserHandle, userID, fresh)
	return handle, err
}

const selectPasskey = `
SELECT
    p.credential_id, p.user_id, p.passkey_name, p.public_key, p.sign_count, p.aaguid, p.transports, p.user_verified, p.backup_eligible, p.backup_state,
    p.created_at, p.last_used_at, h.user_handle,
    ` + userColumns + `
FROM passkeys p
JOIN users u ON u.user_id = p.user_id
LEFT JOIN user_handles h ON h.user_id = p.user_id
WHERE p.credential_id = $1`

// PasskeyState returns a passkey and whose it is.
func (s *Store) PasskeyState(ctx context.Context, credentialID []byte) (idp.PasskeyState, error) {
	var state idp.PasskeyState
	p := &state.Passkey
	dests := []any{
		&p.ID, &p.UserID, &p.Name, &p.PublicKey, &p.SignCount, (*idp.ID)(&p.AAGUID), (*words)(&p.Transports), &p.UserVerified, &p.BackupEligible, &p.BackupState,
		&p.CreatedAt, &p.LastUsedAt, &state.Handle,
	}
	err := one(ctx, s.port, append(dests, userDests(&state.User)...), selectPasskey, credentialID)
	return state, err
}

// challengeHash tells challenges from what clients sign, which shares their
// table: no client_id is empty.
func challengeHash(c idp.Challenge) []byte {
	hash := sha256.Sum256([]byte("\x00webauthn\x00" + c.Value))
	return hash[:]
}

const insertPasskey = `
INSERT INTO passkeys (
    credential_id, user_id, passkey_name, public_key, sign_count, aaguid, transports, user_verified, backup_eligible, backup_state, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`

// AddPasskey stores a passkey and uses up the challenge of its registration:
// idp.ErrAlreadyUsed when that was used before, idp.ErrConflict when anybody has
// this credential (Web Authentication Level 3 section 7.1 step 26),
// idp.ErrNotFound when the user is gone.
func (s *Store) AddPasskey(ctx context.Context, p idp.Passkey, c idp.Challenge, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		return true, s.addPasskey(ctx, q, p, c)
	})
}

func (s *Store) addPasskey(ctx context.Context, q querier, p idp.Passkey, c idp.Challenge) error {
	if err := checkWords("transports", p.Transports); err != nil {
		return err
	}
	n, err := q.exec(ctx, insertAssertion, idp.DayOf(c.ExpiresAt), challengeHash(c))
	if err := expect(n, err, idp.ErrAlreadyUsed); err != nil {
		return err
	}
	_, err = q.exec(ctx, insertPasskey, p.ID, p.UserID, p.Name, p.PublicKey, p.SignCount, idp.ID(p.AAGUID), words(p.Transports),
		p.UserVerified, p.BackupEligible, p.BackupState, s.orNow(p.CreatedAt))
	return err
}

const insertChallenge = `INSERT INTO assertions (expires_on, assertion_hash) VALUES ($1, $2)`

// A counter of 0 on both sides belongs to an authenticator that does not count
// (Web Authentication Level 3 section 6.1.1).
const usePasskey = `
UPDATE passkeys
SET sign_count = $1, user_verified = user_verified OR $2, backup_state = $3, last_used_at = $4, last_event_id = $5
WHERE credential_id = $6 AND user_id = $7 AND (sign_count < $1 OR sign_count = 0 AND $8)`

const insertEventOfPasskey = insertEventFrom + `passkeys WHERE credential_id = $12 AND last_event_id = $1`

// UsePasskey stores what a signature of a passkey says and uses up its
// challenge. It is idp.ErrAlreadyUsed when the challenge was used before, and
// idp.ErrConflict, with the challenge used up, when the counter did not advance
// or the passkey is gone: somebody may have a copy of it.
func (s *Store) UsePasskey(ctx context.Context, u idp.PasskeyUse, c idp.Challenge, event idp.Event) error {
	event = s.complete(ctx, event)
	changed, err := s.port.batch(ctx, []statement{
		// Without ON CONFLICT: that it is taken ends the transaction, so that
		// the rest needs no answer in between.
		{insertChallenge, []any{idp.DayOf(c.ExpiresAt), challengeHash(c)}},
		{usePasskey, []any{u.SignCount, u.UserVerified, u.BackupState, s.orNow(u.At), event.ID, u.CredentialID, u.UserID, u.SignCount == 0}},
		{insertEventOfPasskey, append(eventArgs(event), u.CredentialID)},
	})
	switch {
	case errors.Is(err, idp.ErrConflict):
		return idp.ErrAlreadyUsed
	case err != nil:
		return err
	case changed[1] == 0:
		return idp.ErrConflict
	}
	s.mirror(event)
	return nil
}

const renamePasskey = `UPDATE passkeys SET passkey_name = $1 WHERE user_id = $2 AND credential_id = $3`

// RenamePasskey gives a passkey another name.
func (s *Store) RenamePasskey(ctx context.Context, userID string, credentialID []byte, name string, event idp.Event) error {
	return s.changeOne(ctx, event, renamePasskey, name, userID, credentialID)
}

const deletePasskey = `DELETE FROM passkeys WHERE user_id = $1 AND credential_id = $2`

// RemovePasskey deletes a passkey. Sessions and tokens from before validAfter
// die; the zero time keeps them.
func (s *Store) RemovePasskey(ctx context.Context, userID string, credentialID []byte, validAfter time.Time, event idp.Event) error {
	return s.removeFactors(ctx, userID, validAfter, event, func(q querier) (bool, error) {
		n, err := q.exec(ctx, deletePasskey, userID, credentialID)
		return true, expect(n, err, idp.ErrNotFound)
	})
}

// All of them.

const (
	deletePasskeys       = `DELETE FROM passkeys WHERE user_id = $1`
	deleteAuthenticators = `DELETE FROM authenticators WHERE user_id = $1`
	deleteRecoveryCodes  = `DELETE FROM recovery_codes WHERE user_id = $1`
)

// RemoveFactors deletes all that the user can sign in with besides the
// password. Sessions and tokens from before validAfter die, whether there was
// anything or not; the zero time keeps them.
func (s *Store) RemoveFactors(ctx context.Context, userID string, validAfter time.Time, event idp.Event) error {
	return s.removeFactors(ctx, userID, validAfter, event, func(q querier) (bool, error) {
		for _, sql := range []string{deletePasskeys, deleteAuthenticators, deleteRecoveryCodes} {
			if _, err := q.exec(ctx, sql, userID); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

const setTokensValidAfterOfUser = `UPDATE users SET tokens_valid_after = $1 WHERE user_id = $2`

func (s *Store) removeFactors(ctx context.Context, userID string, validAfter time.Time, event idp.Event, remove func(querier) (bool, error)) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		if !validAfter.IsZero() {
			n, err := q.exec(ctx, setTokensValidAfterOfUser, idp.Instant(validAfter), userID)
			if err := expect(n, err, idp.ErrNotFound); err != nil {
				return false, err
			}
		}
		return remove(q)
	})
}

// changeOne runs a statement that changes one row, and tells of it.
func (s *Store) changeOne(ctx context.Context, event idp.Event, sql string, args ...any) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, sql, args...)
		return true, expect(n, err, idp.ErrNotFound)
	})
}
