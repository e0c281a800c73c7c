package tokens

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"

	"idp/internal/idp"
)

// claimWriter appends one JSON object to buf. The claims of a token are known
// and few; writing them without reflection is what keeps signing cheap.
type claimWriter struct{ buf []byte }

func (w *claimWriter) name(name string) {
	if len(w.buf) == 0 {
		w.buf = append(w.buf, '{', '"')
	} else {
		w.buf = append(w.buf, ',', '"')
	}
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '"', ':')
}

func (w *claimWriter) text(name, value string) {
	w.name(name)
	w.buf = appendString(w.buf, value)
}

func (w *claimWriter) textIfAny(name, value string) {
	if value != "" {
		w.text(name, value)
	}
}

// seconds writes a NumericDate (RFC 7519 section 2) of whole seconds.
func (w *claimWriter) seconds(name string, t time.Time) {
	w.name(name)
	w.buf = strconv.AppendInt(w.buf, t.Unix(), 10)
}

func (w *claimWriter) secondsIfAny(name string, t time.Time) {
	if !t.IsZero() {
		w.seconds(name, t)
	}
}

func (w *claimWriter) listIfAny(name string, values []string) {
	if len(values) == 0 {
		return
	}
	w.name(name)
	w.buf = append(w.buf, '[')
	for i, v := range values {
		if i > 0 {
			w.buf = append(w.buf, ',')
		}
		w.buf = appendString(w.buf, v)
	}
	w.buf = append(w.buf, ']')
}

// words writes a list as one string with spaces between, as scopes are.
func (w *claimWriter) wordsIfAny(name string, values []string) {
	if len(values) == 0 {
		return
	}
	w.name(name)
	w.buf = append(w.buf, '"')
	for i, v := range values {
		if i > 0 {
			w.buf = append(w.buf, ' ')
		}
		w.buf = appendEscaped(w.buf, v)
	}
	w.buf = append(w.buf, '"')
}

// audience writes aud: a string for one, an array for several (RFC 7519
// section 4.1.3).
func (w *claimWriter) audience(values []string) {
	if len(values) == 1 {
		w.text("aud", values[0])
		return
	}
	w.listIfAny("aud", values)
}

func (w *claimWriter) end() []byte { return append(w.buf, '}') }

func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, s)
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(dst, quoted[1:len(quoted)-1]...)
		}
	}
	return append(dst, s...)
}

// claimReader reads the claims of a token that is proven to be ours. The first
// claim that is not of its type sticks as the error.
type claimReader struct {
	claims map[string]json.RawMessage
	err    error
}

// readClaims takes one JSON object apart. Names count as they are written, and
// none may come twice (RFC 8725 section 2.8, RFC 7519 section 4).
func readClaims(payload []byte) (*claimReader, error) {
	d := json.NewDecoder(bytes.NewReader(payload))
	r := &claimReader{claims: map[string]json.RawMessage{}}
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, malformed("claims are not an object")
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, malformed("claims are not JSON")
		}
		name, _ := t.(string) // the decoder allows nothing else here
		if _, twice := r.claims[name]; twice {
			return nil, malformed("a claim comes twice")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, malformed("claims are not JSON")
		}
		r.claims[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, malformed("claims are not JSON")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, malformed("something follows the claims")
	}
	return r, nil
}

func (r *claimReader) read(name string, into any, required bool) {
	value, ok := r.claims[name]
	if !ok {
		if required && r.err == nil {
			r.err = malformed(name + " is missing")
		}
		return
	}
	// null would leave the zero value behind and pass for absent.
	if bytes.Equal(value, []byte("null")) || json.Unmarshal(value, into) != nil {
		if r.err == nil {
			r.err = malformed(name + " is of the wrong type")
		}
	}
}

func (r *claimReader) text(name string, required bool) string {
	var s string
	r.read(name, &s, required)
	if required && s == "" && r.err == nil {
		r.err = malformed(name + " is empty")
	}
	return s
}

func (r *claimReader) list(name string) []string {
	var list []string
	r.read(name, &list, false)
	return list
}

func (r *claimReader) seconds(name string, required bool) time.Time {
	var n int64
	r.read(name, &n, required)
	if _, ok := r.claims[name]; !ok {
		return time.Time{}
	}
	return time.Unix(n, 0).UTC()
}

// audience reads aud, which is a string or a list of them.
func (r *claimReader) audience() []string {
	var list []string
	if value := r.claims["aud"]; len(value) > 0 && value[0] == '"' {
		list = []string{r.text("aud", true)}
	} else {
		r.read("aud", &list, true)
	}
	if len(list) == 0 && r.err == nil {
		r.err = malformed("aud is empty")
	}
	return list
}

// malformed says in fixed words what is wrong; nothing of the token gets in.
func malformed(what string) error { return fmt.Errorf("token: %s: %w", what, idp.ErrMalformed) }
