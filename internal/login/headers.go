package login

import "net/http"

// The pages run nothing inline, load nothing from elsewhere and cannot be
// framed.
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

// allowRedirects drops form-action. Browsers hold the redirects that follow a
// form against it, and where the authorization endpoint redirects to in the
// end is for the client's registration to say, not for this page.
func allowRedirects(h http.Header) { h.Set("Content-Security-Policy", pagePolicy) }
