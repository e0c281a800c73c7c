package store

import (
	"context"

	"idp/internal/idp"
)

// What the tests of this package look into.

// LookUps are the statements that find something by a handle, with the table
// whose partition they must choose, and their arguments for one day.
func LookUps(day idp.Day, id idp.ID) []LookUp {
	h := []any{lineBreak, day, id}
	return []LookUp{
		{"grants", selectGrantState, h},
		{"grants", redeemCode, []any{day.Time(), 1, day.Time(), day.Time(), id, day, id}},
		{"grants", rotateRefresh, []any{2, day.Time(), day.Time(), id, day, id, 1}},
		{"grants", revokeGrant, []any{day.Time(), "test", id, day, id}},
		{"access_tokens", selectAccessTokenState, h},
		{"revoked_tokens", selectAccessTokenState, h},
		{"revoked_tokens", selectRevokedToken, []any{day, id}},
		{"pushed_requests", selectPushedRequest, []any{day, id}},
		{"pushed_requests", usePushedRequest, []any{day.Time(), id, day, id}},
	}
}

// LookUp is one of LookUps.
type LookUp struct {
	Table string
	SQL   string
	Args  []any
}

// Strings runs a query with one text column.
func (s *Store) Strings(ctx context.Context, sql string, args ...any) ([]string, error) {
	var out []string
	err := s.port.query(ctx, func(r row) error {
		var line string
		if err := r.Scan(&line); err != nil {
			return err
		}
		out = append(out, line)
		return nil
	}, sql, args...)
	return out, err
}

// Exec runs a statement.
func (s *Store) Exec(ctx context.Context, sql string, args ...any) (int64, error) {
	return s.port.exec(ctx, sql, args...)
}
