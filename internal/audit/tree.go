package audit

import (
	"fmt"
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"

	"idp/internal/idp"
)

// tree is a Merkle tree (RFC 6962 section 2.1) of which only the edge is kept
// that further leaves need.
type tree struct {
	size  int64
	peaks []tlog.Hash // roots of the complete subtrees, the largest first
}

func (t *tree) add(leaf tlog.Hash) { t.addSeen(leaf, func(int, tlog.Hash) {}) }

// addSeen adds a leaf and shows the roots of the subtrees that it completes,
// beginning with itself at level 0.
func (t *tree) addSeen(hash tlog.Hash, see func(level int, hash tlog.Hash)) {
	see(0, hash)
	for level, n := 1, t.size; n&1 == 1; level, n = level+1, n>>1 {
		last := len(t.peaks) - 1
		hash = tlog.NodeHash(t.peaks[last], hash)
		t.peaks = t.peaks[:last]
		see(level, hash)
	}
	t.peaks = append(t.peaks, hash)
	t.size++
}

// root returns the hash of the whole tree. An empty one has none here.
func (t *tree) root() tlog.Hash {
	if len(t.peaks) == 0 {
		return tlog.Hash{}
	}
	hash := t.peaks[len(t.peaks)-1]
	for i := len(t.peaks) - 2; i >= 0; i-- {
		hash = tlog.NodeHash(t.peaks[i], hash)
	}
	return hash
}

func (t *tree) edge() []byte {
	out := make([]byte, 0, len(t.peaks)*tlog.HashSize)
	for _, p := range t.peaks {
		out = append(out, p[:]...)
	}
	return out
}

// treeOf returns the tree with a size and an edge.
func treeOf(size int64, edge []byte) (*tree, error) {
	if size < 0 || len(edge) != bits.OnesCount64(uint64(size))*tlog.HashSize {
		return nil, fmt.Errorf("%d bytes are no edge of a tree with %d leaves: %w", len(edge), size, idp.ErrMalformed)
	}
	t := &tree{size: size, peaks: make([]tlog.Hash, len(edge)/tlog.HashSize)}
	for i := range t.peaks {
		edge = edge[copy(t.peaks[i][:], edge):]
	}
	return t, nil
}
