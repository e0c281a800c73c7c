package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/server"
)

func TestListen(t *testing.T) {
	t.Parallel()
	l, err := server.Listen("--listen", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	taken := l.Addr().String()
	_, err = server.Listen("--listen", taken)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.ErrorContains(t, err, "--listen "+taken)
	_, err = server.Listen("IDP_LISTEN", "nonsense")
	require.ErrorContains(t, err, "IDP_LISTEN nonsense")
}

// A socket file that a killed process left is replaced; a living one, or a file
// that is no socket, is not.
func TestListenUnix(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "idp.sock")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	dead.SetUnlinkOnClose(false)
	require.NoError(t, dead.Close())

	l, err := server.Listen("--listen", "unix:"+path)
	require.NoError(t, err)
	defer l.Close()
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o660), info.Mode().Perm())
	_, err = server.Listen("--listen", "unix:"+path)
	require.ErrorContains(t, err, "--listen unix:"+path)

	file := filepath.Join(t.TempDir(), "precious")
	require.NoError(t, os.WriteFile(file, []byte("data"), 0o600))
	_, err = server.Listen("--listen", "unix:"+file)
	require.Error(t, err)
	require.FileExists(t, file)
}

// Who connects by the socket file is the proxy, and is believed.
func TestUnixPeersAreProxies(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "idp.sock")
	s := start(t, func(s *setup) {
		l, err := server.Listen("--listen", "unix:"+path)
		require.NoError(t, err)
		s.server.Public = l
		s.handler.Issuer = "https://id.example.com"
		s.handler.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	})
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	defer client.CloseIdleConnections()
	for forwarded, want := range map[string]string{"1.1.1.1, 203.0.113.7, 10.0.0.1": "203.0.113.7", "": ""} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://id.example.com:443/login", nil)
		require.NoError(t, err)
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		response, err := client.Do(r)
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, response.Body)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusOK, response.StatusCode)
		records := s.log.records(t)
		require.Equal(t, want, records[len(records)-1]["ip"])
	}
}
