package users

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-crypt/crypt"
	"github.com/go-crypt/crypt/algorithm"
	"github.com/go-crypt/crypt/algorithm/argon2"

	"idp/internal/idp"
)

// The least that a Hasher may be configured to (OWASP Password Storage).
const (
	minMemory = 19456 // KiB
	minPasses = 2
	minLanes  = 1
)

const (
	saltLength  = 16
	tagLength   = 32
	maxPassword = 1024 // bytes
	// perHash is what one hash is counted with: its blocks, and what the
	// garbage collector has not taken back yet.
	perHash = 96 << 20
	// maxWait is how long a password waits for its turn.
	maxWait = 2 * time.Second
)

// HasherConfig says how expensive a hash is and how many run at once. The zero
// value is a good one.
type HasherConfig struct {
	Memory uint32 // KiB for one hash; 0 is 65536
	Passes int    // 0 is 3
	Lanes  int    // 0 is 1
	// Concurrent is how many hashes run at once; 0 is one per processor that
	// Go uses, as far as MemoryLimit has room for 96 MiB each.
	Concurrent  int
	MemoryLimit int64 // bytes that the process may use; 0 for no limit
	// MinLength is how many characters a new password has at least; 0 is 12,
	// and fewer than 8 are refused.
	MinLength int
	// ServiceNames are names of this service, such as its host: too easily
	// guessed to be passwords here.
	ServiceNames []string
	Denied       *DeniedPasswords // nil for none
	Breached     Breaches         // nil for none
	// Started hears of every hash that is begun to be computed, and what it
	// returns, of its end. It may be nil.
	Started func() (done func())
}

// Hasher makes and checks password hashes (Argon2id, RFC 9106) as PHC strings.
// It is safe for use by many goroutines.
type Hasher struct {
	argon2   *argon2.Hasher
	decoder  *crypt.Decoder
	current  string // how hashes with today's parameters begin
	dummy    algorithm.Digest
	slots    chan struct{}
	rules    passwordRules
	started  func() (done func())
	computed atomic.Int64
}

// NewHasher returns a Hasher. Parameters below the floor of 19456 KiB, 2 passes
// and 1 lane are refused with an *idp.InvalidError.
func NewHasher(cfg HasherConfig) (*Hasher, error) { return newHasher(cfg, minMemory) }

func newHasher(cfg HasherConfig, leastMemory uint32) (*Hasher, error) {
	if cfg.Memory == 0 {
		cfg.Memory = 64 << 10
	}
	if cfg.Passes == 0 {
		cfg.Passes = 3
	}
	if cfg.Lanes == 0 {
		cfg.Lanes = 1
	}
	if cfg.MinLength == 0 {
		cfg.MinLength = 12
	}
	if cfg.Concurrent == 0 {
		cfg.Concurrent = runtime.GOMAXPROCS(0)
		if cfg.MemoryLimit > 0 {
			cfg.Concurrent = int(min(int64(cfg.Concurrent), max(1, cfg.MemoryLimit/perHash)))
		}
	}
	switch {
	case cfg.Memory < leastMemory:
		return nil, idp.Invalid("memory", fmt.Sprintf("at least %d KiB", leastMemory))
	case cfg.Passes < minPasses:
		return nil, idp.Invalid("passes", fmt.Sprintf("at least %d", minPasses))
	case cfg.Lanes < minLanes:
		return nil, idp.Invalid("lanes", fmt.Sprintf("at least %d", minLanes))
	case cfg.Concurrent < 1:
		return nil, idp.Invalid("concurrent", "at least 1")
	case cfg.MinLength < 8 || cfg.MinLength > maxPassword/4:
		return nil, idp.Invalid("min_length", fmt.Sprintf("from 8 to %d characters", maxPassword/4))
	}

	h := &Hasher{
		slots: make(chan struct{}, cfg.Concurrent),
		rules: newPasswordRules(cfg),

		started: cfg.Started,
	}
	var err error
	if h.argon2, err = argon2.New(argon2.WithVariantID(), argon2.WithM(cfg.Memory), argon2.WithT(cfg.Passes),
		argon2.WithP(cfg.Lanes), argon2.WithS(saltLength), argon2.WithK(tagLength)); err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	if h.decoder, err = crypt.NewDefaultDecoder(); err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	// The memory is rounded to what is used of it (RFC 9106 section 3.2).
	step := uint32(4 * cfg.Lanes)
	h.current = fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$", cfg.Memory/step*step, cfg.Passes, cfg.Lanes)
	// Its tag is drawn, not computed: to compare with it costs as much as with any
	// other, and nothing matches.
	var drawn [saltLength + tagLength]byte
	_, _ = rand.Read(drawn[:]) // never fails
	encode := base64.RawStdEncoding.EncodeToString
	if h.dummy, err = h.decoder.Decode(h.current + encode(drawn[:saltLength]) + "$" + encode(drawn[saltLength:])); err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	return h, nil
}

// HashNew checks that the password may be set for the person and returns its
// hash. It returns an *idp.InvalidError that names "password" and the rule that
// it breaks, or idp.ErrUnavailable when no turn came within two seconds or the
// list of denied passwords cannot be read.
func (h *Hasher) HashNew(ctx context.Context, person idp.User, password idp.Secret) (string, error) {
	if err := h.rules.check(ctx, person, password.Reveal()); err != nil {
		return "", err
	}
	return h.hash(ctx, password.Reveal())
}

func (h *Hasher) hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	digest, err := h.argon2.Hash(password)
	if err != nil {
		return "", fmt.Errorf("users: hash a password: %w", err)
	}
	return digest.Encode(), nil
}

// Verify reports whether the password is the one that encoded was made of, and
// whether the hash should be made anew because its kind or its parameters are
// not today's. An empty hash is no password: nothing matches, at the same
// cost. Errors: *idp.InvalidError for a password over 1024 bytes,
// idp.ErrUnavailable when no turn came within two seconds, idp.ErrMalformed
// (at the same cost, too) for a hash that cannot be read.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (ok, rehash bool, err error) {
	if err := checkSize(password); err != nil {
		return false, false, err
	}
	digest, known := h.dummy, false
	var unreadable error
	if encoded != "" {
		if d, err := h.decoder.Decode(encoded); err == nil {
			digest, known = d, true
		} else {
			// Not the library's error: it may quote the hash.
			unreadable = fmt.Errorf("users: password hash of unknown kind: %w", idp.ErrMalformed)
		}
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	matches := digest.Match(password)
	if !known {
		return false, false, unreadable
	}
	return matches, matches && !h.isCurrent(encoded, digest), nil
}

func (h *Hasher) isCurrent(encoded string, d algorithm.Digest) bool {
	return strings.HasPrefix(encoded, h.current) && len(d.Salt()) >= saltLength && len(d.Key()) == tagLength
}

// enter waits for a turn to compute.
func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.slots <- struct{}{}:
	default:
		timer := time.NewTimer(maxWait)
		defer timer.Stop()
		select {
		case h.slots <- struct{}{}:
		case <-timer.C:
			return nil, fmt.Errorf("users: too many passwords are being checked: %w", idp.ErrUnavailable)
		case <-ctx.Done():
			return nil, fmt.Errorf("users: waiting to check a password: %w: %w", idp.ErrUnavailable, context.Cause(ctx))
		}
	}
	h.computed.Add(1)
	done := func() {}
	if h.started != nil {
		done = h.started()
	}
	return func() {
		done()
		<-h.slots
	}, nil
}
