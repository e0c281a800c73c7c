package server

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// peer returns who is at the other end of the connection, and whether it is a
// trusted proxy. Whoever comes by a unix socket has no address and is one.
func (p *public) peer(r *http.Request) (netip.Addr, bool) {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return netip.Addr{}, true
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, false
	}
	addr := peer.Addr().Unmap().WithZone("")
	return addr, p.trusts(addr)
}

func (p *public) trusts(addr netip.Addr) bool {
	for _, prefix := range p.trustedProxies {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// clientAddress returns the address of whoever asks. A trusted proxy may name
// it: the rightmost hop that is not itself a trusted proxy counts, because
// everything to its left is only what that hop claims. When X-Forwarded-For
// and Forwarded (RFC 7239) disagree, the client wrote one of them, so neither
// counts.
func (p *public) clientAddress(r *http.Request, peer netip.Addr, trusted bool) string {
	client := peer
	if trusted {
		common, standard := r.Header["X-Forwarded-For"], r.Header["Forwarded"]
		a, b := p.rightmost(peer, elements(common)), p.rightmost(peer, forwardedFor(standard))
		switch {
		case len(standard) == 0:
			client = a
		case len(common) == 0 || a == b:
			client = b
		}
	}
	if !client.IsValid() {
		return ""
	}
	return client.String()
}

// rightmost walks the hops from the right while they are trusted proxies. A
// hop that is no address ends the walk at the last proxy that can be named.
func (p *public) rightmost(peer netip.Addr, hops []string) netip.Addr {
	client := peer
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(hops[i])
		if !ok {
			return client
		}
		client = hop
		if !p.trusts(hop) {
			return client
		}
	}
	return client
}

func elements(lines []string) []string {
	if len(lines) == 0 {
		return nil
	}
	return strings.Split(strings.Join(lines, ","), ",")
}

// forwardedFor returns the for= of each element of Forwarded; an element
// without one is a hop without a name.
func forwardedFor(lines []string) []string {
	var hops []string
	for _, element := range elements(lines) {
		hop := ""
		for pair := range strings.SplitSeq(element, ";") {
			name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
			if strings.EqualFold(name, "for") {
				hop = strings.Trim(value, `"`)
			}
		}
		hops = append(hops, hop)
	}
	return hops
}

// parseHop reads an address with or without port and brackets.
func parseHop(s string) (netip.Addr, bool) {
	s = strings.TrimSpace(s)
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		withPort, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		addr = withPort.Addr()
	}
	return addr.Unmap().WithZone(""), true
}
