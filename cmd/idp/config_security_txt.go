package main

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"idp/internal/discovery"
)

var languageTag = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$`)

// validateSecurityTxt checks each value by RFC 9116 section 2.5. A time that
// has passed is no fault: the file then says itself that it is out of date, and
// a server does not stay down for it.
func (l *loader) validateSecurityTxt() {
	c := l.config.SecurityTxt
	refuse := func(name, value string, ok bool) {
		if key := "security_txt." + name; value != "" && !ok {
			l.faultAt(key, l.allowed(key))
		} else if value != "" && c.Contact == "" {
			l.faultAt(key, "set security_txt.contact, too: there is no security.txt without a contact")
		}
	}
	refuse("contact", c.Contact, strings.TrimSpace(c.Contact) != "" && !slices.ContainsFunc(strings.Fields(c.Contact), func(uri string) bool {
		return !isURI(uri, "mailto", "tel", "https")
	}))
	expires, err := time.Parse(time.RFC3339, c.Expires)
	refuse("expires", c.Expires, err == nil && expires.Before(time.Now().AddDate(1, 0, 0)))
	refuse("encryption", c.Encryption, isURI(c.Encryption, "https", "openpgp4fpr", "dns"))
	refuse("acknowledgments", c.Acknowledgments, isURI(c.Acknowledgments, "https"))
	refuse("policy", c.Policy, isURI(c.Policy, "https"))
	refuse("preferred_languages", c.PreferredLanguages, !slices.ContainsFunc(strings.Fields(c.PreferredLanguages), func(tag string) bool {
		return !languageTag.MatchString(tag)
	}))
}

// isURI reports whether text is one URI of a scheme, and one line of ASCII.
func isURI(text string, schemes ...string) bool {
	u, err := url.Parse(text)
	if err != nil || !slices.Contains(schemes, u.Scheme) || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	if u.Scheme == "https" {
		return u.Hostname() != ""
	}
	return u.Opaque != ""
}

// file returns security.txt as it is served.
func (c *SecurityTxtConfig) file(issuer string) discovery.SecurityTxt {
	expires, _ := time.Parse(time.RFC3339, c.Expires)
	return discovery.SecurityTxt{
		Issuer: issuer, Contacts: strings.Fields(c.Contact), Expires: expires,
		Encryption: c.Encryption, Acknowledgments: c.Acknowledgments, Policy: c.Policy,
		PreferredLanguages: strings.Fields(c.PreferredLanguages),
	}
}
