// Package mailtest is a mail server for tests: it speaks SMTP (RFC 5321) with
// STARTTLS or TLS from the start and with AUTH, keeps what it is given, and
// misbehaves when told to.
package mailtest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mail is a message that the server took.
type Mail struct {
	From, To string // of the envelope
	TLS      bool
	User     string // who authenticated; empty for nobody
	Header   mail.Header
	Subject  string
	Text     string
	HTML     string
	Raw      string
}

// Server is a mail server.
type Server struct {
	Host string
	Port string
	// CA is the authority of its certificate, in PEM.
	CA    []byte
	Roots *x509.CertPool

	implicit    bool
	certificate tls.Certificate
	listener    net.Listener
	done        sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	conns    map[net.Conn]bool
	taken    []Mail
	sessions int
	commands []string
	behave   Behaviour
}

// Behaviour is what is special about a server.
type Behaviour struct {
	NoTLS      bool              // does not offer STARTTLS
	Mechanisms string            // of AUTH: "PLAIN LOGIN"; empty asks for none
	Password   string            // of everybody
	Hangs      bool              // takes connections and says nothing
	Replies    map[string]string // what it says to a command instead: "RCPT": "550 no such user"
	HangsUp    bool              // does not wait for QUIT once it has the message
}

// New starts a server on a loopback port, and stops it with the test.
func New(t testing.TB, behave Behaviour) *Server {
	return start(t, &Server{behave: behave}, "127.0.0.1:0")
}

// NewImplicit starts one that speaks TLS from the first byte.
func NewImplicit(t testing.TB, behave Behaviour) *Server {
	return start(t, &Server{behave: behave, implicit: true}, "127.0.0.1:0")
}

// Again starts a server in the place of one that was closed.
func (s *Server) Again(t testing.TB, behave Behaviour) *Server {
	return start(t, &Server{
		behave: behave, implicit: s.implicit, certificate: s.certificate, CA: s.CA, Roots: s.Roots,
	}, net.JoinHostPort(s.Host, s.Port))
}

func start(t testing.TB, s *Server, address string) *Server {
	t.Helper()
	s.conns = map[net.Conn]bool{}
	if s.CA == nil {
		s.makeCertificate(t)
	}
	var err error
	if s.listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	s.Host, s.Port, _ = net.SplitHostPort(s.listener.Addr().String())
	s.done.Go(func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			if !s.keep(conn) {
				return
			}
			s.done.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(s.Close)
	return s
}

// keep remembers a connection to close it with the server.
func (s *Server) keep(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.Close()
		return false
	}
	s.conns[conn] = true
	s.sessions++
	return true
}

// Close stops the server.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	s.listener.Close()
	for conn := range s.conns {
		conn.Close()
	}
	s.mu.Unlock()
	s.done.Wait()
}

// Behave changes what is special about the server.
func (s *Server) Behave(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behave = b
}

func (s *Server) behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.behave
}

// Sessions counts the connections so far.
func (s *Server) Sessions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sessions
}

// Commands returns what clients have said, a line each.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Taken returns the messages so far.
func (s *Server) Taken() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// To returns the messages to an address so far.
func (s *Server) To(address string) []Mail {
	return slices.DeleteFunc(s.Taken(), func(m Mail) bool { return m.To != address })
}

// Wait waits until there are n messages to the address and returns them.
func (s *Server) Wait(t testing.TB, address string, n int) []Mail {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if mails := s.To(address); len(mails) >= n {
			return mails
		}
	}
	t.Fatalf("%d of %d messages to %s after 30 s", len(s.To(address)), n, address)
	return nil
}

// session is one connection.
type session struct {
	*Server
	conn     net.Conn
	in       *bufio.Reader
	tls      bool
	user     string
	from, to string
}

func (s *Server) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	c := &session{Server: s, conn: conn}
	if s.behaviour().Hangs {
		_, _ = io.Copy(io.Discard, conn)
		return
	}
	if s.implicit {
		c.conn, c.tls = tls.Server(conn, s.config()), true
	}
	c.in = bufio.NewReader(c.conn)
	if c.say("CONNECT", "220 mail.test ESMTP") != nil {
		return
	}
	for {
		line, err := c.line()
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(line, " ")
		verb = strings.ToUpper(verb)
		s.mu.Lock()
		s.commands = append(s.commands, line)
		s.mu.Unlock()
		if err := c.answer(verb, argument); err != nil {
			return
		}
	}
}

// answer answers one command. An error ends the connection.
func (c *session) answer(verb, argument string) error {
	b := c.behaviour()
	switch verb {
	case "EHLO", "HELO":
		lines := []string{"mail.test", "8BITMIME", "SMTPUTF8"}
		if !c.tls && !b.NoTLS {
			lines = append(lines, "STARTTLS")
		}
		if b.Mechanisms != "" {
			lines = append(lines, "AUTH "+b.Mechanisms)
		}
		var out strings.Builder
		for i, line := range lines {
			mark := "-"
			if i == len(lines)-1 {
				mark = " "
			}
			out.WriteString("250" + mark + line + "\r\n")
		}
		return c.say(verb, strings.TrimSuffix(out.String(), "\r\n"))
	case "STARTTLS":
		if err := c.say(verb, "220 go on"); err != nil {
			return err
		}
		c.conn, c.tls = tls.Server(c.conn, c.config()), true
		c.in = bufio.NewReader(c.conn)
		return nil
	case "AUTH":
		return c.authenticate(argument)
	case "MAIL":
		if b.Mechanisms != "" && c.user == "" {
			return c.say("", "530 authenticate first")
		}
		c.from = path(argument)
		return c.say(verb, "250 ok")
	case "RCPT":
		c.to = path(argument)
		return c.say(verb, "250 ok")
	case "DATA":
		if reply, other := b.Replies[verb]; other {
			return c.say("", reply)
		}
		if err := c.say("", "354 go on"); err != nil {
			return err
		}
		raw, err := io.ReadAll(textproto.NewReader(c.in).DotReader())
		if err != nil {
			return err
		}
		if reply, other := b.Replies["."]; other {
			return c.say("", reply)
		}
		m, err := parse(raw)
		if err != nil {
			return c.say("", "554 "+err.Error())
		}
		m.From, m.To, m.TLS, m.User = c.from, c.to, c.tls, c.user
		c.mu.Lock()
		c.taken = append(c.taken, m)
		c.mu.Unlock()
		if err := c.say("", "250 taken"); err != nil || b.HangsUp {
			return io.EOF
		}
		return nil
	case "QUIT":
		_ = c.say(verb, "221 bye")
		return io.EOF
	case "RSET", "NOOP":
		return c.say(verb, "250 ok")
	}
	return c.say(verb, "502 not known")
}

// authenticate is PLAIN (RFC 4616) or LOGIN.
func (c *session) authenticate(argument string) error {
	mechanism, initial, _ := strings.Cut(argument, " ")
	var user, password string
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		raw, _ := base64.StdEncoding.DecodeString(initial)
		if parts := strings.Split(string(raw), "\x00"); len(parts) == 3 {
			user, password = parts[1], parts[2]
		}
	case "LOGIN":
		for _, ask := range []struct {
			prompt string
			into   *string
		}{{"Username:", &user}, {"Password:", &password}} {
			if err := c.say("", "334 "+base64.StdEncoding.EncodeToString([]byte(ask.prompt))); err != nil {
				return err
			}
			line, err := c.line()
			if err != nil {
				return err
			}
			raw, _ := base64.StdEncoding.DecodeString(line)
			*ask.into = string(raw)
		}
	}
	if user == "" || password != c.behaviour().Password {
		return c.say("", "535 5.7.8 wrong credentials")
	}
	c.user = user
	return c.say("AUTH", "235 ok")
}

func (c *session) line() (string, error) {
	line, err := c.in.ReadString('\n')
	return strings.TrimRight(line, "\r\n"), err
}

// say answers a command, with other words where the behaviour has them.
func (c *session) say(verb, text string) error {
	if reply, other := c.behaviour().Replies[verb]; other && verb != "" {
		text = reply
	}
	_, err := io.WriteString(c.conn, text+"\r\n")
	return err
}

// path is the address in FROM:<a@b> or TO:<a@b>.
func path(argument string) string {
	_, rest, _ := strings.Cut(argument, "<")
	address, _, _ := strings.Cut(rest, ">")
	return address
}

// parse reads a message of two alternatives.
func parse(raw []byte) (Mail, error) {
	message, err := mail.ReadMessage(strings.NewReader(string(raw)))
	if err != nil {
		return Mail{}, err
	}
	m := Mail{Header: message.Header, Raw: string(raw)}
	if m.Subject, err = new(mime.WordDecoder).DecodeHeader(message.Header.Get("Subject")); err != nil {
		return Mail{}, err
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		return Mail{}, fmt.Errorf("%s is no multipart/alternative: %w", kind, err)
	}
	parts := multipart.NewReader(message.Body, parameters["boundary"])
	for _, want := range []struct {
		kind string
		into *string
	}{{"text/plain", &m.Text}, {"text/html", &m.HTML}} {
		part, err := parts.NextRawPart()
		if err != nil {
			return Mail{}, err
		}
		kind, parameters, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil || kind != want.kind || !strings.EqualFold(parameters["charset"], "utf-8") || part.Header.Get("Content-Transfer-Encoding") != "quoted-printable" {
			return Mail{}, fmt.Errorf("part %v", part.Header)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			return Mail{}, err
		}
		*want.into = strings.ReplaceAll(string(body), "\r\n", "\n")
	}
	if _, err := parts.NextRawPart(); err != io.EOF {
		return Mail{}, fmt.Errorf("a third part: %w", err)
	}
	return m, nil
}

func (s *Server) config() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{s.certificate}, MinVersion: tls.VersionTLS12}
}

func (s *Server) makeCertificate(t testing.TB) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	s.certificate = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	s.CA = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.Roots = x509.NewCertPool()
	s.Roots.AppendCertsFromPEM(s.CA)
}
