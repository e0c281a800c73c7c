package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"idp/internal/idp"
)

// settingTokensValidAfter holds the instant before which every token of every
// client is dead, as RFC 3339 text.
const settingTokensValidAfter = "tokens_valid_after"

// settingSignInPolicy holds an idp.SignInPolicy as JSON.
const settingSignInPolicy = "sign_in_policy"

const selectSetting = `SELECT value FROM settings WHERE setting_name = $1`

// Setting returns the value of a setting.
func (s *Store) Setting(ctx context.Context, name string) ([]byte, error) {
	var value []byte
	err := one(ctx, s.port, []any{&value}, selectSetting, name)
	return value, err
}

const insertSetting = `
INSERT INTO settings (setting_name, value, updated_at) VALUES ($1, $2, $3)`

// InsertSetting stores a setting that must not exist yet: idp.ErrConflict if
// it does.
func (s *Store) InsertSetting(ctx context.Context, name string, value []byte) error {
	return s.changeDirectory(ctx, nil, func(q querier) error {
		_, err := q.exec(ctx, insertSetting, name, value, s.now())
		return err
	})
}

const upsertSetting = `
INSERT INTO settings (setting_name, value, updated_at) VALUES ($1, $2, $3)
ON CONFLICT (setting_name) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at`

// SetSetting stores a setting, whether it exists or not.
func (s *Store) SetSetting(ctx context.Context, name string, value []byte, event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		_, err := q.exec(ctx, upsertSetting, name, value, s.now())
		return err
	})
}

const endAllSessions = `
UPDATE sessions SET ended_at = $1 WHERE ended_at IS NULL`

// ChangeTokensValidAfter kills every token of every client that was issued
// before what change makes of the time that holds, and ends every session. It is
// one change after the other; an error of change ends it and is returned. The
// directory merges the time into its clients.
func (s *Store) ChangeTokensValidAfter(ctx context.Context, change func(before time.Time) (time.Time, error), event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		at, err := tokensValidAfter(ctx, q)
		if err != nil {
			return err
		}
		if at, err = change(at); err != nil {
			return err
		}
		at = idp.Instant(at)
		if _, err := q.exec(ctx, upsertSetting, settingTokensValidAfter, []byte(at.Format(time.RFC3339Nano)), s.now()); err != nil {
			return err
		}
		_, err = q.exec(ctx, endAllSessions, idp.Instant(s.now()))
		return err
	})
}

// tokensValidAfter reads what ChangeTokensValidAfter wrote; zero for nothing.
func tokensValidAfter(ctx context.Context, q querier) (time.Time, error) {
	var value []byte
	err := one(ctx, q, []any{&value}, selectSetting, settingTokensValidAfter)
	if errors.Is(err, idp.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	at, err := time.Parse(time.RFC3339Nano, string(value))
	if err != nil {
		return time.Time{}, fmt.Errorf("setting %s: %w", settingTokensValidAfter, err)
	}
	return at.UTC(), nil
}

// ChangeSignInPolicy lets change alter the policy, one change after the other,
// and stores what it returns. Its error ends the change and is returned.
func (s *Store) ChangeSignInPolicy(ctx context.Context, change func(idp.SignInPolicy) (idp.SignInPolicy, error), event idp.Event) error {
	return s.changeDirectory(ctx, []idp.Event{event}, func(q querier) error {
		policy, err := signInPolicy(ctx, q)
		if err != nil {
			return err
		}
		if policy, err = change(policy); err != nil {
			return err
		}
		value, err := json.Marshal(policy)
		if err != nil {
			return err
		}
		_, err = q.exec(ctx, upsertSetting, settingSignInPolicy, value, s.now())
		return err
	})
}

// signInPolicy reads what ChangeSignInPolicy wrote; nil for nothing.
func signInPolicy(ctx context.Context, q querier) (idp.SignInPolicy, error) {
	var value []byte
	switch err := one(ctx, q, []any{&value}, selectSetting, settingSignInPolicy); {
	case errors.Is(err, idp.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var policy idp.SignInPolicy
	if err := json.Unmarshal(value, &policy); err != nil {
		return nil, fmt.Errorf("setting %s: %w", settingSignInPolicy, err)
	}
	return policy, nil
}
