package idp

import (
	"net/url"
	"strings"
)

// ResponseType says what an authorization response carries (OAuth 2.0 Multiple
// Response Type Encoding Practices). The order of the values in a request means
// nothing.
type ResponseType struct {
	Code, IDToken, Token bool
}

// ParseResponseType reads a response_type parameter. It fails for an empty one,
// for unknown and repeated values, and for token alone: an access token in a
// URL without an ID token to bind it is not to be had here (RFC 9700 section
// 2.1.2).
func ParseResponseType(s string) (ResponseType, bool) {
	var t ResponseType
	for _, value := range strings.Split(s, " ") {
		flag := map[string]*bool{"code": &t.Code, "id_token": &t.IDToken, "token": &t.Token}[value]
		if flag == nil || *flag {
			return ResponseType{}, false
		}
		*flag = true
	}
	return t, t.Code || t.IDToken
}

// String returns the canonical spelling: the one that specifications, metadata
// and registrations use.
func (t ResponseType) String() string {
	var values []string
	if t.Code {
		values = append(values, "code")
	}
	if t.IDToken {
		values = append(values, "id_token")
	}
	if t.Token {
		values = append(values, "token")
	}
	return strings.Join(values, " ")
}

// FrontChannel reports whether the response carries more than a code, which
// must not travel in a query.
func (t ResponseType) FrontChannel() bool { return t.IDToken || t.Token }

// Response modes: how the response reaches the client.
const (
	ModeQuery    = "query"
	ModeFragment = "fragment"
	ModeFormPost = "form_post"
)

// DefaultMode is the response mode when the request names none.
func (t ResponseType) DefaultMode() string {
	if t.FrontChannel() {
		return ModeFragment
	}
	return ModeQuery
}

// ErrorReturn is an authorization error on its way back to a client that nobody
// vouches for: the person sees it first, and goes on or does not.
type ErrorReturn struct {
	Client      *Client
	RedirectURI string
	Code        string // of the error
	Status      int
	Location    string     // where going on leads
	Post        url.Values // what it posts there; nil when it is a link
}
