package idp

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// UserState says whether a person may sign in.
type UserState string

// The states of a user. Nobody but an active one gets in.
const (
	UserActive   UserState = "active"
	UserDisabled UserState = "disabled"
	// UserInvited has an account and has not taken it over yet.
	UserInvited UserState = "invited"
	// UserLocked has to choose a new password before signing in again, by a link
	// that is sent to them.
	UserLocked UserState = "locked"
)

// User is a person with an account here.
type User struct {
	ID               string // the subject identifier; never reused
	Username         string // as typed at creation; compared without case
	PasswordHash     string // PHC string, empty for no password
	State            UserState
	Profile          Profile
	TokensValidAfter time.Time // sessions and tokens from before are dead; zero for none
	CreatedAt        time.Time
	UpdatedAt        time.Time
	// PasswordChangedAt is zero for a password that is as old as the account.
	PasswordChangedAt time.Time
	Preferences       Preferences
	Attributes        Attributes
	// DeletionRequestedAt is since when the person wants the account deleted, and
	// DeletionDueAt when it is; zero for not, and for when an operator does it.
	DeletionRequestedAt time.Time
	DeletionDueAt       time.Time
	PictureID           ID // of the Picture that they uploaded; zero for none
}

// UserFilter says which people are asked for. What is empty asks for nothing.
type UserFilter struct {
	Search string // part of a user name, name or address, or a whole subject identifier
	State  UserState
}

// Preferences are how a person wants to see the pages; empty leaves it to the
// browser.
type Preferences struct {
	Language string `json:"language,omitempty"` // BCP 47
	Theme    string `json:"theme,omitempty"`    // light, dark, or auto for what the device prefers
}

// Language is the one that the person reads pages and mail in: a preference, or
// else what the profile tells applications. Empty is not known.
func (u *User) Language() string { return firstOf(u.Preferences.Language, u.Profile.Locale) }

// Profile holds the standard claims of OpenID Connect Core section 5.1.
type Profile struct {
	Name                string   `json:"name,omitempty" yaml:"name,omitempty"`
	GivenName           string   `json:"given_name,omitempty" yaml:"given_name,omitempty"`
	FamilyName          string   `json:"family_name,omitempty" yaml:"family_name,omitempty"`
	MiddleName          string   `json:"middle_name,omitempty" yaml:"middle_name,omitempty"`
	Nickname            string   `json:"nickname,omitempty" yaml:"nickname,omitempty"`
	PreferredUsername   string   `json:"preferred_username,omitempty" yaml:"preferred_username,omitempty"`
	Profile             string   `json:"profile,omitempty" yaml:"profile,omitempty"`
	Picture             string   `json:"picture,omitempty" yaml:"picture,omitempty"`
	Website             string   `json:"website,omitempty" yaml:"website,omitempty"`
	Gender              string   `json:"gender,omitempty" yaml:"gender,omitempty"`
	Birthdate           string   `json:"birthdate,omitempty" yaml:"birthdate,omitempty"`
	Zoneinfo            string   `json:"zoneinfo,omitempty" yaml:"zoneinfo,omitempty"`
	Locale              string   `json:"locale,omitempty" yaml:"locale,omitempty"`
	Email               string   `json:"email,omitempty" yaml:"email,omitempty"`
	EmailVerified       bool     `json:"email_verified,omitempty" yaml:"email_verified,omitempty"`
	PhoneNumber         string   `json:"phone_number,omitempty" yaml:"phone_number,omitempty"`
	PhoneNumberVerified bool     `json:"phone_number_verified,omitempty" yaml:"phone_number_verified,omitempty"`
	Address             *Address `json:"address,omitempty" yaml:"address,omitempty"`
}

// Address is the address claim of OpenID Connect Core section 5.1.1.
type Address struct {
	Formatted     string `json:"formatted,omitempty" yaml:"formatted,omitempty"`
	StreetAddress string `json:"street_address,omitempty" yaml:"street_address,omitempty"`
	Locality      string `json:"locality,omitempty" yaml:"locality,omitempty"`
	Region        string `json:"region,omitempty" yaml:"region,omitempty"`
	PostalCode    string `json:"postal_code,omitempty" yaml:"postal_code,omitempty"`
	Country       string `json:"country,omitempty" yaml:"country,omitempty"`
}

// MaxName is how many characters a name has at most.
const MaxName = 200

// CheckUsername allows what can be typed anywhere and has one lower-case form in
// every database: ASCII.
func CheckUsername(name string) error {
	allowed := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._@+'~-", r)
	}
	if name == "" || len(name) > 128 || name == "." || name == ".." || strings.ContainsFunc(name, func(r rune) bool { return !allowed(r) }) {
		return Invalid("username", "must be 1 to 128 letters, digits and . _ @ + ' ~ -")
	}
	return nil
}

// CheckName refuses what a person's name cannot be: more than one line, or
// characters that steer how a text is shown.
func CheckName(name string) error {
	if !utf8.ValidString(name) || utf8.RuneCountInString(name) > MaxName ||
		strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) }) {
		return Invalid("name", "must be one line of at most 200 characters")
	}
	return nil
}

// DisplayName is how the person is addressed.
func (u *User) DisplayName() string {
	if u.Profile.Name != "" {
		return u.Profile.Name
	}
	return u.Username
}

// Claims returns the claims about the person that the granted scopes open
// (OpenID Connect Core section 5.4), without sub. Empty ones are left out, but
// for groups: that the person is in none is an answer too.
func (u *User) Claims(m Memberships, scopes []string, rules ClaimRules) map[string]any {
	claims := map[string]any{}
	text := func(name, value string) {
		if value != "" {
			claims[name] = value
		}
	}
	p := u.Profile
	for _, scope := range scopes {
		rules.add(claims, scope, u.Attributes)
		switch scope {
		case ScopeProfile:
			text("name", p.Name)
			text("given_name", p.GivenName)
			text("family_name", p.FamilyName)
			text("middle_name", p.MiddleName)
			text("nickname", p.Nickname)
			text("preferred_username", firstOf(p.PreferredUsername, u.Username))
			text("profile", p.Profile)
			text("picture", rules.picture(u))
			text("website", p.Website)
			text("gender", p.Gender)
			text("birthdate", p.Birthdate)
			text("zoneinfo", p.Zoneinfo)
			text("locale", p.Locale)
			claims["updated_at"] = u.UpdatedAt.Unix()
		case ScopeEmail:
			if p.Email != "" {
				claims["email"] = p.Email
				claims["email_verified"] = p.EmailVerified
			}
		case ScopePhone:
			if p.PhoneNumber != "" {
				claims["phone_number"] = p.PhoneNumber
				claims["phone_number_verified"] = p.PhoneNumberVerified
			}
		case ScopeAddress:
			if p.Address != nil {
				claims["address"] = p.Address
			}
		case ScopeMemberships:
			claims[ClaimGroups] = append([]string{}, m.Groups...)
		}
	}
	return claims
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
