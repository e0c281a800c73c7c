package login

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

// ServeLogout asks whether to sign out, and does it only on a POST of its form.
func (l *Login) ServeLogout(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.showLogout, l.signOut)
}

func (l *Login) showLogout(w http.ResponseWriter, r *http.Request) error {
	held, err := l.visitor(r, "")
	if err != nil {
		return err
	}
	if held == nil {
		return l.goOn(w, r, idp.Flow{})
	}
	return l.askLogout(w, r, logoutRequest{}, held)
}

// askLogout shows the form. What an application asked for goes with it.
func (l *Login) askLogout(w http.ResponseWriter, r *http.Request, req logoutRequest, held *idp.AuthorizationContext) error {
	sealed, err := l.Flows.SealFlow(idp.Flow{RequestedAt: idp.Instant(l.Now()), Browser: l.Bind(w, r), Logout: req.raw})
	if err != nil {
		return err
	}
	if req.redirectURI != "" {
		allowRedirects(w.Header())
	}
	l.render(w, r, http.StatusOK, web.LogoutPage{
		Layout: l.layout(r, held), Client: l.clientOnPage(req.client), Account: accountOnPage(held.User), Flow: sealed,
	})
	return nil
}

func (l *Login) signOut(w http.ResponseWriter, r *http.Request) error {
	// 1. A form of ours, in this browser.
	_, flow, err := l.submitted(w, r)
	if errors.Is(err, errFlowExpired) {
		http.Redirect(w, r, l.base+"/logout", http.StatusSeeOther)
		return nil
	}
	if err != nil {
		return err
	}
	// 2. What the application asked, which may not stand any more.
	values, err := url.ParseQuery(flow.Logout)
	if err != nil {
		return err
	}
	req, err := l.readLogout(r, values)
	if err != nil {
		return err
	}
	// 3. The end.
	held, err := l.proven(r, "")
	if err != nil {
		return err
	}
	frames, err := l.end(w, r, req, held)
	if err != nil {
		return err
	}
	l.signedOut(w, r, req, held, frames)
	return nil
}

// end ends the session, if there is one, and forgets it in this browser. It
// returns what the browser has to load for clients to hear of it.
func (l *Login) end(w http.ResponseWriter, r *http.Request, req logoutRequest, held *idp.AuthorizationContext) ([]string, error) {
	var frames []string
	// The cookie goes only when the session has gone: whoever cannot be signed
	// out now must be able to try again.
	if held != nil {
		clients, err := l.Store.SessionClients(r.Context(), held.Session.ID)
		if err != nil {
			return nil, err
		}
		frames = l.frames(clients, held.Session.ID)
		now := idp.Instant(l.Now())
		ended := event(r, idp.EventSessionEnded, now)
		ended.UserID, ended.SessionID = held.User.ID, held.Session.ID.String()
		ended.Detail = map[string]string{"reason": "signed_out"}
		if req.client != nil {
			ended.ClientID = req.client.ClientID
		}
		if err := l.Store.EndSession(r.Context(), held.Session.ID, now, ended); err != nil {
			return nil, err
		}
	}
	l.dropCookie(w, sessionCookie)
	l.changeState(w, r)
	return frames, nil
}

// frames are the pages by which clients hear of the end of a session in this
// browser (OpenID Connect Front-Channel Logout section 2).
func (l *Login) frames(clients []string, session idp.ID) []string {
	var frames []string
	for _, id := range clients {
		client, ok := l.Clients.Client(id)
		if !ok || client.Disabled || client.FrontchannelLogoutURI == "" {
			continue
		}
		frame := client.FrontchannelLogoutURI
		if client.FrontchannelLogoutSessionRequired {
			frame = withQuery(frame, "iss="+url.QueryEscape(l.Issuer)+"&sid="+url.QueryEscape(session.String()))
		}
		frames = append(frames, frame)
	}
	return frames
}

// signedOut says that it is done, or goes back to the application that asked.
// Where other applications have to be loaded first, the page does both.
func (l *Login) signedOut(w http.ResponseWriter, r *http.Request, req logoutRequest, held *idp.AuthorizationContext, frames []string) {
	back := req.redirectURI
	if back != "" && req.state != "" {
		back = withQuery(back, "state="+url.QueryEscape(req.state))
	}
	if back != "" && req.proven && len(frames) == 0 {
		http.Redirect(w, r, back, http.StatusSeeOther)
		return
	}
	h := w.Header()
	if len(frames) > 0 {
		h.Set("Content-Security-Policy", pagePolicy+"; form-action 'self'; frame-src "+strings.Join(origins(frames), " "))
	}
	page := web.SignedOutPage{Layout: l.layout(r, held), Client: l.clientOnPage(req.client), Frames: frames}
	if back != "" {
		page.Back = template.URL(back) //nolint:gosec // registered for the client, byte for byte
		// Without a proof that the application sent the person here, the person
		// decides whether to go on to it.
		page.GoesOn = req.proven
	}
	if page.GoesOn {
		h.Set("Refresh", "5; url="+back) // where scripts do not run
	}
	l.render(w, r, http.StatusOK, page)
}

func origins(urls []string) []string {
	var all []string
	for _, raw := range urls {
		if u, err := url.Parse(raw); err == nil {
			all = append(all, u.Scheme+"://"+u.Host)
		}
	}
	return sorted(all)
}

// withQuery adds encoded parameters to a URI and leaves the rest as it is.
func withQuery(uri, parameters string) string {
	if strings.Contains(uri, "?") {
		return uri + "&" + parameters
	}
	return uri + "?" + parameters
}
