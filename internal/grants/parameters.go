package grants

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

// maxParameters bounds what one request may carry.
const maxParameters = 100

// parameters are the parameters of a request, each at most once but for
// resource (RFC 6749 section 3.1, RFC 8707 section 2). An empty value counts
// as omitted.
type parameters struct {
	values     url.Values
	duplicated []string // names that came more than once
	// refusal is what is known to be wrong with an authorization request before
	// it is known whom to tell.
	refusal *Error
}

func (p parameters) get(name string) string {
	if v := p.values[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// all returns every value of a parameter that may be repeated.
func (p parameters) all(name string) []string { return p.values[name] }

// repeatable names the parameters that may come more than once.
func repeatable(name string) bool { return name == "resource" }

// parseParameters reads an urlencoded text strictly.
func parseParameters(raw string) (parameters, error) {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return parameters{}, fmt.Errorf("the parameters are not urlencoded: %w", err)
	}
	if len(values) > maxParameters {
		return parameters{}, fmt.Errorf("more than %d parameters", maxParameters)
	}
	p := parameters{values: values}
	for name, vs := range values {
		kept := vs[:0]
		for _, v := range vs {
			if v != "" {
				kept = append(kept, v)
			}
		}
		switch {
		case len(vs) > 1 && !repeatable(name):
			p.duplicated = append(p.duplicated, name)
		case len(vs) > maxParameters:
			return parameters{}, fmt.Errorf("more than %d values of one parameter", maxParameters)
		}
		if len(kept) == 0 {
			delete(values, name)
			continue
		}
		values[name] = kept
	}
	return p, nil
}

// parseForm reads the body of a POST: urlencoded, nothing in the query, no
// parameter twice. The server has bounded the body's size.
func parseForm(r *http.Request) (parameters, *Error) {
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		return parameters{}, invalidRequest("parameters belong in the request body, not in the URL")
	}
	p, err := parseBody(r)
	if err != nil {
		return parameters{}, err
	}
	if len(p.duplicated) > 0 {
		return parameters{}, invalidRequest("a parameter came more than once")
	}
	return p, nil
}

func parseBody(r *http.Request) (parameters, *Error) {
	mediaType, mediaParams, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || mediaType != "application/x-www-form-urlencoded" {
		return parameters{}, invalidRequest("the content type must be application/x-www-form-urlencoded")
	}
	if charset := mediaParams["charset"]; charset != "" && !strings.EqualFold(charset, "utf-8") {
		return parameters{}, invalidRequest("the charset must be UTF-8")
	}
	body, oauthErr := readBody(r)
	if oauthErr != nil {
		return parameters{}, oauthErr
	}
	p, err := parseParameters(body)
	if err != nil {
		return parameters{}, invalidRequest("the request body is not urlencoded").because(err)
	}
	return p, nil
}

// spaceList splits a space-delimited list as RFC 6749 section 3.3 writes it:
// single spaces, no empty members, no member twice.
func spaceList(s string) ([]string, bool) {
	if s == "" {
		return nil, true
	}
	members := strings.Split(s, " ")
	seen := make(map[string]bool, len(members))
	for _, m := range members {
		if m == "" || seen[m] {
			return nil, false
		}
		seen[m] = true
	}
	return members, true
}

// scopeList splits a scope parameter into scope tokens (RFC 6749 appendix A.4).
func scopeList(s string) ([]string, bool) {
	scopes, ok := spaceList(s)
	if !ok || len(scopes) > maxParameters {
		return nil, false
	}
	for _, scope := range scopes {
		for i := range len(scope) {
			if c := scope[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
				return nil, false
			}
		}
	}
	return scopes, true
}

// printable reports whether s holds only the characters that RFC 6749 appendix
// A lets into state and the like.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}
