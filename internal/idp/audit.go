package idp

import (
	"strings"
	"time"
)

// AuditRow is an event as it lies in the database, which others can write to.
type AuditRow struct {
	Event
	OccurredOn Day // by which old rows are let go
	// Unreadable says that the row's detail is none that this program wrote;
	// Detail is empty then.
	Unreadable bool
}

// Leaf stands for one event in the audit's log.
type Leaf struct {
	EventID ID
	Hash    [32]byte // of what the event says
}

// Seal is one part of the audit's log: events that were sealed together.
type Seal struct {
	First    int64 // how many leaves there are before it
	Leaves   []Leaf
	SealedAt time.Time
	// Peaks are the roots of the complete subtrees of the log after this part,
	// the largest first, 32 bytes each.
	Peaks []byte
	// Checkpoint is the signed note over the log after this part.
	Checkpoint string
}

// EventFilter says which events are asked for. What is empty asks for nothing.
type EventFilter struct {
	Kinds      []string // names; client.* stands for all that begin so
	ClientID   string
	UserID     string
	RemoteAddr string
	RequestID  string
	Actor      string // who changed something: Detail's actor
	Target     string // what was changed: Detail's target
	// Refused asks for what failed or was refused, or for all else.
	Refused *bool
	Since   time.Time // the first instant
	Until   time.Time // the first instant that is not asked for
}

// EventQuery says which events are asked for, and in which order.
type EventQuery struct {
	EventFilter
	After   ID   // the event behind which they begin; zero for all
	Forward bool // oldest first
}

// Match reports whether the event is asked for.
func (f EventFilter) Match(e Event) bool {
	for _, c := range []struct{ want, is string }{
		{f.ClientID, e.ClientID},
		{f.UserID, e.UserID},
		{f.RemoteAddr, e.RemoteAddr},
		{f.RequestID, e.RequestID},
		{f.Actor, e.Detail["actor"]},
		{f.Target, e.Detail["target"]},
	} {
		if c.want != "" && c.want != c.is {
			return false
		}
	}
	if f.Refused != nil && *f.Refused != e.Kind.Refused() {
		return false
	}
	if e.At.Before(f.Since) || !f.Until.IsZero() && !e.At.Before(f.Until) {
		return false
	}
	return len(f.Kinds) == 0 || e.Kind.among(f.Kinds)
}

func (k EventKind) among(names []string) bool {
	for _, name := range names {
		beginning, all := strings.CutSuffix(name, "*")
		if string(k) == name || all && strings.HasPrefix(string(k), beginning) {
			return true
		}
	}
	return false
}

// Refused reports whether events of the kind tell of something that failed or
// was refused.
func (k EventKind) Refused() bool {
	switch k {
	case EventAuthorizationRejected, EventAuthorizationRefused, EventCodeReplayed, EventCodeBurned, EventTokenRefused,
		EventRefreshReplayed, EventRefreshWrongClient, EventRevokeWrongClient, EventClientAuthFailed,
		EventLoginFailed, EventLoginThrottled, EventLogoutUndelivered, EventConsentDenied, EventOutboundFailed,
		EventProxyUntrustedHeader, EventCSRFRejected, EventClientRefused, EventRegistrationThrottled,
		EventRecoveryThrottled, EventLinkRefused, EventFactorFailed, EventWebAuthnRejected, EventMailUndelivered:
		return true
	}
	return false
}

// EventCount is how many events of a kind there were on one day, for one client
// or for none.
type EventCount struct {
	OccurredOn Day
	Kind       EventKind
	ClientID   string
	Count      int64
}
