package audit

import (
	"context"
	"log/slog"
	"maps"
	"slices"

	"idp/internal/idp"
)

// Mirror returns the function that writes a committed event to the log, as one
// record with audit=true and stable names, so that a log pipeline can pick the
// audit out. It is meant for the store, which calls it after each commit.
func Mirror(logger *slog.Logger) func(idp.Event) {
	return func(e idp.Event) {
		attrs := make([]slog.Attr, 0, 12)
		attrs = append(attrs,
			slog.Bool("audit", true),
			slog.String("event", string(e.Kind)),
			slog.String("event_id", e.ID.UUID()),
			slog.Time("at", e.At))
		for _, a := range []struct{ name, value string }{
			{"client_id", e.ClientID},
			{"user_id", e.UserID},
			{"session_id", e.SessionID},
			{"grant_id", e.GrantID},
			{"request_id", e.RequestID},
			{"remote_addr", e.RemoteAddr},
		} {
			if a.value != "" {
				attrs = append(attrs, slog.String(a.name, a.value))
			}
		}
		if len(e.Detail) > 0 {
			detail := make([]any, 0, len(e.Detail))
			for _, name := range slices.Sorted(maps.Keys(e.Detail)) {
				detail = append(detail, slog.String(name, e.Detail[name]))
			}
			attrs = append(attrs, slog.Group("detail", detail...))
		}
		logger.LogAttrs(context.Background(), level(e.Kind), "audit", attrs...)
	}
}

// level raises what means that a credential is in the wrong hands.
func level(kind idp.EventKind) slog.Level {
	switch kind {
	case idp.EventCodeReplayed, idp.EventRefreshReplayed, idp.EventRefreshWrongClient, idp.EventRevokeWrongClient:
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}
