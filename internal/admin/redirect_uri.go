package admin

// What may be registered as a place to send people, their browsers' scripts or
// a page's links. URIs are compared byte for byte later on, so everything that
// two parsers could read differently is refused here.

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"idp/internal/idp"
)

// responseParameters are what an authorization response carries (RFC 6749
// sections 4.1.2 and 4.1.2.1, RFC 9207, OpenID Connect Session Management). A
// registered URI that brings one along would be answered with two.
var responseParameters = []string{
	"code", "state", "error", "error_description", "error_uri", "iss", "response",
	"id_token", "access_token", "token_type", "expires_in", "scope", "session_state",
}

// redirectURIFault says why the URI cannot be registered as a redirect URI, or
// "" if it can (RFC 6749 section 3.1.2, RFC 9700 section 4.1.3, RFC 8252
// section 7).
func redirectURIFault(raw string, native bool) string {
	u, reason := parseURI(raw)
	if reason != "" {
		return reason
	}
	switch {
	case u.Scheme == "https" || u.Scheme == "http":
		reason = authorityFault(u)
	case native && strings.Contains(u.Scheme, "."):
		reason = privateSchemeFault(raw, u)
	case native:
		reason = "a private scheme must be a reversed domain name with a dot, like com.example.app (RFC 8252 section 7.1)"
	default:
		reason = "the scheme must be https; private schemes are for application_type native"
	}
	if reason != "" {
		return reason
	}
	if strings.Contains(raw, "*") {
		return "wildcards are not supported: redirect URIs are compared exactly"
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return "the query cannot be read"
	}
	for key := range query {
		for _, p := range responseParameters {
			if strings.EqualFold(key, p) {
				return "the query must not hold " + p + ", which the authorization response sets"
			}
		}
	}
	return ""
}

// webURLFault says why the URL cannot be shown as a link or picture.
func webURLFault(raw string) string {
	u, reason := parseURI(raw)
	if reason != "" {
		return reason
	}
	if u.Scheme != "https" && u.Scheme != "http" {
		return "the scheme must be https"
	}
	return authorityFault(u)
}

// originFault says why the text is not an origin as browsers send it
// (RFC 6454 section 6.2).
func originFault(raw string) string {
	if raw == "*" || raw == "null" {
		return "must name one origin"
	}
	u, reason := parseURI(raw)
	switch {
	case reason != "":
		return reason
	case u.Scheme != "https" && u.Scheme != "http":
		return "the scheme must be https"
	case u.Path != "" || u.RawQuery != "" || u.ForceQuery:
		return "must end after host and port: an origin has no path and no slash at its end"
	case u.Port() == "443" && u.Scheme == "https", u.Port() == "80" && u.Scheme == "http":
		return "must leave out the scheme's own port, as browsers do"
	}
	return authorityFault(u)
}

// parseURI reads an absolute URI and refuses what parsers disagree about.
func parseURI(raw string) (*url.URL, string) {
	switch {
	case raw == "":
		return nil, "is empty"
	case len(raw) > maxURI:
		return nil, "is longer than " + strconv.Itoa(maxURI) + " bytes"
	case strings.Contains(raw, "#"):
		return nil, "must not have a fragment, not even an empty one (RFC 6749 section 3.1.2)"
	}
	for i := range len(raw) {
		// RFC 3986 section 2: anything else must be percent-encoded.
		if c := raw[i]; c <= 0x20 || c >= 0x7f || strings.IndexByte("\"<>\\^`{|}", c) >= 0 {
			return nil, "holds a character that a URI cannot hold; percent-encode it (a host as xn--…)"
		}
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, "is not a URI" // the parser's error would quote it
	}
	switch {
	case u.Scheme == "":
		return nil, "must be absolute"
	case !strings.HasPrefix(raw, u.Scheme+":"):
		return nil, "the scheme must be in lower case"
	case u.User != nil || strings.Contains(u.Host, "@"):
		return nil, "must not hold user information"
	}
	return u, escapesFault(strings.TrimPrefix(raw, u.Scheme+":"))
}

// escapesFault refuses percent-encodings that some parser decodes too early or
// twice: of control characters and "#" anywhere, of dots, slashes and "%" in
// the path; and dot segments.
func escapesFault(afterScheme string) string {
	path, query, _ := strings.Cut(afterScheme, "?")
	for _, part := range []struct {
		text   string
		inPath bool
	}{{path, true}, {query, false}} {
		for i := 0; i < len(part.text); i++ {
			if part.text[i] != '%' {
				continue
			}
			if i+2 >= len(part.text) {
				return "holds a broken percent-encoding"
			}
			c, err := strconv.ParseUint(part.text[i+1:i+3], 16, 8)
			switch {
			case err != nil:
				return "holds a broken percent-encoding"
			case c < 0x20 || c == 0x7f || c == '#':
				return "holds a percent-encoded control character or #"
			case part.inPath && (c == '.' || c == '/' || c == '\\' || c == '%'):
				return "the path holds a percent-encoded dot, slash, backslash or percent sign"
			}
		}
	}
	for segment := range strings.SplitSeq(path, "/") {
		// Some servers drop what follows a semicolon before they resolve dots.
		if name, _, _ := strings.Cut(segment, ";"); name == "." || name == ".." {
			return "the path holds a dot segment"
		}
	}
	return ""
}

// authorityFault checks host and port of an http or https URI: https anywhere,
// http at the loopback only (RFC 8252 section 7.3).
func authorityFault(u *url.URL) string {
	if u.Opaque != "" || u.Host == "" {
		return "must name a host, after two slashes"
	}
	if reason := portFault(u); reason != "" {
		return reason
	}
	host := u.Hostname()
	if strings.HasPrefix(u.Host, "[") {
		addr, err := netip.ParseAddr(host)
		switch {
		case err != nil || !addr.Is6() || addr.Zone() != "":
			return "the host is not an IPv6 address"
		case addr.Is4In6():
			return "the host is an IPv4 address in the clothes of an IPv6 one"
		case addr.String() != host:
			return "the host must be written as [" + addr.String() + "] (RFC 5952)"
		}
		return addressFault(u, addr)
	}
	if lastLabelIsNumber(host) {
		addr, err := netip.ParseAddr(host)
		if err != nil || !addr.Is4() || addr.String() != host {
			return "the host is neither a name nor an IPv4 address in four decimal parts"
		}
		return addressFault(u, addr)
	}
	if reason := hostNameFault(host); reason != "" {
		return reason
	}
	if u.Scheme == "http" && host != "localhost" {
		return "http is for localhost, 127.0.0.1 and [::1] only; use https"
	}
	return ""
}

func addressFault(u *url.URL, addr netip.Addr) string {
	switch {
	case addr.IsUnspecified() || addr.IsMulticast():
		return "the host is not the address of one machine"
	case u.Scheme == "http" && !addr.IsLoopback():
		return "http is for localhost, 127.0.0.1 and [::1] only; use https"
	}
	return ""
}

// lastLabelIsNumber reports whether a browser would read the host as an IPv4
// address: 127.1, 2130706433 and 0x7f000001 are all 127.0.0.1 to it.
func lastLabelIsNumber(host string) bool {
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == "" {
		return false
	}
	if hex, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(last, "0123456789") == ""
}

func hostNameFault(host string) string {
	switch {
	case host == "":
		return "must name a host, after two slashes"
	case strings.HasSuffix(host, "."):
		return "the host must not end in a dot"
	case len(host) > 253:
		return "the host is longer than 253 characters"
	}
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return "the host must be a domain name in lower case"
		}
	}
	return ""
}

func portFault(u *url.URL) string {
	port := u.Port()
	if port == "" {
		if strings.HasSuffix(u.Host, ":") {
			return "the port is empty"
		}
		return ""
	}
	n, err := strconv.Atoi(port)
	if err != nil || n < 1 || n > 65535 || strconv.Itoa(n) != port {
		return "the port must be from 1 to 65535"
	}
	return ""
}

// privateSchemeFault checks a URI of an application's own scheme (RFC 8252
// section 7.1), which the operating system gives to that application.
func privateSchemeFault(raw string, u *url.URL) string {
	for label := range strings.SplitSeq(u.Scheme, ".") {
		if label == "" {
			return "the scheme must be a reversed domain name, like com.example.app"
		}
	}
	if !strings.HasPrefix(raw, u.Scheme+":/") {
		return "a slash must follow the scheme, as in " + u.Scheme + ":/callback"
	}
	if u.Host != "" {
		if reason := portFault(u); reason != "" {
			return reason
		}
		return hostNameFault(u.Hostname())
	}
	return ""
}

// audienceFault says why the text cannot name a resource (RFC 8707 section 2).
func audienceFault(raw, issuer string) string {
	if len(raw) > 512 {
		return "is longer than 512 bytes"
	}
	u, reason := parseURI(raw)
	if reason != "" {
		return reason
	}
	switch u.Scheme {
	case "https", "http":
		if u.Opaque != "" || u.Host == "" {
			return "must name a host, after two slashes"
		}
		if reason := portFault(u); reason != "" {
			return reason
		}
		if !strings.HasPrefix(u.Host, "[") && !lastLabelIsNumber(u.Hostname()) {
			if reason := hostNameFault(u.Hostname()); reason != "" {
				return reason
			}
		}
	case "urn":
		if nid, nss, ok := strings.Cut(u.Opaque, ":"); !ok || nid == "" || nss == "" {
			return "must be urn:<namespace>:<name>"
		}
	default:
		return "the scheme must be https, http or urn"
	}
	if strings.TrimSuffix(raw, "/") == strings.TrimSuffix(issuer, "/") {
		return "is the issuer itself"
	}
	if strings.TrimSuffix(raw, "/") == idp.AdminAudience(strings.TrimSuffix(issuer, "/")) {
		return "is the admin API, which is there without being registered"
	}
	return ""
}
