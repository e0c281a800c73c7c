package idp

// Whereabouts is where somebody does something to their own account: in which
// session, and on which device in words, which notices say.
type Whereabouts struct {
	Session Session
	Device  string
}

// ProfileChange holds the claims that people may change themselves, as they
// typed them. Nothing else of an account can be changed by its owner: neither
// addresses that somebody has to verify, nor what others rely on.
type ProfileChange struct {
	Name, GivenName, FamilyName, Nickname string
	Website                               string
	Birthdate                             string // YYYY-MM-DD, or YYYY
	Zoneinfo                              string // such as Europe/Paris
	Locale                                string // such as de or en-GB
}

// ChangeOf returns what there is before any change.
func ChangeOf(p Profile) ProfileChange {
	return ProfileChange{
		Name: p.Name, GivenName: p.GivenName, FamilyName: p.FamilyName, Nickname: p.Nickname,
		Website: p.Website, Birthdate: p.Birthdate, Zoneinfo: p.Zoneinfo, Locale: p.Locale,
	}
}
