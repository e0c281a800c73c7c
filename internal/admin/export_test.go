package admin

// The checks of single values, for tables of what is let in.
var (
	RedirectURIFault = redirectURIFault
	WebURLFault      = webURLFault
	OriginFault      = originFault
	AudienceFault    = audienceFault
	NewClientID      = newClientID
	NewSecret        = newSecret
	ValidClientID    = validClientID
)
