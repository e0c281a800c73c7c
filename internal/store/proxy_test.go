package store_test

import (
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

// proxy stands between a store and its server. It counts network round trips as
// they are on the wire: the turns from reading an answer to writing anew. It
// can cut the line.
type proxy struct {
	listener net.Listener
	network  string
	target   string
	turns    atomic.Int64

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

// newProxy returns a proxy and the database URL that leads through it.
func newProxy(t *testing.T, databaseURL string) (*proxy, string) {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	p := &proxy{network: "tcp", target: u.Host}
	query := u.Query()
	if dir := query.Get("host"); dir != "" {
		p.network, p.target = "unix", dir+"/.s.PGSQL.5432"
		query.Del("host")
	} else if u.Port() == "" {
		p.target = net.JoinHostPort(u.Hostname(), "5432")
	}
	query.Set("sslmode", "disable") // the proxy reads nothing, but a handshake has turns of its own
	p.listener, err = net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = p.listener.Close()
		p.cut()
	})
	go p.serve()
	u.Host, u.RawQuery = p.listener.Addr().String(), query.Encode()
	return p, u.String()
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		server, err := net.Dial(p.network, p.target)
		if p.down || err != nil {
			_ = client.Close()
			p.mu.Unlock()
			continue
		}
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		var answered atomic.Bool
		answered.Store(true)
		go relay(server, client, func() {
			if answered.Swap(false) {
				p.turns.Add(1)
			}
		})
		go relay(client, server, func() { answered.Store(true) })
	}
}

func relay(to, from net.Conn, seen func()) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			seen()
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut breaks all connections and refuses new ones.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
}

// mend lets new connections through.
func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// withParam adds a connection parameter to a database URL.
func withParam(t *testing.T, databaseURL, name, value string) string {
	t.Helper()
	u, err := url.Parse(databaseURL)
	require.NoError(t, err)
	query := u.Query()
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}
