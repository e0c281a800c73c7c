package login

import (
	"net/http"
	"path"

	"idp/internal/idp"
)

// ServeLogo serves the picture of a client under its hash: the same for ever.
func (l *Login) ServeLogo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	logo, err := l.Logos.ClientLogo(r.Context(), path.Base(r.URL.Path))
	servePicture(w, r, logo.ContentType, logo.Body, err)
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
