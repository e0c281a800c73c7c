package server

import (
	"net/netip"
	"testing"
	"time"
)

func TestNoticesAreBounded(t *testing.T) {
	var n notices
	now := time.Unix(1_800_000_000, 0)
	if peer := netip.MustParseAddr("2001:db8::1"); !n.due(peer, now) || n.due(netip.MustParseAddr("2001:db8::2"), now) {
		t.Error("a network of 64 bits is not one peer")
	}
	told := 0
	for i := range 10 * noticePeers {
		if n.due(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), now) {
			told++
		}
	}
	if told != noticePeers-1 || len(n.last) != noticePeers {
		t.Errorf("%d peers told of, %d remembered", told, len(n.last))
	}
	if !n.due(netip.Addr{}, now.Add(noticeEvery)) || len(n.last) != 1 {
		t.Errorf("%d peers remembered for too long", len(n.last))
	}
}
