package login

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"idp/internal/idp"
)

// Clients knows the registered clients. Implemented by *store.Directory.
type Clients interface {
	Client(clientID string) (*idp.Client, bool)
}

// HintVerifier reads ID tokens that this issuer signed, expired ones too.
// Implemented by *tokens.Keyring.
type HintVerifier interface {
	VerifyIDToken(raw string) (idp.IDToken, error)
}

// logoutRequest is what an application asks for (OpenID Connect RP-Initiated
// Logout section 2), checked. The zero value is nobody's asking.
type logoutRequest struct {
	raw         string      // urlencoded, as it came
	client      *idp.Client // nil when it did not say who it is
	proven      bool        // an ID token says that it is the client
	session     idp.ID      // of that ID token
	redirectURI string      // registered for the client; empty for none
	state       string
}

var errParameterTwice = errors.New("a parameter came more than once")

// maxEndSession bounds a request that is sent on as a link, in bytes.
const maxEndSession = 7 << 10

// ServeEndSession answers GET and POST /oauth2/sessions/logout (OpenID Connect
// RP-Initiated Logout section 2): an application asks to sign the person out.
//
// The session ends at once only when the ID token of this very session says
// so; anything else is asked on a page, and the session lives until the answer.
func (l *Login) ServeEndSession(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.endSession, l.endSession)
}

func (l *Login) endSession(w http.ResponseWriter, r *http.Request) error {
	// 1. What is asked, and by whom.
	values, err := logoutParameters(w, r)
	if err != nil {
		return err
	}
	req, err := l.readLogout(r, values)
	if err != nil {
		return err
	}
	// 2. Browsers keep our cookies back from a form that another site sends,
	// and let them go with a link.
	if _, known := l.readCookie(r, sessionCookie); !known && r.Method == http.MethodPost {
		if len(req.raw) > maxEndSession {
			return badForm(http.StatusRequestEntityTooLarge, "error.request_too_long")
		}
		http.Redirect(w, r, l.base+"/oauth2/sessions/logout?"+req.raw, http.StatusSeeOther)
		return nil
	}
	// 3. Which session.
	held, err := l.proven(r, "")
	if err != nil {
		return err
	}
	if held != nil && !held.Session.EndedAt.IsZero() {
		held = nil
	}
	// 4. Ask, unless it is over already or the ID token answers.
	if held != nil && l.live(held) && !(req.proven && req.session == held.Session.ID && navigation(r)) {
		return l.askLogout(w, r, req, held)
	}
	frames, err := l.end(w, r, req, held)
	if err != nil {
		return err
	}
	l.signedOut(w, r, req, held, frames)
	return nil
}

// logoutParameters reads the request's parameters, each of which comes once.
func logoutParameters(w http.ResponseWriter, r *http.Request) (url.Values, error) {
	if r.Method == http.MethodPost {
		if r.URL.RawQuery != "" {
			return nil, badForm(http.StatusBadRequest, "error.request_unreadable")
		}
		return readForm(w, r, false)
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	for _, v := range values {
		if len(v) > 1 {
			err = errParameterTwice
		}
	}
	if err != nil {
		return nil, badForm(http.StatusBadRequest, "error.request_unreadable")
	}
	return values, nil
}

// readLogout checks the request. logout_hint changes nothing: there is one
// session in a browser. ui_locales is read where the page is made.
func (l *Login) readLogout(r *http.Request, values url.Values) (logoutRequest, error) {
	req := logoutRequest{raw: values.Encode(), state: values.Get("state")}
	clientID := values.Get("client_id")
	if raw := values.Get("id_token_hint"); raw != "" {
		hint, err := l.Hints.VerifyIDToken(raw)
		if err != nil {
			return req, badForm(http.StatusBadRequest, "error.foreign_hint")
		}
		if clientID != "" && clientID != hint.ClientID {
			return req, badForm(http.StatusBadRequest, "error.others_hint")
		}
		clientID, req.proven, req.session = hint.ClientID, true, hint.SessionID
	}
	if clientID != "" {
		client, ok := l.Clients.Client(clientID)
		if !ok || client.Disabled {
			return req, badForm(http.StatusBadRequest, "error.client_unknown")
		}
		req.client = client
		idp.RequestFrom(r.Context()).ClientID = clientID
	}
	if !printable(req.state) {
		return req, badForm(http.StatusBadRequest, "error.request_unreadable")
	}
	uri := values.Get("post_logout_redirect_uri")
	if uri == "" || req.client == nil { // section 3: nobody to compare it with, so it leads nowhere
		return req, nil
	}
	if !slices.Contains(req.client.PostLogoutRedirectURIs, uri) {
		return req, badForm(http.StatusBadRequest, "error.redirect_unregistered")
	}
	req.redirectURI = uri
	return req, nil
}

// navigation reports whether the person's browser shows the answer as a page of
// its own: not as a picture, not in a frame, not ahead of time. Browsers that do
// not say so are believed, as the ID token of the session has been shown.
func navigation(r *http.Request) bool {
	is := func(name, value string) bool { return r.Header.Get(name) == "" || r.Header.Get(name) == value }
	return r.Method != http.MethodHead && is("Sec-Fetch-Dest", "document") && is("Sec-Fetch-Mode", "navigate") && r.Header.Get("Sec-Purpose") == ""
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c > '~' })
}
