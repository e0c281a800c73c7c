package admin_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/admin"
	"idp/internal/idp"
)

// A redirect URI is absolute, has no fragment, and can be read in one way only.
func TestRFC6749_3_1_2_RedirectURIs(t *testing.T) {
	t.Parallel()
	const web, native = "web", "native"
	for _, tc := range []struct {
		name, uri, application string
		refused                string // part of the reason; empty when it is accepted
	}{
		{"https", "https://app.example/callback", web, ""},
		{"https without a path", "https://app.example", web, ""},
		{"https with a port", "https://app.example:8443/callback", web, ""},
		{"https with a query", "https://app.example/cb?tenant=1&next=%2Fhome", web, ""},
		{"https at an address", "https://192.0.2.7/cb", web, ""},
		{"https at an IPv6 address", "https://[2001:db8::1]/cb", web, ""},
		{"internationalised host", "https://xn--bcher-kva.example/cb", web, ""},
		{"trailing slash", "https://app.example/cb/", web, ""},
		{"escaped space in the path", "https://app.example/a%20b", web, ""},
		{"loopback for development", "http://localhost:5555/callback", web, ""},
		{"loopback address", "http://127.0.0.1/callback", web, ""},
		{"another loopback address", "http://127.0.0.2:80/callback", web, ""},
		{"loopback IPv6", "http://[::1]:5555/callback", web, ""},
		{"loopback for native (RFC 8252 7.3)", "http://127.0.0.1/callback", native, ""},
		{"private scheme (RFC 8252 7.1)", "com.example.app:/callback", native, ""},
		{"private scheme with a host", "com.example.app://callback", native, ""},
		{"claimed https for native (RFC 8252 7.2)", "https://app.example/callback", native, ""},

		{"empty", "", web, "empty"},
		{"relative", "/callback", web, "absolute"},
		{"no scheme", "app.example/callback", web, "absolute"},
		{"protocol-relative", "//app.example/callback", web, "absolute"},
		{"http elsewhere", "http://app.example/callback", web, "http is for localhost"},
		{"http at an address", "http://192.0.2.7/callback", web, "http is for localhost"},
		{"http at a name like localhost", "http://localhost.evil.tld/callback", web, "http is for localhost"},
		{"http at a name that ends in localhost", "http://app.localhost/callback", web, "http is for localhost"},
		{"fragment (A05)", "https://app.example/cb#x", web, "fragment"},
		{"empty fragment (A05)", "https://app.example/cb#", web, "fragment"},
		{"encoded fragment (A05)", "https://app.example/cb%23", web, "control character or #"},
		{"backslash (A06)", `https://app.example\@evil.tld/cb`, web, "percent-encode"},
		{"tab (A06)", "https://app.example/\tcb", web, "percent-encode"},
		{"line end (A06)", "https://app.example/cb\r\nSet-Cookie: a=b", web, "percent-encode"},
		{"NUL (A06)", "https://app.example/cb\x00", web, "percent-encode"},
		{"encoded NUL", "https://app.example/cb%00", web, "control character"},
		{"encoded line end", "https://app.example/cb?x=%0d%0aSet-Cookie", web, "control character"},
		{"leading space (A06)", " https://app.example/cb", web, "percent-encode"},
		{"trailing space", "https://app.example/cb ", web, "percent-encode"},
		{"no slashes (A06)", "https:evil", web, "must name a host"},
		{"one slash", "https:/app.example/cb", web, "must name a host"},
		{"three slashes (A06)", "https:///app.example/cb", web, "must name a host"},
		{"non-ASCII host", "https://bücher.example/cb", web, "percent-encode"},
		{"encoded host", "https://%c3%bc.example/cb", web, "domain name"},
		{"user information", "https://app.example@evil.tld/cb", web, "user information"},
		{"user and password", "https://a:b@app.example/cb", web, "user information"},
		{"empty user information", "https://@app.example/cb", web, "user information"},
		{"wildcard host", "https://*.example.com/cb", web, "host must be"},
		{"wildcard path", "https://app.example/*", web, "wildcards"},
		{"wildcard query", "https://app.example/cb?x=*", web, "wildcards"},
		{"dot segment", "https://app.example/a/../cb", web, "dot segment"},
		{"dot segment at the end", "https://app.example/a/..", web, "dot segment"},
		{"single dot segment", "https://app.example/./cb", web, "dot segment"},
		{"dot segment with a parameter", "https://app.example/a/..;x=1/cb", web, "dot segment"},
		{"encoded dot segment", "https://app.example/a/%2e%2E/cb", web, "percent-encoded dot"},
		{"encoded slash", "https://app.example/a%2fb", web, "percent-encoded dot"},
		{"encoded backslash", "https://app.example/a%5Cb", web, "percent-encoded dot"},
		{"encoded percent sign", "https://app.example/a%252fb", web, "percent-encoded dot"},
		{"broken encoding", "https://app.example/cb?x=%zz", web, "broken"},
		{"cut encoding", "https://app.example/cb?x=%2", web, "broken"},
		{"semicolon in the query", "https://app.example/cb?a=1;code=2", web, "query cannot be read"},
		{"upper-case scheme", "HTTPS://app.example/cb", web, "lower case"},
		{"upper-case host", "https://App.example/cb", web, "lower case"},
		{"trailing dot", "https://app.example./cb", web, "end in a dot"},
		{"empty label", "https://app..example/cb", web, "domain name"},
		{"label with a dash at its end", "https://app-.example/cb", web, "domain name"},
		{"long label", "https://" + strings.Repeat("a", 64) + ".example/cb", web, "domain name"},
		{"short IPv4", "https://127.1/cb", web, "four decimal parts"},
		{"short IPv4 over http", "http://127.1/cb", web, "four decimal parts"},
		{"hexadecimal IPv4", "http://0x7f000001/cb", web, "four decimal parts"},
		{"hexadecimal part", "http://127.0.0.0x1/cb", web, "four decimal parts"},
		{"decimal IPv4", "http://2130706433/cb", web, "four decimal parts"},
		{"octal IPv4", "http://0177.0.0.1/cb", web, "four decimal parts"},
		{"IPv4 with leading zeros", "http://127.0.0.01/cb", web, "four decimal parts"},
		{"IPv4 with a dot at its end", "http://127.0.0.1./cb", web, "end in a dot"},
		{"mapped IPv4", "http://[::ffff:127.0.0.1]/cb", web, "clothes"},
		{"long IPv6", "http://[0:0:0:0:0:0:0:1]/cb", web, "must be written as [::1]"},
		{"IPv6 zone", "http://[fe80::1%25eth0]/cb", web, "percent sign"},
		{"unspecified address", "https://0.0.0.0/cb", web, "one machine"},
		{"unspecified IPv6", "http://[::]/cb", web, "one machine"},
		{"empty port", "https://app.example:/cb", web, "port is empty"},
		{"port 0", "https://app.example:0/cb", web, "port must be"},
		{"port out of range", "https://app.example:65536/cb", web, "port must be"},
		{"port with a zero in front", "https://app.example:0443/cb", web, "port must be"},
		{"too long", "https://app.example/" + strings.Repeat("a", 2048), web, "longer than 2048"},

		{"javascript", "javascript:alert(1)", web, "scheme must be https"},
		{"javascript for native", "javascript:alert(1)", native, "reversed domain name"},
		{"data", "data:text/html,x", web, "scheme must be https"},
		{"data for native", "data:text/html,x", native, "reversed domain name"},
		{"vbscript", "vbscript:x", native, "reversed domain name"},
		{"file", "file:///etc/passwd", native, "reversed domain name"},
		{"ftp", "ftp://app.example/cb", web, "scheme must be https"},
		{"about", "about:blank", native, "reversed domain name"},
		{"urn", "urn:ietf:wg:oauth:2.0:oob", native, "reversed domain name"},
		{"private scheme without a dot", "myapp:/callback", native, "reversed domain name"},
		{"private scheme for web", "com.example.app:/callback", web, "private schemes are for"},
		{"private scheme without a slash", "com.example.app:callback", native, "slash must follow"},
		{"private scheme with an empty label", "com..app:/callback", native, "reversed domain name"},
		{"private scheme with dot segments", "com.example.app:/../callback", native, "dot segment"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			reason := admin.RedirectURIFault(tc.uri, tc.application == native)
			if tc.refused == "" {
				require.Empty(t, reason)
			} else {
				require.Contains(t, reason, tc.refused)
			}
		})
	}
}

// A registered URI may not bring what the response sets: two values for one
// name let an attacker choose (A13).
func TestRFC9700_4_1_RedirectURIHoldsNoResponseParameter(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"code", "state", "error", "iss", "response", "id_token", "access_token", "CODE", "c%6fde"} {
		require.Contains(t, admin.RedirectURIFault("https://app.example/cb?x=1&"+name+"=1", false), "must not hold", name)
		require.Contains(t, admin.RedirectURIFault("com.example.app:/cb?"+name, true), "must not hold", name)
	}
	require.Empty(t, admin.RedirectURIFault("https://app.example/cb?codec=1&issuer=2", false))
}

// An origin is what a browser sends, exactly (A18: no prefix, no suffix).
func TestRFC6454_6_2_Origins(t *testing.T) {
	t.Parallel()
	for origin, refused := range map[string]string{
		"https://app.example":                "",
		"https://app.example:8443":           "",
		"http://localhost:3000":              "",
		"http://127.0.0.1:3000":              "",
		"http://[::1]:3000":                  "",
		"*":                                  "one origin",
		"null":                               "one origin",
		"":                                   "empty",
		"https://app.example/":               "no path",
		"https://app.example/x":              "no path",
		"https://app.example?":               "no path",
		"https://app.example?x":              "no path",
		"https://app.example#":               "fragment",
		"https://*.example":                  "domain name",
		"https://App.example":                "lower case",
		"https://app.example.":               "end in a dot",
		"https://app.example:443":            "own port",
		"http://localhost:80":                "own port",
		"http://app.example":                 "http is for",
		"https://user@app.example":           "user information",
		"app.example":                        "absolute",
		"com.example.app://x":                "must be https",
		"https://app.example https://b.test": "percent-encode",
		"https://127.1":                      "four decimal",
	} {
		if reason := admin.OriginFault(origin); refused == "" {
			require.Empty(t, reason, origin)
		} else {
			require.Contains(t, reason, refused, origin)
		}
	}
}

// Links and pictures on pages are https.
func TestPageLinksAreWebURLs(t *testing.T) {
	t.Parallel()
	for uri, ok := range map[string]bool{
		"https://app.example/logo.png":   true,
		"http://localhost:8080/logo.png": true,
		"http://app.example/logo.png":    false,
		"javascript:alert(1)":            false,
		"data:image/png;base64,AAAA":     false,
		"https://a@app.example/":         false,
		"com.example.app:/x":             false,
		"//app.example/logo.png":         false,
		"https://app.example/\"><script": false,
	} {
		require.Equal(t, ok, admin.WebURLFault(uri) == "", uri)
	}
}

// A resource is named by an absolute URI without fragment, and is not the
// issuer.
func TestRFC8707_2_Audiences(t *testing.T) {
	t.Parallel()
	for audience, ok := range map[string]bool{
		"https://api.example":             true,
		"https://api.example/v1":          true,
		"http://api.internal:8080/v1":     true,
		"http://10.0.0.7/v1":              true,
		"urn:example:api":                 true,
		"urn:example":                     false,
		"api":                             false,
		"https://api.example#f":           false,
		"https://api.example#":            false,
		"https:///x":                      false,
		"https://a@api.example":           false,
		"mailto:api@example.com":          false,
		"https://issuer.example":          false,
		"https://issuer.example/":         false,
		"https://issuer.example/api":      true,
		"https://api.example/a b":         false,
		"https://api.example/../x":        false,
		strings.Repeat("https://a.b", 99): false,
	} {
		require.Equal(t, ok, admin.AudienceFault(audience, "https://issuer.example") == "", audience)
	}
}

// Whatever is accepted survives parsing, and matches itself and nothing that
// differs from it in a byte.
func FuzzRedirectURIFault(f *testing.F) {
	for _, seed := range []string{"https://app.example/cb?x=1", "http://127.0.0.1:1/", "com.example.app:/cb", "https://[::1]/%41", "https:///", "https://a@b"} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, raw string, native bool) {
		if admin.RedirectURIFault(raw, native) != "" {
			return
		}
		u, err := url.Parse(raw)
		require.NoError(t, err)
		require.True(t, u.IsAbs())
		require.Nil(t, u.User)
		require.Empty(t, u.Fragment)
		require.Equal(t, raw, u.String(), "one spelling")
		require.True(t, u.Scheme == "https" || u.Scheme == "http" || native && strings.Contains(u.Scheme, "."))
		c := idp.Client{ClientMetadata: idp.ClientMetadata{RedirectURIs: []string{raw}}}
		require.True(t, c.MatchRedirectURI(raw))
		require.False(t, c.MatchRedirectURI(raw+"/"))
	})
}
