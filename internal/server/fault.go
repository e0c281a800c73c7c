package server

import (
	"encoding/json"
	"html/template"
	"net/http"
	"strconv"
	"strings"
)

// Fault is what is wrong with a request before any handler has seen it.
type Fault struct {
	Status  int
	Message string // one fixed sentence, for a person or a developer
	Link    string // where to go instead; only ever the issuer
}

// Title is the status in words.
func (f Fault) Title() string { return http.StatusText(f.Status) }

// fault answers with f: to a person as a page, to a program in the form of RFC
// 6749 section 5.2, and as problem details where the admin API is.
func (p *public) fault(w http.ResponseWriter, r *http.Request, f Fault, page bool) {
	switch {
	case !page && strings.HasPrefix(r.URL.Path, p.issuerPath+"/admin/"):
		p.writeProblem(w, f)
	case !page:
		writeJSON(w, f)
	case p.showFault != nil && f.Status != http.StatusMisdirectedRequest && f.Status != http.StatusInternalServerError:
		p.showFault(w, r, f)
	default:
		// Under a foreign Host the page's own styles would be refused as well,
		// and after a panic the less is run the better.
		writePage(w, f)
	}
}

// Code is the OAuth error code that comes nearest.
func (f Fault) Code() string {
	switch {
	case f.Status == http.StatusNotFound:
		return "not_found"
	case f.Status >= 500:
		return "server_error"
	}
	return "invalid_request"
}

func writeJSON(w http.ResponseWriter, f Fault) {
	answer := struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
		URI         string `json:"error_uri,omitempty"`
	}{f.Code(), f.Message, f.Link}
	body, err := json.Marshal(answer)
	if err != nil {
		panic(err) // three strings always encode
	}
	write(w, f.Status, "application/json", append(body, '\n'))
}

// writeProblem answers as the admin API does (RFC 9457).
func (p *public) writeProblem(w http.ResponseWriter, f Fault) {
	title := http.StatusText(f.Status)
	code := strings.ReplaceAll(strings.ToLower(title), " ", "_")
	if f.Status == http.StatusBadRequest || f.Status >= http.StatusInternalServerError {
		code = f.Code()
	}
	body, err := json.Marshal(struct {
		Type      string `json:"type"`
		Title     string `json:"title"`
		Status    int    `json:"status"`
		Code      string `json:"code"`
		Detail    string `json:"detail"`
		RequestID string `json:"request_id"`
	}{p.issuer + "/admin/openapi.yaml#" + code, title, f.Status, code, f.Message, w.Header().Get("X-Request-Id")})
	if err != nil {
		panic(err) // strings always encode
	}
	write(w, f.Status, "application/problem+json", append(body, '\n'))
}

var plainPage = template.Must(template.New("fault").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{{.Title}}</title></head>
<body id="error"><h1>{{.Title}}</h1><p>{{.Message}}</p>{{with .Link}}<p><a href="{{.}}">{{.}}</a></p>{{end}}<p>Request {{.RequestID}}</p></body>
</html>
`))

func writePage(w http.ResponseWriter, f Fault) {
	var page strings.Builder
	err := plainPage.Execute(&page, struct {
		Fault
		RequestID string
	}{f, w.Header().Get("X-Request-Id")})
	if err != nil {
		panic(err) // a fixed template over strings
	}
	write(w, f.Status, "text/html; charset=utf-8", []byte(page.String()))
}

func write(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the reader is gone; there is nobody to tell
}

// wantsPage reports whether a browser asks for a document.
func wantsPage(r *http.Request) bool {
	return strings.Contains(strings.Join(r.Header["Accept"], ","), "text/html")
}
