package web

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

//go:embed static
var staticFiles embed.FS

// static holds the files under static/, each served under a name that carries
// its hash, so that a browser may keep it for ever.
type static struct {
	names map[string]string // file name → name with hash
	files map[string]file   // name with hash → file
}

type file struct {
	contentType string
	body        []byte
}

// newStatic reads static/ of each directory, the later over the earlier, and
// takes in what was made here. Empty files are none.
func newStatic(directories []fs.FS, made map[string][]byte) (*static, error) {
	s := &static{names: map[string]string{}, files: map[string]file{}}
	for _, directory := range directories {
		entries, err := fs.ReadDir(directory, "static")
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), ".") {
				continue
			}
			body, err := fs.ReadFile(directory, "static/"+entry.Name())
			if err != nil {
				return nil, err
			}
			s.add(entry.Name(), body)
		}
	}
	for name, body := range made {
		s.add(name, body)
	}
	return s, nil
}

func (s *static) add(name string, body []byte) {
	if len(body) == 0 {
		return
	}
	sum := sha256.Sum256(body)
	extension := path.Ext(name)
	hashed := strings.TrimSuffix(name, extension) + "." + hex.EncodeToString(sum[:6]) + extension
	s.names[name] = hashed
	s.files[hashed] = file{contentType: contentType(extension), body: body}
}

// contentType does not ask the machine's own table for what we ship.
func contentType(extension string) string {
	switch extension {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(extension) // the operator's pictures
}

// asset returns the path of the named file below the issuer's own.
func (s *static) asset(name string) (string, error) {
	hashed, ok := s.names[name]
	if !ok {
		return "", fmt.Errorf("web: no static file %q", name)
	}
	return "/static/" + hashed, nil
}

// Static serves the files that the pages refer to, whatever stands before the
// last segment of the path.
func (p *Pages) Static() http.Handler { return p.static }

func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f, ok := s.files[path.Base(r.URL.Path)]
	if !ok {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	h.Set("Content-Length", strconv.Itoa(len(f.body)))
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	// An SVG opened by itself is a document: it may do nothing.
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if r.Method == http.MethodGet {
		_, _ = w.Write(f.body)
	}
}
