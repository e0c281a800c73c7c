package acme

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"time"

	"golang.org/x/crypto/acme/autocert"

	"idp/internal/idp"
)

// Store keeps what nodes share. Implemented by *store.Store.
type Store interface {
	ACMEEntry(ctx context.Context, name string) (sealed []byte, err error)
	SaveACMEEntry(ctx context.Context, name string, sealed []byte) error
	DeleteACMEEntry(ctx context.Context, name string) error
	AcquireLease(ctx context.Context, name, holder string, ttl time.Duration) (bool, error)
}

// Sealer encrypts it. Implemented by *tokens.Master.
type Sealer interface {
	SealACME(name string, plaintext []byte) ([]byte, error)
	OpenACME(name string, sealed []byte) ([]byte, error)
}

const (
	lease = "acme"
	// orderPatience is how long the library takes for an order at most, and so how
	// long a node that died in the middle of one keeps others from another.
	orderPatience = 5 * time.Minute
	askEvery      = 500 * time.Millisecond
)

// shared is the library's cache, for all nodes. Whoever misses the certificate
// goes and orders it, so a miss is for one node at a time: the others wait for
// what that one brings.
type shared struct {
	store  Store
	sealer Sealer
	host   string
	holder string // of the lease
	now    func() time.Time
	ended  chan struct{}
}

// Get implements autocert.Cache.
func (s *shared) Get(ctx context.Context, name string) ([]byte, error) {
	for {
		data, err := s.entry(ctx, name)
		if name != s.host || !errors.Is(err, autocert.ErrCacheMiss) {
			return data, err
		}
		mine, err := s.store.AcquireLease(ctx, lease, s.holder, orderPatience)
		if err != nil {
			return nil, err
		}
		if mine {
			return s.entry(ctx, name) // it may have come before the lease
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.ended:
			return nil, context.Canceled
		case <-time.After(askEvery):
		}
	}
}

func (s *shared) entry(ctx context.Context, name string) ([]byte, error) {
	sealed, err := s.store.ACMEEntry(ctx, name)
	if errors.Is(err, idp.ErrNotFound) {
		return nil, autocert.ErrCacheMiss
	}
	if err != nil {
		return nil, err
	}
	data, err := s.sealer.OpenACME(name, sealed)
	if err == nil && name == s.host && s.over(data) {
		return nil, autocert.ErrCacheMiss
	}
	return data, err
}

// over reports whether a certificate has come to its end.
func (s *shared) over(data []byte) bool {
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			leaf, err := x509.ParseCertificate(block.Bytes)
			return err != nil || s.now().After(leaf.NotAfter)
		}
	}
	return true
}

// Put implements autocert.Cache.
func (s *shared) Put(ctx context.Context, name string, data []byte) error {
	sealed, err := s.sealer.SealACME(name, data)
	if err != nil {
		return err
	}
	return s.store.SaveACMEEntry(ctx, name, sealed)
}

// Delete implements autocert.Cache.
func (s *shared) Delete(ctx context.Context, name string) error {
	return s.store.DeleteACMEEntry(ctx, name)
}
