package mail

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"idp/internal/idp"
)

// Printer writes messages for somebody who sits at the log, instead of sending
// them. Whoever reads it can use the links.
type Printer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewPrinter returns a Printer to w.
func NewPrinter(w io.Writer) *Printer { return &Printer{w: w} }

// Send prints the text of a message, each line marked as one of a mail.
func (p *Printer) Send(_ context.Context, m Message) (idp.MailOutcome, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "mail | To: %s\nmail | Subject: %s\nmail |\n", oneLine(m.To, 300), oneLine(m.Subject, 300))
	for line := range strings.SplitSeq(strings.TrimRight(m.Text, "\n"), "\n") {
		fmt.Fprintln(&out, strings.TrimRight("mail | "+line, " "))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := io.WriteString(p.w, out.String()); err != nil {
		return "", fmt.Errorf("%w: %w", ErrAway, err)
	}
	return idp.MailPrinted, nil
}
