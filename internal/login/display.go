package login

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// How pages look to one person: the language they read and the theme they see.

const (
	languageCookie = "idp_language" // a tag, a dot, and when it was chosen
	themeCookie    = "idp_theme"    // light or dark; none is what the device prefers
	themeAuto      = "auto"
	displayLife    = 365 * 24 * time.Hour
	maxLanguages   = 16      // that are looked at in a list of wishes
	maxHere        = 4 << 10 // bytes of an address that goes sealed into another
)

// ServeDisplay answers GET /display: the menu at the foot of every page. It
// remembers a choice in this browser, and for the person who is signed in, and
// goes back to where the person was.
func (l *Login) ServeDisplay(w http.ResponseWriter, r *http.Request) {
	l.serve(w, r, l.changeDisplay, nil)
}

func (l *Login) changeDisplay(w http.ResponseWriter, r *http.Request) error {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return badForm(http.StatusBadRequest, "error.form_unreadable")
	}
	var chosen idp.Preferences
	if tag, ok := l.Pages.Match(query.Get("language")); ok {
		l.remember(w, languageCookie, tag+"."+strconv.FormatInt(l.Now().Unix(), 10))
		chosen.Language = tag
	}
	switch theme := query.Get("theme"); theme {
	case "light", "dark":
		l.remember(w, themeCookie, theme)
		chosen.Theme = theme
	case themeAuto:
		l.dropCookie(w, themeCookie)
		chosen.Theme = theme
	}
	l.prefer(r, chosen)
	to := query.Get("to")
	if !strings.HasPrefix(to, "/") {
		flow, err := l.Flows.OpenFlow(to)
		if err != nil {
			return errFlowMissing
		}
		to = flow.Here
	}
	http.Redirect(w, r, l.backTo(to), http.StatusSeeOther)
	return nil
}

// prefer keeps a choice for the person who is signed in, unless it is another
// site that asks. What becomes of that keeps nobody from going on.
func (l *Login) prefer(r *http.Request, chosen idp.Preferences) {
	if !l.sameOrigin(r) || chosen == (idp.Preferences{}) {
		return
	}
	held, err := l.visitor(r, "")
	if err == nil && held != nil {
		before := held.User.Preferences
		err = l.Own.SavePreferences(r.Context(), held.User, idp.Preferences{
			Language: cmp.Or(chosen.Language, before.Language), Theme: cmp.Or(chosen.Theme, before.Theme),
		})
	}
	if err != nil {
		l.Logger.WarnContext(r.Context(), "language and theme not kept", "cause", err)
	}
}

// followProfile forgets what was chosen in the menu, so that the pages are in
// the language that the person has just put into the profile.
func (l *Login) followProfile(w http.ResponseWriter, r *http.Request, user idp.User) error {
	l.dropCookie(w, languageCookie)
	preferences := user.Preferences
	preferences.Language = ""
	return l.Own.SavePreferences(r.Context(), user, preferences)
}

// sealedHere is the address of an error page, which has nothing in it of what
// was wrong with the request. Empty when nobody can return there.
func (l *Login) sealedHere(r *http.Request) string {
	if r.Method == http.MethodPost || len(r.URL.RequestURI()) > maxHere {
		return ""
	}
	sealed, err := l.Flows.SealFlow(idp.Flow{RequestedAt: idp.Instant(l.Now()), Here: l.base + r.URL.RequestURI()})
	if err != nil {
		return ""
	}
	return sealed
}

// backTo lets through a path below the issuer's own, and makes anything else
// the start page. What follows the origin is compared as it was sent: a second
// slash, or a backslash for one, would begin another host.
func (l *Login) backTo(here string) string {
	rest, ours := strings.CutPrefix(here, l.base+"/")
	u, err := url.Parse(here)
	if !ours || err != nil || u.Host != "" || strings.HasPrefix(rest, "/") || !printable(here) || strings.ContainsAny(here, "\\ ") {
		return l.base + "/"
	}
	return here
}

func (l *Login) remember(w http.ResponseWriter, name, value string) {
	c := l.cookie(name, value)
	c.MaxAge = int(displayLife.Seconds())
	http.SetCookie(w, c)
}

// layout is what all pages have in common. held is who is known to read it; nil
// for nobody.
func (l *Login) layout(r *http.Request, held *idp.AuthorizationContext) web.Layout {
	here := "/"
	if r.Method != http.MethodPost {
		here = r.URL.RequestURI() // below the issuer's path, which the router took off
	}
	return l.layoutOf(r, held, here)
}

// layoutOf is layout for a page that has another address than the request.
// Empty is for pages to which nobody can return.
func (l *Login) layoutOf(r *http.Request, held *idp.AuthorizationContext, here string) web.Layout {
	if held == nil {
		return l.layoutFor(r, nil, here)
	}
	layout := l.layoutFor(r, &held.User, here)
	if held.User.Preferences.Theme != "" {
		layout.Theme = shown(held.User.Preferences.Theme)
	}
	return layout
}

// layoutFor is layoutOf for somebody who is known without a session: what they
// choose in the menu holds in this browser alone, so it holds before what they
// chose elsewhere.
func (l *Login) layoutFor(r *http.Request, reader *idp.User, here string) web.Layout {
	if here != "" {
		here = l.base + here
	}
	theme, _ := l.readCookie(r, themeCookie)
	if shown(theme) == "" && reader != nil {
		theme = reader.Preferences.Theme
	}
	return web.Layout{Lang: l.language(r, reader), Base: l.base, Host: l.host, Here: here, Theme: shown(theme)}
}

// shown is the theme that a page asks for, empty for what the device prefers.
func shown(theme string) string {
	if theme == "light" || theme == "dark" {
		return theme
	}
	return ""
}

// language chooses the language of a page. The first of these that there are
// words in:
//
//  1. what was chosen in the menu a moment ago, for the rest of this flow;
//  2. what the application asks for (ui_locales, OpenID Connect Core section
//     3.1.2.1, RP-Initiated Logout section 2);
//  3. what the person chose in the menu when signed in, in whichever browser;
//  4. the language in the person's profile;
//  5. what was chosen in the menu of this browser;
//  6. what the browser asks for (RFC 9110 section 12.5.4);
//  7. the configured default.
func (l *Login) language(r *http.Request, reader *idp.User) string {
	chosen, at := l.chosenLanguage(r)
	now := l.Now()
	var wanted []string
	if chosen != "" && now.Before(at.Add(l.Lifetimes.Flow)) {
		wanted = append(wanted, chosen)
	}
	wanted = append(wanted, first(strings.Fields(l.uiLocales(r)), maxLanguages)...)
	if reader != nil {
		wanted = append(wanted, reader.Preferences.Language, reader.Profile.Locale)
	}
	wanted = append(wanted, chosen)
	wanted = append(wanted, acceptedLanguages(r.Header.Get("Accept-Language"))...)
	tag, _ := l.Pages.Match(wanted...)
	return tag
}

// chosenLanguage returns what the cookie of the menu says; empty for nothing.
func (l *Login) chosenLanguage(r *http.Request) (tag string, at time.Time) {
	value, _ := l.readCookie(r, languageCookie)
	tag, seconds, ok := strings.Cut(value, ".")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if !ok || err != nil {
		return "", time.Time{}
	}
	return tag, time.Unix(unix, 0)
}

// uiLocales returns what the application that the page is shown for asked, be
// it in this very request or in the one that a flow carries. It decides
// nothing but the language, so the flow may be an expired one.
func (l *Login) uiLocales(r *http.Request) string {
	query := r.URL.Query()
	if asked := query.Get("ui_locales"); asked != "" {
		return asked
	}
	flow, err := l.Flows.OpenFlow(cmp.Or(query.Get("flow"), r.PostForm.Get("flow")))
	if err != nil {
		return ""
	}
	asked, err := url.ParseQuery(cmp.Or(flow.Request, flow.Logout))
	if err != nil {
		return ""
	}
	return asked.Get("ui_locales")
}

// acceptedLanguages reads an Accept-Language header, the dearest first.
func acceptedLanguages(header string) []string {
	type wish struct {
		tag     string
		quality float64
	}
	var wishes []wish
	for _, part := range first(strings.Split(header, ","), maxLanguages) {
		tag, parameters, _ := strings.Cut(strings.TrimSpace(part), ";")
		w := wish{strings.TrimSpace(tag), 1}
		if q, ok := strings.CutPrefix(strings.ReplaceAll(strings.ToLower(parameters), " ", ""), "q="); ok {
			quality, err := strconv.ParseFloat(q, 64)
			if err != nil {
				continue
			}
			w.quality = quality
		}
		if w.quality > 0 && w.quality <= 1 && w.tag != "*" {
			wishes = append(wishes, w)
		}
	}
	slices.SortStableFunc(wishes, func(a, b wish) int { return cmp.Compare(b.quality, a.quality) })
	tags := make([]string, 0, len(wishes))
	for _, w := range wishes {
		tags = append(tags, w.tag)
	}
	return tags
}

func first(list []string, n int) []string { return list[:min(n, len(list))] }
