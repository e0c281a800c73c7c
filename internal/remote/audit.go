package remote

import (
	"context"
	"strings"
	"time"

	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

type event struct {
	ID         string            `json:"event_id"`
	At         time.Time         `json:"at"`
	Kind       idp.EventKind     `json:"kind"`
	ClientID   string            `json:"client_id"`
	UserID     string            `json:"user_id"`
	SessionID  string            `json:"session_id"`
	GrantID    string            `json:"grant_id"`
	RequestID  string            `json:"request_id"`
	RemoteAddr string            `json:"remote_addr"`
	Detail     map[string]string `json:"detail"`
}

// Events calls use with what is asked for, until there is no more or use says
// that it is enough.
func (s *Service) Events(ctx context.Context, q idp.EventQuery, use func(idp.Event) (more bool, err error)) error {
	params := adminclient.ListAuditEventsParams{
		Kind: given(strings.Join(q.Kinds, " ")), ClientID: given(q.ClientID), UserID: given(q.UserID), RemoteAddr: given(q.RemoteAddr),
		RequestID: given(q.RequestID), Actor: given(q.Actor), Refused: q.Refused,
	}
	if !q.Since.IsZero() {
		params.Since = &q.Since
	}
	if !q.Until.IsZero() {
		params.Until = &q.Until
	}
	if !q.After.IsZero() {
		params.After = new(q.After.UUID())
	}
	if q.Forward {
		params.OldestFirst = &q.Forward
	}
	for {
		var part []event
		header, err := answer(&part)(s.api.ListAuditEvents(ctx, &params))
		if err != nil {
			return err
		}
		for _, e := range part {
			id, err := idp.ParseUUID(e.ID)
			if err != nil {
				return err
			}
			more, err := use(idp.Event{
				ID: id, At: e.At, Kind: e.Kind, ClientID: e.ClientID, UserID: e.UserID, SessionID: e.SessionID, GrantID: e.GrantID,
				RequestID: e.RequestID, RemoteAddr: e.RemoteAddr, Detail: e.Detail,
			})
			if err != nil || !more {
				return err
			}
		}
		if params.PageToken = nextPage(header); params.PageToken == nil {
			return nil
		}
	}
}

// given is nil for nothing.
func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
