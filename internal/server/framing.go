package server

import (
	"bytes"
	"net"
	"strconv"
)

// framed is a listener whose connections refuse requests that a proxy in front
// could have framed differently. net/http forgives three kinds, as RFC 9112
// leaves it free to: a folded header line (section 5.2), Content-Length beside
// Transfer-Encoding (6.1), and a Content-Length that is there twice (6.3).
//
// It stands in front of plain connections, the ones that come from a proxy. A
// connection that ends its TLS here has nobody in between to disagree with.
type framed struct{ net.Listener }

func (l framed) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &framedConn{Conn: conn}, nil
}

// framedConn reads along with net/http. Where a head breaks the rules, it
// spoils one byte of the offending line, so that net/http itself answers 400
// and closes the connection. After a head with Transfer-Encoding it only passes
// bytes on, because nothing behind such a body is ever taken for a request: the
// handler closes the connection.
type framedConn struct {
	net.Conn
	state framing

	line    []byte // the line so far; of the request line its end, of a header its beginning
	read    int    // bytes of the line so far
	named   bool   // the header's name is complete
	isSize  bool   // it is Content-Length
	old     bool   // the request line does not say HTTP/1.1
	chunked bool   // the head has Transfer-Encoding
	sized   bool   // the head has Content-Length
	length  int64  // what it says; in the body, what is left of it
}

type framing int

const (
	betweenRequests framing = iota
	inRequestLine
	inHeader
	inBody
	passing // nothing is looked at any more
)

// longestLine is how much of a header line is kept: enough for the names and
// values that matter here.
const longestLine = 64

func (c *framedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for i := 0; i < n && c.state != passing; {
		if c.state == inBody {
			passed := min(int64(n-i), c.length)
			i += int(passed)
			c.length -= passed
			if c.length == 0 {
				c.state = betweenRequests
			}
			continue
		}
		if !c.accepts(p[i]) {
			p[i] = 0 // allowed nowhere in a head (RFC 9110 section 5.5)
			c.state = passing
		}
		i++
	}
	return n, err
}

// CloseWrite lets net/http end the answer before the connection, so that the
// client reads it even if it is still sending.
func (c *framedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// accepts takes in one byte of a head.
func (c *framedConn) accepts(b byte) bool {
	switch {
	case c.state == betweenRequests && (b == '\r' || b == '\n'):
		return true // RFC 9112 section 2.2
	case c.state == betweenRequests:
		*c = framedConn{Conn: c.Conn, state: inRequestLine, line: append(c.line[:0], b)}
		return true
	case c.state == inRequestLine && b == '\n':
		c.old = !bytes.HasSuffix(bytes.TrimSuffix(c.line, []byte("\r")), []byte("HTTP/1.1"))
		c.state = inHeader
		c.newLine()
		return true
	case c.state == inRequestLine:
		if len(c.line) == longestLine {
			c.line = append(c.line[:0], c.line[longestLine/2:]...)
		}
		c.line = append(c.line, b)
		return true
	case b == '\n':
		return c.endLine()
	}
	return c.inLine(b)
}

// inLine takes in one byte of a header line.
func (c *framedConn) inLine(b byte) bool {
	c.read++
	if c.read == 1 && (b == ' ' || b == '\t') {
		return false // folded
	}
	if b == ':' && !c.named {
		c.named = true
		switch string(bytes.ToLower(c.line)) {
		case "content-length":
			if c.sized || c.chunked {
				return false
			}
			c.isSize, c.sized = true, true
		case "transfer-encoding":
			if c.sized || c.old {
				return false
			}
			c.chunked = true
		}
	}
	if len(c.line) == longestLine {
		return !c.isSize // no length is that long
	}
	c.line = append(c.line, b)
	return true
}

// endLine closes a header line, or the head if the line is empty.
func (c *framedConn) endLine() bool {
	line := bytes.TrimSuffix(c.line, []byte("\r"))
	if c.read == len(c.line) && len(line) == 0 {
		switch {
		case c.chunked:
			c.state = passing
		case c.length > 0:
			c.state = inBody
		default:
			c.state = betweenRequests
		}
		return true
	}
	if c.isSize {
		_, value, _ := bytes.Cut(line, []byte(":"))
		length, err := strconv.ParseUint(string(bytes.Trim(value, " \t")), 10, 63)
		if err != nil {
			return false
		}
		c.length = int64(length)
	}
	c.newLine()
	return true
}

func (c *framedConn) newLine() {
	c.line, c.read, c.named, c.isSize = c.line[:0], 0, false, false
}
