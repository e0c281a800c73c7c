package tokens_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"idp/internal/idp"
)

func TestFlow(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	want := idp.Flow{Request: "client_id=web&state=%C3%A4", RequestedAt: epoch, Browser: m.Bind("cookie"), AccountChosen: "s", Shown: []byte{1}}
	sealed, err := m.SealFlow(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := m.OpenFlow(sealed)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if strings.Trim(sealed, base64url) != "" {
		t.Errorf("%q needs escaping in a URL", sealed)
	}
	bad := func(what, changed string) {
		if _, err := m.OpenFlow(changed); err == nil {
			t.Errorf("%s: opened", what)
		} else {
			refuse(t, err, idp.ErrMalformed)
		}
	}
	for i := range len(sealed) {
		for _, c := range []byte{'A', 'B', '_', '=', '\n', ' '} {
			if c != sealed[i] {
				bad("changed", sealed[:i]+string(c)+sealed[i+1:])
			}
		}
		bad("line break", sealed[:i]+"\n"+sealed[i:])
		bad("truncated", sealed[:i])
	}
	for _, tail := range []string{"=", "==", "\r\n", "A", "AAAA"} {
		bad("extended", sealed+tail)
	}
	bad("empty", "")
	bad("huge", strings.Repeat("A", 1<<20))
	if _, err := newMaster(t, 4).OpenFlow(sealed); err == nil {
		t.Error("another master key opens it")
	}
}

func FuzzOpenFlow(f *testing.F) {
	m := newMaster(f, 3)
	want := idp.Flow{Request: "client_id=web", RequestedAt: epoch, Browser: []byte{1}}
	sealed, err := m.SealFlow(want)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, s string) {
		flow, err := m.OpenFlow(s)
		if err != nil {
			refuse(t, err, idp.ErrMalformed)
			return
		}
		// Each process of a fuzz run seals the same flow in its own way.
		raw, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != s || !cmp.Equal(flow, want) {
			t.Fatalf("opened %q, which was not sealed: %+v", s, flow)
		}
	})
}
