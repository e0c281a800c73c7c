package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a proxy says of whoever is behind it: address, scheme and host (RFC
// 7239 and its forerunners), and the certificate of a TLS connection that ended
// there (RFC 9440 and its forerunners). From anybody else such a header is at
// best a mistake.
var (
	proxyHeaders        = []string{"Forwarded", "X-Real-Ip", "Client-Cert", "Client-Cert-Chain"}
	proxyHeaderPrefixes = []string{"X-Forwarded-", "X-Client-Cert", "X-Ssl-", "Ssl-Client-"}
)

const (
	maxProxyHeaders    = 8  // named of one request
	maxProxyHeaderName = 64 // bytes: the end of a name is the sender's choice
)

// proxyHeadersOf names the headers of the request that only a proxy sends,
// never what they say.
func proxyHeadersOf(h http.Header) []string {
	var names []string
	for name := range h {
		fromProxy := slices.Contains(proxyHeaders, name) ||
			slices.ContainsFunc(proxyHeaderPrefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if fromProxy {
			names = append(names, name[:min(len(name), maxProxyHeaderName)])
		}
	}
	slices.Sort(names)
	return names[:min(len(names), maxProxyHeaders)]
}

const (
	noticeEvery = time.Minute // one peer is told of so often
	noticePeers = 512         // that are told of within that time, at most
)

// notices counts whom was told of lately, so that nobody floods the audit.
type notices struct {
	mu   sync.Mutex
	last map[netip.Prefix]time.Time
}

// due reports whether the peer is to be told of now. Addresses of one IPv6
// network of 64 bits are one peer. It is not while too many others are.
func (n *notices) due(peer netip.Addr, now time.Time) bool {
	bits := 32
	if peer.Is6() {
		bits = 64
	}
	network, _ := peer.Prefix(bits) // the zero Prefix for no address
	n.mu.Lock()
	defer n.mu.Unlock()
	if told, ok := n.last[network]; ok && now.Sub(told) < noticeEvery {
		return false
	}
	if len(n.last) >= noticePeers {
		for p, told := range n.last {
			if now.Sub(told) >= noticeEvery {
				delete(n.last, p)
			}
		}
	}
	if len(n.last) >= noticePeers {
		return false
	}
	if n.last == nil {
		n.last = map[netip.Prefix]time.Time{}
	}
	n.last[network] = now
	return true
}
