package audit

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"idp/internal/idp"
)

// SealReader goes through the log in its order. Implemented by *store.Store.
type SealReader interface {
	Seals(ctx context.Context, after int64, limit int) ([]idp.Seal, error)
}

// AddCheckpoint returns what a witness is asked with to sign a checkpoint, when
// the last one that it signed is of an older size: the proof that nothing of
// that was changed (RFC 6962 section 2.1.2), and the checkpoint, in the form of
// https://c2sp.org/tlog-witness. It goes through the log once.
func AddCheckpoint(ctx context.Context, store SealReader, old int64, c Checkpoint) (string, error) {
	if old < 0 || old > c.Size {
		return "", idp.Invalid("old", fmt.Sprintf("must be from 0 to %d, the size of the log", c.Size))
	}
	var request strings.Builder
	fmt.Fprintf(&request, "old %d\n", old)
	if old > 0 {
		proof, err := tlog.ProveTree(c.Size, old, tlog.HashReaderFunc(func(wanted []int64) ([]tlog.Hash, error) {
			return storedHashes(ctx, store, wanted, c.Size)
		}))
		if err != nil {
			return "", err
		}
		for _, h := range proof {
			fmt.Fprintln(&request, h)
		}
	}
	return request.String() + "\n" + c.Note, nil
}

// storedHashes computes hashes of subtrees from the leaves.
func storedHashes(ctx context.Context, store SealReader, wanted []int64, size int64) ([]tlog.Hash, error) {
	out, found, places := make([]tlog.Hash, len(wanted)), 0, map[int64]int{}
	for i, index := range wanted {
		places[index] = i
	}
	t := tree{}
	for after := int64(-1); t.size < size; {
		seals, err := store.Seals(ctx, after, sealPage)
		if err != nil {
			return nil, err
		}
		if len(seals) == 0 {
			break
		}
		for _, seal := range seals {
			after = seal.First
			for _, l := range seal.Leaves {
				n := t.size
				t.addSeen(l.Hash, func(level int, h tlog.Hash) {
					if i, ok := places[tlog.StoredHashIndex(level, n>>level)]; ok {
						out[i], found = h, found+1
					}
				})
			}
		}
	}
	if found < len(wanted) {
		return nil, fmt.Errorf("%w: the log ends before its checkpoint, idp audit verify tells more", idp.ErrMalformed)
	}
	return out, nil
}
