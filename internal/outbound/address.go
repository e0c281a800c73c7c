package outbound

import (
	"net/netip"
	"slices"
)

// special4 are the IPv4 networks that are not the public internet: the IANA
// registry of special-purpose addresses, and multicast.
var special4 = prefixes(
	"0.0.0.0/8",       // this host, RFC 791
	"10.0.0.0/8",      // private, RFC 1918
	"100.64.0.0/10",   // shared by carriers, RFC 6598
	"127.0.0.0/8",     // loopback
	"169.254.0.0/16",  // link-local, where clouds keep their metadata
	"172.16.0.0/12",   // private, RFC 1918
	"192.0.0.0/24",    // protocol assignments, RFC 6890
	"192.0.2.0/24",    // documentation, RFC 5737
	"192.88.99.0/24",  // 6to4 relays, RFC 7526
	"192.168.0.0/16",  // private, RFC 1918
	"198.18.0.0/15",   // benchmarking, RFC 2544
	"198.51.100.0/24", // documentation, RFC 5737
	"203.0.113.0/24",  // documentation, RFC 5737
	"224.0.0.0/4",     // multicast
	"240.0.0.0/4",     // reserved, and broadcast
)

// global6 is all of IPv6 that is routed publicly; special6 are the parts of it
// that lead elsewhere.
var (
	global6  = netip.MustParsePrefix("2000::/3")
	special6 = prefixes(
		"2001::/23",     // protocol assignments with Teredo, RFC 2928
		"2001:db8::/32", // documentation, RFC 3849
		"2002::/16",     // 6to4: an IPv4 address in disguise, RFC 3056
		"3fff::/20",     // documentation, RFC 9637
	)
)

func prefixes(networks ...string) []netip.Prefix {
	parsed := make([]netip.Prefix, len(networks))
	for i, n := range networks {
		parsed[i] = netip.MustParsePrefix(n)
	}
	return parsed
}

// public reports whether an address is on the public internet. IPv6 is allowed
// by list: mapped, compatible and translated IPv4 addresses (::ffff:0:0/96,
// ::/96, 64:ff9b::/96), loopback, unique local and link-local ones are outside
// of it.
func public(address netip.Addr) bool {
	if address.Is4() {
		return !within(special4, address)
	}
	return global6.Contains(address) && !within(special6, address)
}

func within(networks []netip.Prefix, address netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}
