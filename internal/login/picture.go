package login

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strconv"

	"idp/internal/idp"
	"idp/web"
)

// Pictures keeps the pictures that people uploaded. Implemented by
// *store.Store.
type Pictures interface {
	Picture(ctx context.Context, id idp.ID) (idp.Picture, error)
}

// ServePicture serves the picture of a person under its name, which nobody
// guesses: the same for ever, to any page that is shown it.
func (l *Login) ServePicture(w http.ResponseWriter, r *http.Request) {
	id, err := idp.ParseID(path.Base(r.URL.Path))
	var picture idp.Picture
	if err == nil {
		picture, err = l.Pictures.Picture(r.Context(), id)
	}
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	servePicture(w, r, picture.ContentType, picture.Body, err)
}

// servePicture serves bytes that stay the same for ever, and run nothing.
func servePicture(w http.ResponseWriter, r *http.Request, contentType string, body []byte, err error) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
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
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	if r.Method == http.MethodGet {
		_, _ = w.Write(body)
	}
}

// showPicture leads to the page that the form is on.
func (l *Login) showPicture(w http.ResponseWriter, r *http.Request) error {
	to := l.base + pathAccount
	if r.URL.RawQuery != "" {
		to += "?" + r.URL.RawQuery
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (l *Login) changePicture(w http.ResponseWriter, r *http.Request) error {
	form, v, err := l.acting(w, r, never)
	if v == nil || err != nil {
		return err
	}
	done := "picture"
	if form.Get("action") == "remove" {
		done = "picture-removed"
		err = l.Own.RemovePicture(r.Context(), v.held.User, l.from(r, v))
	} else {
		err = l.Own.SetPicture(r.Context(), v.held.User, l.from(r, v), []byte(form.Get("picture")))
	}
	if _, ok := errors.AsType[*idp.InvalidError](err); ok {
		return l.profilePage(w, r, http.StatusUnprocessableEntity, v, idp.ChangeOf(v.held.User), "picture", web.Say("profile.picture_refused"))
	}
	if err != nil {
		return err
	}
	return l.backToPage(w, r, done)
}
