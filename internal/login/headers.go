package login

import (
	"net/http"
	"strings"

	"idp/web"
)

// The pages run nothing inline, load nothing from elsewhere (but for
// allowLogo) and cannot be framed.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// protect sets the headers of every page.
func (l *Login) protect(h http.Header) {
	h.Set("Content-Security-Policy", pagePolicy+"; form-action 'self'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), "+
		"magnetometer=(), microphone=(), midi=(), payment=(), usb=(), "+
		"publickey-credentials-create=(self), publickey-credentials-get=(self)")
	h.Set("Cache-Control", "no-store")
	if l.Secure {
		h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	}
}

// allowLogo lets the page load the one picture of the application it is about
// from the application's own host: see Config.RemoteLogos.
func allowLogo(h http.Header, c *web.Client) {
	if c == nil || !c.RemoteLogo || c.Logo == "" || strings.ContainsAny(c.Logo, ";, '*") {
		return
	}
	picture, _, _ := strings.Cut(c.Logo, "?") // what a policy can name
	policy := h.Get("Content-Security-Policy")
	h.Set("Content-Security-Policy", strings.Replace(policy, "img-src 'self'", "img-src 'self' "+picture, 1))
}

// allowRedirects drops form-action. Browsers hold the redirects that follow a
// form against it, and where the authorization endpoint redirects to in the
// end is for the client's registration to say, not for this page.
func allowRedirects(h http.Header) { h.Set("Content-Security-Policy", pagePolicy) }
