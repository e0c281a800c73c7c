package main

import (
	"errors"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration that also speaks of days: 90s, 10m, 12h, 30d.
type Duration time.Duration

var (
	errDuration = errors.New("must be a duration such as 90s, 10m, 12h or 30d")
	daysPrefix  = regexp.MustCompile(`^([0-9]{1,5})d(.*)$`)
)

// parseDuration reads what String writes. Negative durations are refused.
func parseDuration(text string) (Duration, error) {
	var days time.Duration
	rest := text
	if m := daysPrefix.FindStringSubmatch(text); m != nil {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			return 0, errDuration
		}
		days, rest = time.Duration(n)*day, m[2]
		if rest == "" {
			return Duration(days), nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || days+d < 0 {
		return 0, errDuration
	}
	return Duration(days + d), nil
}

// String writes the duration as people would: 30d, 1d12h, 10m.
func (d Duration) String() string {
	days, rest := time.Duration(d)/day, time.Duration(d)%day
	text := ""
	if days > 0 {
		text = strconv.FormatInt(int64(days), 10) + "d"
		if rest == 0 {
			return text
		}
	}
	clock := rest.String()
	if strings.HasSuffix(clock, "m0s") {
		clock = strings.TrimSuffix(clock, "0s")
	}
	if strings.HasSuffix(clock, "h0m") {
		clock = strings.TrimSuffix(clock, "0m")
	}
	return text + clock
}

// DatabaseURL is a database URL. Printing it leaves its password out; Reveal
// is the one way to the whole.
type DatabaseURL string

// Reveal returns the URL with its password.
func (u DatabaseURL) Reveal() string { return string(u) }

func (u DatabaseURL) String() string {
	if u == "" || strings.HasPrefix(string(u), "sqlite:") {
		return string(u)
	}
	parsed, err := url.Parse(string(u))
	if err != nil {
		return "[redacted]"
	}
	query := parsed.Query()
	for name := range query {
		if strings.Contains(strings.ToLower(name), "password") {
			query.Set(name, "xxxxx")
		}
	}
	if parsed.RawQuery != "" {
		parsed.RawQuery = query.Encode()
	}
	return parsed.Redacted()
}

// GoString and MarshalText keep the password out of %#v, JSON and YAML.
func (u DatabaseURL) GoString() string { return u.String() }

// MarshalText writes what String writes.
func (u DatabaseURL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// parseNetwork reads a network in CIDR notation or one address.
func parseNetwork(text string) (netip.Prefix, error) {
	if prefix, err := netip.ParsePrefix(text); err == nil {
		if prefix != prefix.Masked() {
			return netip.Prefix{}, errors.New("has bits outside its mask: write " + prefix.Masked().String())
		}
		return prefix, nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, errors.New("must be a network such as 10.0.0.0/8 or an address")
	}
	return netip.PrefixFrom(addr, addr.BitLen()), nil
}

// std returns a configured duration as the standard library's.
func (d Duration) std() time.Duration { return time.Duration(d) }
