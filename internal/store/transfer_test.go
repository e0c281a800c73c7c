package store_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

// A row of every table that goes from one installation to another, as Export
// writes it.
var transferred = []struct{ table, row string }{
	{"resources", `{"audience":"https://api.example","metadata":{"name":"A <b> & c"},"created_at":"2026-01-02T03:04:05.000006Z","updated_at":"2026-01-02T03:04:05Z"}`},
	{"groups", `{"group_name":"staff","description":"all","created_at":"2026-01-02T03:04:05Z"}`},
	{"roles", `{"role_name":"clerk","description":""}`},
	{"role_scopes", `{"role_name":"clerk","audience":"https://api.example","scope":"orders:read"}`},
	{"role_groups", `{"role_name":"clerk","group_name":"staff"}`},
	{"users", `{"user_id":"u","username":"Zoë","username_key":"zoë","password_hash":"","state":"active","profile":{"name":"Zoë"},"tokens_valid_after":"2026-01-02T03:04:05Z","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","password_changed_at":null,"preferences":{},"attributes":{"desk":"7"},"picture_id":"AQIDAAAAAAAAAAAAAAAAAA","deletion_requested_at":null,"deletion_due_at":null}`},
	{"email_addresses", `{"user_id":"u","address_key":"zoe@example.com","address":"Zoe@example.com","is_primary":true,"verified_at":"2026-01-02T03:04:05Z","created_at":"2026-01-02T03:04:05Z"}`},
	{"user_handles", `{"user_id":"u","user_handle":"AQID"}`},
	{"passkeys", `{"credential_id":"AQID","user_id":"u","passkey_name":"Key","public_key":"BAUG","sign_count":7,"aaguid":null,"transports":"usb nfc","user_verified":true,"backup_eligible":false,"backup_state":false,"created_at":"2026-01-02T03:04:05Z","last_used_at":null,"last_event_id":"AQIDAAAAAAAAAAAAAAAAAA"}`},
	{"authenticators", `{"user_id":"u","authenticator_id":"AQIDAAAAAAAAAAAAAAAAAA","authenticator_name":"Phone","secret_sealed":"AQID","last_step":58000000,"created_at":"2026-01-02T03:04:05Z","last_used_at":null,"last_event_id":null}`},
	{"recovery_codes", `{"user_id":"u","slot":0,"code_hash":"x","created_at":"2026-01-02T03:04:05Z","used_at":null,"last_event_id":null}`},
	{"user_pictures", `{"picture_id":"AQIDAAAAAAAAAAAAAAAAAA","user_id":"u","content_type":"image/png","body":"AQID","created_at":"2026-01-02T03:04:05Z"}`},
	{"group_members", `{"user_id":"u","group_name":"staff"}`},
	{"user_roles", `{"user_id":"u","role_name":"clerk"}`},
	{"clients", `{"client_id":"c","metadata":{"token_endpoint_auth_method":"none","grant_types":["authorization_code"]},"disabled":true,"tokens_valid_after":null,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`},
	{"client_secrets", `{"secret_id":"AQIDAAAAAAAAAAAAAAAAAA","client_id":"c","secret_hash":"h","created_at":"2026-01-02T03:04:05Z","expires_at":null,"secret_sealed":null}`},
	{"client_logos", `{"client_id":"c","hash":"h","content_type":"image/png","body":"AQID","created_at":"2026-01-02T03:04:05Z"}`},
	{"client_registrations", `{"client_id":"c","registration_id":"AQIDAAAAAAAAAAAAAAAAAA","salt":"AQID","generation":2,"token_id":null,"created_at":"2026-01-02T03:04:05Z","last_used_at":"2026-01-02T03:04:05Z"}`},
	{"consents", `{"user_id":"u","client_id":"c","scopes":"openid","resources":"","redirect_origins":"","remembered":true,"granted_at":"2026-01-02T03:04:05Z","withdrawn_at":null,"last_event_id":"AQIDAAAAAAAAAAAAAAAAAA"}`},
	{"settings", `{"setting_name":"tokens_valid_after","value":"MjAyNi0wMS0wMlQwMzowNDowNVo=","updated_at":"2026-01-02T03:04:05Z"}`},
}

// TestImportIsExport stores a row of every table and reads the same back; twice
// is a conflict at the first line, and a rehearsal keeps nothing.
func TestImportIsExport(t *testing.T) {
	t.Parallel()
	storetest.Engines(t, func(t *testing.T, url func(*testing.T) string) {
		s := storetest.Migrated(t, store.Config{URL: url(t), Now: time.Now})
		var rows []store.TransferRow
		for n, r := range transferred {
			rows = append(rows, store.TransferRow{Line: n + 2, Table: r.table, Row: json.RawMessage(r.row)})
		}
		event := idp.Event{Kind: idp.EventImported}
		require.NoError(t, s.Import(t.Context(), rows, true, event))
		none, err := s.Export(t.Context())
		require.NoError(t, err)
		require.Empty(t, none)
		require.NoError(t, s.Import(t.Context(), rows, false, event))
		directory, err := s.LoadDirectory(t.Context())
		require.NoError(t, err)
		require.Len(t, directory.Clients(), 1)

		got, err := s.Export(t.Context())
		require.NoError(t, err)
		require.Len(t, got, len(rows))
		for n, r := range transferred {
			require.Equal(t, r.table, got[n].Table)
			require.JSONEq(t, r.row, string(got[n].Row), r.table)
		}
		err = s.Import(t.Context(), rows, false, event)
		refused, ok := errors.AsType[*store.TransferError](err)
		require.True(t, ok, err)
		require.Equal(t, 2, refused.Line)
		require.ErrorIs(t, err, idp.ErrConflict)
		events, err := s.Events(t.Context(), idp.ID{}, 10)
		require.NoError(t, err)
		require.Len(t, events, 1)
	})
}
