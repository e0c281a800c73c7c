package mail

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	gomail "github.com/wneessen/go-mail"
	smtplog "github.com/wneessen/go-mail/log"
	"github.com/wneessen/go-mail/smtp"

	"idp/internal/idp"
)

// How a connection to the server is protected.
const (
	// TLSStart begins in the clear, and goes no further without STARTTLS (RFC
	// 3207).
	TLSStart = "starttls"
	// TLSImplicit is TLS from the first byte (RFC 8314 section 3.3).
	TLSImplicit = "implicit"
	// TLSNone is for a server on this machine, or on a network that is trusted.
	TLSNone = "none"
)

// answerTimeout is how long getting to know the server, and then giving it the
// message, may each take.
const answerTimeout = 25 * time.Second

// SMTPConfig says where messages go.
type SMTPConfig struct {
	Host     string
	Port     int
	TLS      string         // TLSStart, TLSImplicit or TLSNone
	Roots    *x509.CertPool // who is believed about the server's name; nil for the system's
	Username string         // empty for none
	Password idp.Secret
	From     mail.Address
	ReplyTo  *mail.Address // nil for none
	// Domain is the issuer's host: the right side of Message-IDs, and how this
	// server introduces itself.
	Domain string
	// Dialogue is told what both sides say, without credentials and contents.
	// Nil for nobody.
	Dialogue func(line string)
}

// SMTP hands messages to a mail server. It keeps no connection, so that nothing
// has to be watched; the server of a company takes many.
type SMTP struct{ SMTPConfig }

// NewSMTP returns the transport. Credentials without TLS are refused.
func NewSMTP(cfg SMTPConfig) (*SMTP, error) {
	switch {
	case cfg.Host == "" || cfg.From.Address == "":
		return nil, errors.New("mail: host and sender are needed")
	case !slices.Contains([]string{TLSStart, TLSImplicit, TLSNone}, cfg.TLS):
		return nil, fmt.Errorf("mail: unknown kind of TLS %q", cfg.TLS)
	case cfg.TLS == TLSNone && cfg.Username != "":
		return nil, errors.New("mail: no credentials without TLS")
	}
	return &SMTP{cfg}, nil
}

// Send gives a message to the server.
func (s *SMTP) Send(ctx context.Context, m Message) (idp.MailOutcome, error) {
	message, err := s.message(m)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrRefused, err)
	}
	line := &dialler{smtp: s}
	defer line.close()
	defer context.AfterFunc(ctx, line.close)() // a server that hangs is left
	client, err := s.client(line)
	if err != nil {
		return "", err
	}
	err = client.DialAndSendWithContext(ctx, message)
	if message.IsDelivered() {
		return idp.MailSent, nil // what follows is goodbye
	}
	return "", judge(err, m.To)
}

// Check goes as far as sending does, to the server and through TLS and the
// credentials, and sends nothing.
func (s *SMTP) Check(ctx context.Context) error {
	line := &dialler{smtp: s}
	defer line.close()
	defer context.AfterFunc(ctx, line.close)()
	client, err := s.client(line)
	if err != nil {
		return err
	}
	if err := client.DialWithContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	_ = client.Close() // goodbye
	return nil
}

func (s *SMTP) client(line *dialler) (*gomail.Client, error) {
	options := []gomail.Option{
		gomail.WithPort(s.Port), gomail.WithTimeout(answerTimeout), gomail.WithHELO(s.Domain), gomail.WithTLSConfig(s.tls()),
		gomail.WithTLSPolicy(gomail.NoTLS), gomail.WithDialContextFunc(line.dial), gomail.WithoutNoop(),
	}
	if s.TLS == TLSStart {
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.Username != "" {
		options = append(options, gomail.WithSMTPAuthCustom(&login{s.Username, s.Password, s.Host, nil}))
	}
	if s.Dialogue != nil {
		options = append(options, gomail.WithDebugLog(), gomail.WithLogger(dialogue{s.Dialogue}))
	}
	client, err := gomail.NewClient(s.Host, options...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	return client, nil
}

// judge says what a failure means for this message and the others. A server
// that refuses the sender, or breaks off, does so whatever the message.
func judge(err error, to string) error {
	sent, ok := errors.AsType[*gomail.SendError](err)
	if !ok {
		return fmt.Errorf("%w: %w", ErrAway, err)
	}
	// The address is sealed elsewhere: it is not shown here.
	text, _, _ := strings.Cut(sent.Error(), ", affected ")
	err = errors.New(strings.ReplaceAll(regexp.MustCompile("(?i)"+regexp.QuoteMeta(to)).ReplaceAllString(text, "…"), `"`, ""))
	ours := sent.Reason == gomail.ErrSMTPRcptTo || sent.Reason == gomail.ErrSMTPData || sent.Reason == gomail.ErrSMTPDataClose
	switch code := sent.ErrorCode(); {
	case !ours || code == 0 || code == 421:
		return fmt.Errorf("%w: %w", ErrAway, err)
	case code >= 500:
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return err
}

// message builds the message (RFC 5322, RFC 2046 section 5.1.4). Nobody but the
// one recipient's program reads it: no List-* fields, nothing to track.
func (s *SMTP) message(m Message) (*gomail.Msg, error) {
	if err := idp.CheckMailAddress(m.To); err != nil {
		return nil, err
	}
	msg := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingQP))
	msg.FromMailAddress(&s.From)
	if s.ReplyTo != nil {
		msg.ReplyToMailAddress(s.ReplyTo)
	}
	if err := msg.To(m.To); err != nil {
		return nil, err
	}
	msg.Subject(strings.Join(strings.Fields(m.Subject), " "))
	msg.SetDateWithValue(m.Date)
	msg.SetMessageIDWithValue(m.ID.UUID() + "@" + s.Domain)
	msg.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834 section 5
	msg.SetGenHeader("Content-Language", m.Lang)
	msg.SetBodyString(gomail.TypeTextPlain, m.Text)
	msg.AddAlternativeString(gomail.TypeTextHTML, m.HTML)
	return msg, nil
}

func (s *SMTP) tls() *tls.Config {
	return &tls.Config{ServerName: s.Host, RootCAs: s.Roots, MinVersion: tls.VersionTLS12}
}

// dialler makes the one connection of an attempt, and ends it when the attempt
// is over, however it went.
type dialler struct {
	smtp *SMTP

	mu   sync.Mutex
	conn net.Conn
	over bool
}

func (d *dialler) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.conn = conn
	over := d.over
	d.mu.Unlock()
	if over {
		d.close()
		return nil, net.ErrClosed
	}
	if d.smtp.TLS != TLSImplicit {
		return conn, nil
	}
	secure := tls.Client(conn, d.smtp.tls())
	if err := secure.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return secure, nil
}

func (d *dialler) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.conn != nil {
		_ = d.conn.Close() // after QUIT, or too late for it
	}
}

// login authenticates with PLAIN (RFC 4616), or LOGIN where there is nothing
// else, and with neither where somebody could listen.
type login struct {
	username string
	password idp.Secret
	host     string
	chosen   smtp.Auth
}

func (l *login) Start(server *smtp.ServerInfo) (string, []byte, error) {
	switch {
	case !server.TLS:
		return "", nil, errors.New("no credentials without TLS")
	case slices.ContainsFunc(server.Auth, func(a string) bool { return strings.EqualFold(a, "PLAIN") }):
		l.chosen = smtp.PlainAuth("", l.username, l.password.Reveal(), l.host, false)
	case slices.ContainsFunc(server.Auth, func(a string) bool { return strings.EqualFold(a, "LOGIN") }):
		l.chosen = smtp.LoginAuth(l.username, l.password.Reveal(), l.host, false)
	default:
		return "", nil, errors.New("the server offers neither PLAIN nor LOGIN")
	}
	return l.chosen.Start(server)
}

func (l *login) Next(fromServer []byte, more bool) ([]byte, error) {
	return l.chosen.Next(fromServer, more)
}

// dialogue hands on what the library logs.
type dialogue struct{ tell func(line string) }

func (d dialogue) Debugf(l smtplog.Log) { d.line(l) }
func (d dialogue) Infof(l smtplog.Log)  { d.line(l) }
func (d dialogue) Warnf(l smtplog.Log)  { d.line(l) }
func (d dialogue) Errorf(l smtplog.Log) { d.line(l) }

func (d dialogue) line(l smtplog.Log) {
	prefix := "< "
	if l.Direction == smtplog.DirClientToServer {
		prefix = "> "
	}
	for line := range strings.SplitSeq(strings.TrimSpace(fmt.Sprintf(l.Format, l.Messages...)), "\n") {
		d.tell(prefix + oneLine(line, 200))
	}
}
