package login

import (
	"errors"
	"net/http"
	"path"
	"strconv"

	"idp/internal/idp"
)

// ServeLogo serves the picture of a client under its hash: the same for ever.
func (l *Login) ServeLogo(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
	logo, err := l.Logos.ClientLogo(r.Context(), path.Base(r.URL.Path))
	switch {
	case errors.Is(err, idp.ErrUnavailable):
		h.Set("Cache-Control", "no-store")
		h.Set("Retry-After", "1")
		http.Error(w, "temporarily unavailable", http.StatusServiceUnavailable)
		return
	case err != nil:
		h.Set("Cache-Control", "no-store")
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	h.Set("Content-Type", logo.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(logo.Body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if r.Method == http.MethodGet {
		_, _ = w.Write(logo.Body)
	}
}

// logoOf says where a page finds the client's picture: here, or, where the
// operator allows that, at the client's own host.
func (l *Login) logoOf(c *idp.Client) (picture string, remote bool) {
	if c.Logo != "" {
		return l.base + "/logos/" + c.Logo, false
	}
	if l.RemoteLogos {
		return address(c.LogoURI), true
	}
	return "", false
}
