package idp

// Saying names a sentence for a person in the catalogue of words. Whoever finds
// out what went wrong names it; whoever shows it puts it into the language of
// the person.
type Saying string

// What people are told about a request that cannot go on.
const (
	SayClientUnknown        Saying = "error.client_unknown"
	SayInternal             Saying = "error.internal"
	SayNotFound             Saying = "error.not_found"
	SayRedirectMissing      Saying = "error.redirect_missing"
	SayRedirectUnregistered Saying = "error.redirect_unregistered"
	SayRequestUnreadable    Saying = "error.request_unreadable"
	SaySpent                Saying = "error.spent"
	SayStartedElsewhere     Saying = "error.started_elsewhere"
	SayTimeout              Saying = "error.timeout"
	SayTooLong              Saying = "error.too_long"
	SayUnavailable          Saying = "error.unavailable"
	SayWrongUse             Saying = "error.wrong_use"
)
