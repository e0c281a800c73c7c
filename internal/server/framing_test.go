package server

import (
	"bytes"
	"io"
	"net"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// source is a connection that only reads.
type source struct {
	net.Conn
	io.Reader
}

func (s source) Read(p []byte) (int, error) { return s.Reader.Read(p) }

// What the network cuts into pieces must be judged as if it came whole, and
// one byte at most is ever spoiled, and only by a NUL.
func FuzzFraming(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\na=bPOST / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
		"POST / HTTP/1.1\r\nContent-Length: 3\r\ncontent-length: 3\r\n\r\na=b",
		"POST / HTTP/1.1\nTransfer-Encoding: chunked\nContent-Length: 3\n\na=b",
		"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		"\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 9223372036854775807\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		whole, err := io.ReadAll(&framedConn{Conn: source{Reader: bytes.NewReader(sent)}})
		require.NoError(t, err)
		pieces, err := io.ReadAll(&framedConn{Conn: source{Reader: iotest.OneByteReader(bytes.NewReader(sent))}})
		require.NoError(t, err)
		require.Equal(t, whole, pieces)
		require.Len(t, whole, len(sent))
		spoiled := 0
		for i := range sent {
			if whole[i] != sent[i] {
				require.Zero(t, whole[i])
				spoiled++
			}
		}
		require.LessOrEqual(t, spoiled, 1)
	})
}
