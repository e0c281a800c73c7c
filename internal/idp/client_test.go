package idp_test

import (
	"testing"

	"idp/internal/idp"
)

// Redirect URIs are compared byte for byte; only the port of a native client's
// loopback IP redirect may differ.
func TestRFC8252_7_3_RedirectURIMatch(t *testing.T) {
	native := &idp.Client{ClientMetadata: idp.ClientMetadata{
		ApplicationType: idp.ApplicationNative,
		RedirectURIs:    []string{"http://127.0.0.1/cb", "http://[::1]:7000/cb?a=b", "com.example.app:/cb", "https://127.0.0.1/tls"},
	}}
	web := &idp.Client{ClientMetadata: idp.ClientMetadata{
		ApplicationType: idp.ApplicationWeb,
		RedirectURIs:    []string{"https://app.example/cb", "http://127.0.0.1/cb", "https://app.example/q?x=1&y=2"},
	}}
	for _, tc := range []struct {
		client *idp.Client
		uri    string
		want   bool
	}{
		{native, "http://127.0.0.1/cb", true},
		{native, "http://127.0.0.1:51004/cb", true},
		{native, "http://[::1]:1/cb?a=b", true},
		{native, "com.example.app:/cb", true},
		{native, "http://127.0.0.1:51004/cb/", false},
		{native, "http://127.0.0.1:51004/cb?x", false},
		{native, "http://127.0.0.1:/cb", false},
		{native, "http://127.0.0.1:123456/cb", false},
		{native, "http://127.0.0.1:80@evil.example/cb", false},
		{native, "http://x@127.0.0.1:80/cb", false},
		{native, "http://127.0.0.1.evil.example/cb", false},
		{native, "http://localhost:51004/cb", false},
		{native, "http://127.1:51004/cb", false},
		{native, "http://127.0.0.1:51004/%63b", false},
		{native, "http://127.0.0.1:1/tls", false},
		{native, "https://127.0.0.1:1/tls", false},
		{native, "HTTP://127.0.0.1:51004/cb", false},
		{web, "https://app.example/cb", true},
		{web, "http://127.0.0.1/cb", true},
		{web, "http://127.0.0.1:51004/cb", false},
		{web, "https://app.example/q?x=1&y=2", true},
		{web, "https://app.example/q?y=2&x=1", false},
		{web, "https://app.example/cb/../cb", false},
		{web, "https://app.example/cb/", false},
		{web, "https://app.example/cb#", false},
		{web, "https://app.example@evil.example/cb", false},
		{web, "", false},
	} {
		if got := tc.client.MatchRedirectURI(tc.uri); got != tc.want {
			t.Errorf("%s client, %q: %v, want %v", tc.client.ApplicationType, tc.uri, got, tc.want)
		}
	}
}
