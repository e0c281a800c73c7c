package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// Failure is a request that came to nothing. It is for the operator alone.
type Failure struct {
	Address string // without the query: that may be nobody's business
	Reason  string // one of the Reason… words
	Cause   error
}

// What requests fail of.
const (
	ReasonTimeout = "timeout"
	ReasonName    = "name"    // the host's name is not found
	ReasonAddress = "address" // is not a URL, or leads inside
	ReasonTLS     = "tls"     // the certificate is not trusted, or there is none
	ReasonConnect = "connect"
	ReasonAnswer  = "answer" // a status, an encoding, a length or a content that cannot be used
)

var (
	errInside   = errors.New("is not public and not listed in outbound.allow")
	errNotAURL  = errors.New("is not a URL")
	errNotHTTPS = errors.New("is not an https URL")
	errNoHost   = errors.New("has no host, or a user name before it")
)

// reasonOf sorts a cause; what is no fault of the way there is one of the
// answer.
func reasonOf(cause error) string {
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var header tls.RecordHeaderError
	var alert tls.AlertError
	var operation *net.OpError
	switch {
	case errors.Is(cause, errInside), errors.Is(cause, errNotAURL), errors.Is(cause, errNotHTTPS), errors.Is(cause, errNoHost):
		return ReasonAddress
	case errors.Is(cause, context.DeadlineExceeded), errors.Is(cause, os.ErrDeadlineExceeded):
		return ReasonTimeout
	case errors.As(cause, &name):
		return ReasonName
	case errors.As(cause, &certificate), errors.As(cause, &authority), errors.As(cause, &header), errors.As(cause, &alert):
		return ReasonTLS
	case errors.Is(cause, syscall.ECONNREFUSED), errors.As(cause, &operation):
		return ReasonConnect
	}
	return ReasonAnswer
}

const (
	// tellEvery is how often a subject's failures are told of.
	tellEvery = time.Minute
	// subjectsAtOnce bounds how many subjects are counted at the same time.
	subjectsAtOnce = 4096
)

// Tally counts failures by subject and has each told of once a minute. It may
// be used by many goroutines.
type Tally[Subject comparable] struct {
	now  func() time.Time
	tell func(ctx context.Context, s Subject, f Failure, count int)

	mu     sync.Mutex
	counts map[Subject]*count
}

type count struct {
	untold int
	told   time.Time
}

// NewTally returns a Tally. tell gets how many failures there were since it was
// told of the subject before, and the last of them.
func NewTally[Subject comparable](now func() time.Time, tell func(ctx context.Context, s Subject, f Failure, count int)) *Tally[Subject] {
	return &Tally[Subject]{now: now, tell: tell, counts: map[Subject]*count{}}
}

// Count notes a failure.
func (t *Tally[Subject]) Count(ctx context.Context, s Subject, f Failure) {
	if n := t.due(s); n > 0 {
		t.tell(ctx, s, f, n)
	}
}

// due returns how many failures to tell of now, 0 for none.
func (t *Tally[Subject]) due(s Subject) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	c := t.counts[s]
	if c == nil {
		if len(t.counts) >= subjectsAtOnce {
			for other, old := range t.counts {
				if now.Sub(old.told) >= tellEvery {
					delete(t.counts, other)
				}
			}
		}
		if len(t.counts) >= subjectsAtOnce {
			return 0 // so many hosts are not down by accident: enough was told
		}
		c = &count{}
		t.counts[s] = c
	}
	c.untold++
	if now.Sub(c.told) < tellEvery {
		return 0
	}
	n := c.untold
	c.untold, c.told = 0, now
	return n
}
