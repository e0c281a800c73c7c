package server_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/server"
)

// writePair writes a self-signed certificate for 127.0.0.1 and returns it.
func writePair(t *testing.T, dir string, key crypto.Signer, serial int64) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool = x509.NewCertPool()
	pool.AddCert(certificate)
	return certFile, keyFile, pool
}

func ecKey(t *testing.T) crypto.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	return key
}

func TestAttack_R06_TLSVersionsAndSuites(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	for name, key := range map[string]crypto.Signer{"ECDSA": ecKey(t), "RSA": rsaKey} {
		certFile, keyFile, pool := writePair(t, t.TempDir(), key, 1)
		s := start(t, func(s *setup) {
			s.handler.Issuer = "https://PORT"
			s.server.Certificate, err = server.LoadCertificate(certFile, keyFile)
			require.NoError(t, err)
		})
		handshake := func(c *tls.Config) (tls.ConnectionState, error) {
			c.RootCAs = pool
			conn, err := tls.Dial("tcp", s.addr, c)
			if err != nil {
				return tls.ConnectionState{}, err
			}
			defer conn.Close()
			return conn.ConnectionState(), nil
		}
		state, err := handshake(&tls.Config{NextProtos: []string{"h2"}})
		require.NoError(t, err)
		require.EqualValues(t, tls.VersionTLS13, state.Version)
		require.Equal(t, tls.X25519MLKEM768, state.CurveID)
		require.Equal(t, "h2", state.NegotiatedProtocol)

		for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
			_, err := handshake(&tls.Config{MinVersion: version, MaxVersion: version})
			require.Error(t, err, "%s %x", name, version)
		}
		good := map[string][]uint16{
			"ECDSA": {tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384},
			"RSA":   {tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384},
		}[name]
		all := tls.InsecureCipherSuites()
		all = append(all, tls.CipherSuites()...)
		accepted := 0
		for _, suite := range all {
			_, err := handshake(&tls.Config{MinVersion: tls.VersionTLS12, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite.ID}})
			if err == nil {
				require.Contains(t, good, suite.ID, suite.Name)
				accepted++
			}
		}
		require.Equal(t, len(good), accepted)
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := writePair(t, t.TempDir(), ecKey(t), 1)
	s := start(t, func(s *setup) {
		s.handler.Issuer = "https://PORT"
		var err error
		s.server.Certificate, err = server.LoadCertificate(certFile, keyFile)
		require.NoError(t, err)
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	response, err := client.Get("https://" + s.addr + "/login")
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, "HTTP/2.0 login", response.Proto+" "+string(body))
	require.NotEmpty(t, response.Header.Get("Strict-Transport-Security"))

	// Plain HTTP on the TLS port gets nothing processed.
	require.Contains(t, s.raw("POST /oauth2/token HTTP/1.1\r\nHost: HOST\r\n\r\n"), "HTTP/1.0 400 Bad Request")
}

// A new pair is taken up while the server runs; a broken one is not; open
// connections live on.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile, _ := writePair(t, dir, ecKey(t), 1)
	certificate, err := server.LoadCertificate(certFile, keyFile)
	require.NoError(t, err)
	s := start(t, func(s *setup) {
		s.handler.Issuer = "https://PORT"
		s.server.Certificate = certificate
		s.server.Timeouts.ReadHeader = time.Minute // the open connection waits for the reload
	})
	dial := func() *tls.Conn {
		conn, err := tls.Dial("tcp", s.addr, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // which certificate it is, is what is asked
		require.NoError(t, err)
		return conn
	}
	serial := func() int64 {
		conn := dial()
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	open := dial()
	defer open.Close()
	require.EqualValues(t, 1, serial())

	require.NoError(t, os.WriteFile(keyFile, []byte("half a k"), 0o600))
	_, err = certificate.Reload()
	require.Error(t, err)
	require.EqualValues(t, 1, serial())

	writePair(t, dir, ecKey(t), 2)
	require.Eventually(t, func() bool { return serial() == 2 }, 10*time.Second, 100*time.Millisecond, "by itself, within ten seconds")
	changed, err := certificate.Reload()
	require.NoError(t, err)
	require.False(t, changed)

	_, err = io.WriteString(open, "GET /login HTTP/1.1\r\nHost: "+s.addr+"\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	answer, err := io.ReadAll(open)
	require.NoError(t, err)
	require.Contains(t, string(answer), "200 OK")

	_, err = server.LoadCertificate(filepath.Join(dir, "none.crt"), keyFile)
	require.ErrorContains(t, err, "none.crt")
}
