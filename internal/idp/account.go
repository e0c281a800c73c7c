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
	// Attributes are those that the operator lets people change, by name; an
	// empty one takes it away. What is not named stays.
	Attributes map[string]string
}

// ChangeOf returns what there is before any change.
func ChangeOf(u User) ProfileChange {
	p := u.Profile
	typed := make(map[string]string, len(u.Attributes))
	for name, value := range u.Attributes {
		typed[name] = TextOf(value)
	}
	return ProfileChange{
		Name: p.Name, GivenName: p.GivenName, FamilyName: p.FamilyName, Nickname: p.Nickname,
		Website: p.Website, Birthdate: p.Birthdate, Zoneinfo: p.Zoneinfo, Locale: p.Locale, Attributes: typed,
	}
}
