package metrics

import (
	"strings"

	"idp/internal/idp"
)

// How something ended.
const (
	success   = "success"
	failure   = "failure"
	throttled = "throttled"
)

// Event tells of an audit event that was committed.
func (m *Metrics) Event(e idp.Event) {
	m.events.of(labels{string(e.Kind)}).Inc()
	switch e.Kind {
	case idp.EventLoginSucceeded:
		m.logins.of(labels{begunWith(e.Detail["amr"]), success}).Inc()
	case idp.EventLoginFailed:
		m.logins.of(labels{string(idp.FactorPassword), failure}).Inc()
	case idp.EventLoginThrottled:
		if factor := e.Detail["factor"]; factor != "" {
			m.factors.of(labels{factor, throttled}).Inc()
		} else {
			m.logins.of(labels{string(idp.FactorPassword), throttled}).Inc()
		}
		m.rateLimited.of(labels{"sign_in_" + e.Detail["reason"]}).Inc()
	case idp.EventFactorUsed:
		m.factors.of(labels{e.Detail["factor"], success}).Inc()
	case idp.EventFactorFailed, idp.EventWebAuthnRejected:
		m.factors.of(labels{e.Detail["factor"], failure}).Inc()
	case idp.EventRefreshReplayed:
		m.refreshReuse.Inc()
	case idp.EventRecoveryThrottled:
		m.rateLimited.of(labels{"recovery"}).Inc()
	case idp.EventRegistrationThrottled:
		m.rateLimited.of(labels{"registration"}).Inc()
	case idp.EventMailSent:
		m.mailSent.of(labels{e.Detail["target"]}).Inc()
	case idp.EventMailUndelivered:
		m.mailFailed.of(labels{e.Detail["target"]}).Inc()
	}
}

// begunWith is what somebody signed in with in the first place, told by the
// authentication methods (RFC 8176).
func begunWith(amr string) string {
	if strings.Contains(" "+amr+" ", " pwd ") {
		return string(idp.FactorPassword)
	}
	return string(idp.FactorPasskey)
}
