package mail_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
	"idp/internal/mail"
	"idp/internal/mail/mailtest"
	"idp/internal/store"
	"idp/internal/store/storetest"
	"idp/internal/tokens"
)

// office is a database with the senders of some nodes, and a clock.
type office struct {
	*store.Store
	master *tokens.Master
	ahead  atomic.Int64 // of the clock
}

func newOffice(t *testing.T, s *store.Store) *office {
	t.Helper()
	key, err := tokens.ParseMasterKey("dGVzdC1tYXN0ZXIta2V5LXRoYXQtZ3VhcmRzLW5vdGhpbmctMTIz")
	require.NoError(t, err)
	master, err := tokens.NewMaster(key)
	require.NoError(t, err)
	return &office{Store: s, master: master}
}

func (o *office) now() time.Time { return time.Now().Add(time.Duration(o.ahead.Load())) }

// post stores a mail as an event does.
func (o *office) post(t *testing.T, to string, message idp.MailMessage) idp.SealedMail {
	t.Helper()
	sealed, err := o.master.SealMail(o.now(), idp.Mail{To: to, Message: message})
	require.NoError(t, err)
	require.NoError(t, o.AppendEvents(t.Context(), []idp.Event{{Kind: idp.EventUserUpdated, Mail: []idp.SealedMail{sealed}}}))
	return sealed
}

// run starts a node's sender; the function stops it and waits.
func (o *office) run(t *testing.T, transport mail.Transport) (stop func()) {
	t.Helper()
	sender := mail.New(mail.Config{Store: o, Opener: o.master, Renderer: renderer(t), Transport: transport, Now: o.now})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		sender.Run(ctx)
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// until waits until a mail is as it should be.
func (o *office) until(t *testing.T, id idp.ID, good func(idp.SealedMail) bool) idp.SealedMail {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if m, err := o.Mail(t.Context(), id); err == nil && good(m) {
			return m
		}
	}
	m, err := o.Mail(t.Context(), id)
	t.Fatalf("the mail is %+v, %v", m, err)
	return m
}

func (o *office) told(t *testing.T, kind idp.EventKind) []idp.Event {
	t.Helper()
	events, err := o.Events(t.Context(), idp.ID{}, 1000)
	require.NoError(t, err)
	var out []idp.Event
	for _, e := range events {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

func TestTwoNodesSendEachMailOnce(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		o := newOffice(t, open(t))
		server := mailtest.New(t, mailtest.Behaviour{})
		const many = 40
		for i := range many {
			o.post(t, fmt.Sprintf("p%d@example.com", i), idp.TestMail{At: moment})
		}
		stops := []func(){o.run(t, transport(t, server, nil)), o.run(t, transport(t, server, nil))}
		for i := range many {
			server.Wait(t, fmt.Sprintf("p%d@example.com", i), 1)
		}
		for _, stop := range stops {
			stop()
		}
		require.Len(t, server.Taken(), many)
		require.Len(t, o.told(t, idp.EventMailSent), many)
		left, err := o.Mails(t.Context(), 1)
		require.NoError(t, err)
		require.Empty(t, left)
	})
}

func TestMailIsTriedAgain(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		o := newOffice(t, open(t))
		server := mailtest.New(t, mailtest.Behaviour{})
		server.Close()
		o.run(t, transport(t, server, nil))
		m := o.post(t, "alice@example.com", idp.TestMail{At: moment})
		waits := o.until(t, m.ID, func(m idp.SealedMail) bool { return m.Failure != "" })
		require.Contains(t, waits.Failure, "connection refused")
		require.Equal(t, uint32(1), waits.Attempts)
		require.WithinDuration(t, o.now().Add(5*time.Second), waits.DueAt, 4*time.Second)

		back := server.Again(t, mailtest.Behaviour{NoTLS: true})
		o.ahead.Add(int64(10 * time.Second))
		waits = o.until(t, m.ID, func(m idp.SealedMail) bool { return m.Attempts == 2 && m.DueAt.Sub(o.now()) < time.Minute })
		require.Contains(t, waits.Failure, "STARTTLS")
		require.Empty(t, back.Taken())
		require.Empty(t, o.told(t, idp.EventMailSent))

		back.Behave(mailtest.Behaviour{})
		o.ahead.Add(int64(30 * time.Second))
		back.Wait(t, "alice@example.com", 1)

		// After a day it is enough.
		back.Behave(mailtest.Behaviour{NoTLS: true})
		m = o.post(t, "bob@example.com", idp.TestMail{At: moment})
		o.until(t, m.ID, func(m idp.SealedMail) bool { return m.Failure != "" })
		o.ahead.Add(int64(25 * time.Hour))
		o.until(t, m.ID, func(m idp.SealedMail) bool { return m.Outcome == idp.MailUndelivered })
		undelivered := o.told(t, idp.EventMailUndelivered)
		require.Len(t, undelivered, 1)
		require.Equal(t, m.ID.String(), undelivered[0].Detail["mail"])
		require.Equal(t, "1", undelivered[0].Detail["attempts"])
		require.Contains(t, undelivered[0].Detail["error"], "STARTTLS")
	})
}

func TestMailThatIsNotSent(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, open func(*testing.T) *store.Store) {
		o := newOffice(t, open(t))
		server := mailtest.New(t, mailtest.Behaviour{Replies: map[string]string{"RCPT": "550 5.1.1 <nobody@example.com>: no such user"}})
		expired := o.post(t, "late@example.com", idp.ResetPasswordMail{Username: "late", Link: "/reset?token=x", ExpiresAt: o.now().Add(-time.Second)})
		elsewhere := o.post(t, "elsewhere@example.com", idp.VerifyAddressMail{Link: "https://evil.example"})
		refused := o.post(t, "Nobody@example.com", idp.TestMail{At: moment})
		stop := o.run(t, transport(t, server, nil))
		for id, want := range map[idp.ID]string{expired.ID: "too late", elsewhere.ID: "no path below the issuer", refused.ID: "550 5.1.1 <…>: no such user"} {
			m := o.until(t, id, func(m idp.SealedMail) bool { return m.Outcome == idp.MailUndelivered })
			require.Contains(t, m.Failure, want)
		}
		stop()
		require.Equal(t, 1, server.Sessions(), "only one was worth a try")

		// A server that hangs keeps nobody from stopping.
		server.Behave(mailtest.Behaviour{Hangs: true})
		hangs := o.post(t, "alice@example.com", idp.TestMail{At: moment})
		stop = o.run(t, transport(t, server, nil))
		o.until(t, hangs.ID, func(m idp.SealedMail) bool { return m.Attempts == 1 && server.Sessions() == 2 })
		stop()
		m, err := o.Mail(t.Context(), hangs.ID)
		require.NoError(t, err)
		require.Empty(t, m.Outcome)
		require.NotEmpty(t, m.Failure)
	})
}
