package audit

import (
	"context"

	"idp/internal/idp"
)

// What the tests of this package look into.

// LeafHash is the hash that stands for an event.
func LeafHash(e idp.Event) [32]byte { return leaf(e).Hash }

// Round is what Run does every few seconds.
func Round(ctx context.Context, s *Sealer) { s.complain(ctx, s.round(ctx)) }
