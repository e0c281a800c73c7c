package backchannel

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"time"

	"idp/internal/idp"
)

const (
	// pollEvery is how late a node sees that a session ended.
	pollEvery = 500 * time.Millisecond
	// attemptTimeout covers one request, from the look-up of the name to the
	// last byte.
	attemptTimeout = 5 * time.Second
	// claimFor is how long other nodes leave a notice alone: longer than an
	// attempt takes.
	claimFor = 15 * time.Second
	// giveUpAfter is how long after the end of the session it is still tried.
	giveUpAfter = time.Hour
	tokenLife   = 2 * time.Minute

	firstRest   = 5 * time.Second
	longestRest = 10 * time.Minute

	// atOnce is how many clients are served at the same time, perClient how
	// many notices each gets before it queues again. Most of the time is waiting
	// for those that do not answer, so there is room for many, and those that are
	// tried again have no more than a part of it.
	atOnce    = 128
	againOnce = 32
	perClient = 32
	perPoll   = atOnce * perClient
)

// Store keeps the notices. Implemented by *store.Store.
type Store interface {
	// DueLogouts returns notices that it is time to deliver, the longest due
	// first.
	DueLogouts(ctx context.Context, now time.Time, perClient, limit int) ([]idp.LogoutNotice, error)
	// ClaimLogout counts an attempt and reports false when somebody else was
	// first; others leave the notice alone until then.
	ClaimLogout(ctx context.Context, n idp.LogoutNotice, until time.Time) (bool, error)
	// PostponeLogout is about one notice, PostponeLogouts about all to a client.
	PostponeLogout(ctx context.Context, n idp.LogoutNotice, until time.Time) error
	PostponeLogouts(ctx context.Context, clientID string, until time.Time) error
	FinishLogout(ctx context.Context, n idp.LogoutNotice, events ...idp.Event) error
}

// Clients knows the registered clients. Implemented by *store.Directory.
type Clients interface {
	Client(clientID string) (*idp.Client, bool)
}

// Signer signs logout tokens. Implemented by *tokens.Keyring.
type Signer interface {
	SignLogoutToken(alg string, t idp.LogoutToken) (string, error)
}

// Encrypter encrypts to a client's key. Implemented by *tokens.ClientKeys.
type Encrypter interface {
	Encrypt(ctx context.Context, client *idp.Client, alg, enc, content string) (string, error)
}

// Poster sends a form to an address that a client registered, follows no
// redirect, and returns the status of the answer. Implemented by
// *outbound.Fetcher.
type Poster interface {
	PostForm(ctx context.Context, address string, form url.Values) (status int, err error)
}

// Config is what a Notifier is made of. Every field but Logger is needed.
type Config struct {
	Store     Store
	Clients   Clients
	Signer    Signer
	Encrypter Encrypter
	Poster    Poster
	Now       func() time.Time
	Logger    *slog.Logger
}

// Notifier delivers logout tokens.
type Notifier struct {
	Config
	slots chan struct{}
	again chan struct{} // slots of those that did not answer before

	mu     sync.Mutex
	served map[string]bool    // clients whose queue is being worked on
	silent map[string]silence // clients that did not answer when last tried
	loops  sync.WaitGroup
}

// silence is how often in a row a client did not answer, and how long it is
// left alone for it, whatever comes meanwhile.
type silence struct {
	failures uint32
	until    time.Time
}

// New returns a Notifier; Run starts it.
func New(cfg Config) *Notifier {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Notifier{Config: cfg, slots: make(chan struct{}, atOnce), again: make(chan struct{}, againOnce), served: map[string]bool{}, silent: map[string]silence{}}
}

// Run delivers until ctx ends, and returns when what was under way is over.
func (n *Notifier) Run(ctx context.Context) {
	defer n.loops.Wait()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	away := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := n.poll(ctx)
		if err != nil && !away && ctx.Err() == nil {
			n.Logger.Warn("logout notices wait", "cause", err)
		}
		away = err != nil
	}
}

// poll hands the notices that are due to the queues of their clients.
func (n *Notifier) poll(ctx context.Context) error {
	due, err := n.Store.DueLogouts(ctx, idp.Instant(n.Now()), perClient, perPoll)
	if err != nil {
		return err
	}
	queues := map[string][]idp.LogoutNotice{}
	var order []string
	for _, notice := range due {
		if queues[notice.ClientID] == nil {
			order = append(order, notice.ClientID)
		}
		queues[notice.ClientID] = append(queues[notice.ClientID], notice)
	}
	resting := map[string]time.Time{}
	for _, clientID := range order {
		if !n.begin(clientID) {
			continue
		}
		lane, until := n.lane(clientID, queues[clientID][0])
		if lane == nil {
			resting[clientID] = until
			continue
		}
		n.loops.Go(func() {
			defer n.end(clientID)
			if lane == n.slots {
				select {
				case lane <- struct{}{}:
				case <-ctx.Done():
					return
				}
			}
			defer func() { <-lane }()
			n.serve(ctx, queues[clientID])
		})
	}
	if len(resting) > 0 {
		n.loops.Go(func() { n.setAside(ctx, resting) })
	}
	return nil
}

// setAside lets what came for silent clients rest with them, so that it takes
// no place among what is due.
func (n *Notifier) setAside(ctx context.Context, resting map[string]time.Time) {
	for clientID, until := range resting {
		if ctx.Err() == nil {
			if err := n.Store.PostponeLogouts(ctx, clientID, until); err != nil && ctx.Err() == nil {
				n.Logger.Warn("a logout notice waits", "client_id", clientID, "cause", err)
			}
		}
		n.end(clientID)
	}
}

// lane returns the slots that a client waits for. One that did not answer when
// it was last tried, by this node or another, gets a slot among its like or none
// at all, and rests until then.
func (n *Notifier) lane(clientID string, notice idp.LogoutNotice) (slots chan struct{}, until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := idp.Instant(n.Now())
	s, silent := n.silent[clientID]
	switch {
	case now.Before(s.until):
		return nil, s.until
	case !silent && notice.Attempts == 0:
		return n.slots, time.Time{}
	}
	select {
	case n.again <- struct{}{}:
		return n.again, time.Time{}
	default:
		return nil, now.Add(rest(max(s.failures, notice.Attempts)))
	}
}

// note keeps whether a client answered, and returns until when one that did not
// is left alone. A notice may know of attempts by other nodes.
func (n *Notifier) note(clientID string, answered bool, attempts uint32, now time.Time) (until time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if answered {
		delete(n.silent, clientID)
		return now.Add(rest(attempts))
	}
	failures := max(n.silent[clientID].failures+1, attempts)
	until = now.Add(rest(failures))
	n.silent[clientID] = silence{failures, until}
	return until
}

func (n *Notifier) begin(clientID string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.served[clientID] {
		return false
	}
	n.served[clientID] = true
	return true
}

func (n *Notifier) end(clientID string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.served, clientID)
}

// serve delivers notices to one client until one fails.
func (n *Notifier) serve(ctx context.Context, notices []idp.LogoutNotice) {
	for _, notice := range notices {
		if ctx.Err() != nil {
			return
		}
		goOn, err := n.deliver(ctx, notice)
		if err != nil && ctx.Err() == nil {
			n.Logger.Warn("a logout notice waits", "client_id", notice.ClientID, "cause", err)
		}
		if !goOn {
			return
		}
	}
}

// deliver makes one attempt: 1 is there anybody to tell · 2 claim · 3 sign and
// send · 4 note how it went. It reports whether the client may be sent the next.
func (n *Notifier) deliver(ctx context.Context, notice idp.LogoutNotice) (goOn bool, err error) {
	client, ok := n.Clients.Client(notice.ClientID)
	if !ok || client.Disabled || client.BackchannelLogoutURI == "" {
		n.note(notice.ClientID, true, 0, n.Now()) // nothing to remember
		return true, n.Store.FinishLogout(ctx, notice)
	}
	now := idp.Instant(n.Now())
	mine, err := n.Store.ClaimLogout(ctx, notice, now.Add(claimFor))
	if err != nil || !mine {
		return err == nil, err
	}
	// What is begun is finished and noted, even when the node is told to stop.
	ctx = context.WithoutCancel(ctx)
	notice.Attempts++
	answered, failure := n.send(ctx, client, notice, now)
	now = idp.Instant(n.Now())
	until := n.note(notice.ClientID, answered, notice.Attempts, now)
	if failure == nil {
		return true, n.Store.FinishLogout(ctx, notice, n.event(idp.EventLogoutDelivered, notice, nil))
	}
	if now.Sub(notice.EndedAt) >= giveUpAfter {
		return answered, n.Store.FinishLogout(ctx, notice, n.event(idp.EventLogoutUndelivered, notice, failure))
	}
	n.Logger.Info("logout token not delivered, trying again later", "client_id", notice.ClientID, "attempts", notice.Attempts, "cause", failure)
	if answered { // it may take the next one
		return true, n.Store.PostponeLogout(ctx, notice, until)
	}
	return false, n.Store.PostponeLogouts(ctx, notice.ClientID, until)
}

// send posts the token. answered says that the client is there, whatever it
// said.
func (n *Notifier) send(ctx context.Context, client *idp.Client, notice idp.LogoutNotice, now time.Time) (answered bool, err error) {
	token, err := n.token(ctx, client, notice, now)
	if err != nil {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	status, err := n.Poster.PostForm(idp.WithErrand(ctx, client.ClientID, "backchannel_logout_uri"), client.BackchannelLogoutURI, url.Values{"logout_token": {token}})
	switch {
	case err != nil:
		return false, errors.New("unreachable") // why is in the log of outbound requests
	case status >= 500:
		return false, fmt.Errorf("status %d", status)
	case status < 200 || status > 299:
		return true, fmt.Errorf("status %d", status)
	}
	return true, nil
}

// token signs the logout token, and encrypts it as the client has its ID tokens
// encrypted (OpenID Connect Back-Channel Logout section 2.4).
func (n *Notifier) token(ctx context.Context, client *idp.Client, notice idp.LogoutNotice, now time.Time) (string, error) {
	signed, err := n.Signer.SignLogoutToken(client.IDTokenSignedResponseAlg, idp.LogoutToken{
		ID: newID(), ClientID: client.ClientID, Subject: notice.Subject, SessionID: notice.SessionID,
		IssuedAt: now, ExpiresAt: now.Add(tokenLife),
	})
	if err != nil || client.IDTokenEncryptedResponseAlg == "" {
		return signed, err
	}
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout) // its keys may have to be read
	defer cancel()
	return n.Encrypter.Encrypt(ctx, client, client.IDTokenEncryptedResponseAlg, client.IDTokenEncryptedResponseEnc, signed)
}

// rest doubles with every attempt.
func rest(attempts uint32) time.Duration {
	pause := firstRest
	for ; attempts > 1 && pause < longestRest; attempts-- {
		pause *= 2
	}
	return min(pause, longestRest)
}

func (n *Notifier) event(kind idp.EventKind, notice idp.LogoutNotice, failure error) idp.Event {
	e := idp.Event{
		Kind: kind, At: idp.Instant(n.Now()), ClientID: notice.ClientID, SessionID: notice.SessionID.String(),
		Detail: map[string]string{"attempts": fmt.Sprint(notice.Attempts)},
	}
	if failure != nil {
		e.Detail["error"] = failure.Error()
	}
	return e
}

// newID draws an ID. crypto/rand stops the process when it fails.
func newID() (id idp.ID) {
	_, _ = rand.Read(id[:])
	return id
}
