package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"idp/internal/idp"
)

// sealPage is how many seals are read at once.
const sealPage = 20

// VerifyStore is what Verify reads. Implemented by *store.Store.
type VerifyStore interface {
	unsealedStore
	SealReader
}

// VerifyConfig says what is verified, and against what.
type VerifyConfig struct {
	Store    VerifyStore
	Verifier Verifier
	// Kept is a checkpoint that was kept elsewhere, for which the log must still
	// hold; nil for none.
	Kept *Checkpoint
	// KeptSince is when rows begin that have to be there: older ones may have
	// been let go. The zero time asks for all.
	KeptSince time.Time
}

// Report is what Verify found.
type Report struct {
	Checkpoint Checkpoint // the last one that is good
	SealedAt   time.Time  // when it was made, as the database says
	Intact     int64      // rows that are as they were sealed
	Gone       int64      // rows that were let go, being old enough
	Unsealed   int64      // rows that are younger than the last seal
	Late       int64      // rows that were sealed later than their time says
	FirstLate  idp.ID
	Faults     []Fault
}

// Fault is one way in which the audit is not what it was.
type Fault struct {
	What  string // about the first row or checkpoint that shows it
	Count int64  // how many show it
	kind  string
}

// Verify goes through the whole log and all rows, in bounded memory. An error
// says that it could not; what it found is in the report.
func Verify(ctx context.Context, cfg VerifyConfig) (Report, error) {
	v := &verification{VerifyConfig: cfg, follows: true}
	// 1. The log in its order: signatures, roots, and the row of every leaf.
	for after := int64(-1); ; {
		seals, err := cfg.Store.Seals(ctx, after, sealPage)
		for _, seal := range seals {
			if err := v.seal(ctx, seal); err != nil {
				return v.Report, err
			}
			after = seal.First
		}
		if errors.Is(err, idp.ErrMalformed) {
			v.fault("unreadable", "the log cannot be read after leaf %d", v.tree.size-1)
			return v.Report, nil
		}
		if err != nil {
			return v.Report, err
		}
		if len(seals) == 0 {
			break
		}
	}
	if kept := cfg.Kept; kept != nil && v.tree.size < kept.Size {
		v.fault("cut", "the log ends after %d leaves, and the checkpoint that was kept is of %d: its end was cut off", v.tree.size, kept.Size)
	}
	// 2. The rows in their order: those that no leaf names.
	return v.Report, v.unsealed(ctx)
}

type verification struct {
	VerifyConfig
	Report
	tree    tree
	follows bool      // every root was as signed so far
	through time.Time // what is older had a leaf by then, unless it was committed late
}

func (v *verification) fault(kind, format string, args ...any) {
	for i := range v.Faults {
		if v.Faults[i].kind == kind {
			v.Faults[i].Count++
			return
		}
	}
	v.Faults = append(v.Faults, Fault{What: fmt.Sprintf(format, args...), Count: 1, kind: kind})
}

// seal checks one part of the log.
func (v *verification) seal(ctx context.Context, seal idp.Seal) error {
	end := seal.First + int64(len(seal.Leaves))
	if seal.First != v.tree.size {
		v.fault("missing", "leaves %d to %d are missing from the log", v.tree.size, seal.First-1)
		v.follows, v.tree = false, tree{size: seal.First} // its roots say nothing any more
	}
	ordered := slices.IsSortedFunc(seal.Leaves, byEvent)
	for i, l := range seal.Leaves {
		if i > 0 && byEvent(seal.Leaves[i-1], l) >= 0 {
			v.fault("order", "%s has a leaf (%d) that stands before that of an older row: the log was reordered", row(l.EventID), seal.First+int64(i)-1)
		}
		if v.follows {
			v.tree.add(l.Hash)
		} else {
			v.tree.size++
		}
		if kept := v.Kept; kept != nil && kept.Size == v.tree.size && v.follows && v.tree.root() != kept.Root {
			v.fault("rewritten", "the first %d leaves are not those of the checkpoint that was kept: the log was rewritten", kept.Size)
		}
		if before(l.EventID, idp.FirstID(v.through.Add(-overlap))) {
			if v.Late++; v.Late == 1 {
				v.FirstLate = l.EventID
			}
		}
	}
	switch c, err := v.Verifier.Open(seal.Checkpoint); {
	case err != nil:
		v.fault("forged", "the checkpoint of %d leaves is forged: %v", end, err)
	case c.Size != end:
		v.fault("forged", "the checkpoint of %d leaves stands where %d are", c.Size, end)
	case v.follows && c.Root != v.tree.root():
		v.fault("root", "the leaves of %s to %s are not those that the checkpoint of %d leaves was signed for",
			row(seal.Leaves[0].EventID), row(seal.Leaves[len(seal.Leaves)-1].EventID), end)
		v.follows = false
	case v.follows && !bytes.Equal(seal.Peaks, v.tree.edge()):
		v.fault("edge", "what is kept of the tree at %d leaves was changed", end)
	case v.follows:
		v.Checkpoint = c
	}
	v.SealedAt = seal.SealedAt
	leaves := seal.Leaves
	if !ordered {
		leaves = slices.SortedFunc(slices.Values(leaves), byEvent)
	}
	if t := through(seal.SealedAt, leaves); t.After(v.through) {
		v.through = t
	}
	return v.rows(ctx, leaves)
}

// rows compares the leaves of one part, which are in the order of their events,
// with the rows that they stand for.
func (v *verification) rows(ctx context.Context, leaves []idp.Leaf) error {
	next := 0
	var last idp.ID
	miss := func() {
		if id := leaves[next].EventID; id.Time().Before(v.KeptSince) {
			v.Gone++
		} else {
			v.fault("removed", "%s was removed", row(id))
		}
		next++
	}
	err := eachRow(ctx, v.Store, leaves[0].EventID, leaves[len(leaves)-1].EventID, func(r idp.AuditRow) {
		if r.ID == last {
			v.fault("double", "%s is there a second time: it was added", row(r.ID))
			return
		}
		for next < len(leaves) && before(leaves[next].EventID, r.ID) {
			miss()
		}
		if next == len(leaves) || leaves[next].EventID != r.ID {
			return // of another part, or of none
		}
		last = r.ID
		if genuine(r) && leaf(r.Event) == leaves[next] {
			v.Intact++
		} else {
			v.changed(r, leaves)
		}
		next++
	})
	if err != nil {
		return err
	}
	for next < len(leaves) {
		miss()
	}
	return nil
}

// changed reports a row that does not say what was sealed. It may say what
// another one did.
func (v *verification) changed(r idp.AuditRow, leaves []idp.Leaf) {
	if !slices.ContainsFunc(v.Faults, func(f Fault) bool { return f.kind == "changed" }) {
		e := r.Event
		for _, l := range leaves {
			if e.ID = l.EventID; e.ID != r.ID && leaf(e) == l {
				v.fault("changed", "%s says what was sealed as %s: the rows were swapped", row(r.ID), row(e.ID))
				return
			}
		}
	}
	v.fault("changed", "%s was changed", row(r.ID))
}

// unsealed looks for rows that the log does not know, or knows twice.
func (v *verification) unsealed(ctx context.Context) error {
	var first, last idp.ID
	known := idp.FirstID(v.through.Add(-overlap)) // zero when nothing was sealed
	err := eachUnsealed(ctx, v.Store, idp.ID{}, func(page idPageResult) error {
		last = page.last
		for _, id := range page.twice {
			v.fault("twice", "%s has more than one leaf", row(id))
		}
		for _, id := range page.unsealed {
			if before(id, known) {
				v.fault("added", "%s has no leaf, though the log was sealed later, at %s: it was added", row(id), when(v.SealedAt))
				continue
			}
			if v.Unsealed++; v.Unsealed == 1 {
				first = id
			}
		}
		return nil
	})
	if err == nil && v.Unsealed > 0 && last.Time().Sub(first.Time()) > lagTolerance {
		v.fault("unsealed", "%d rows from %s on are not sealed: no server runs that seals them (idp audit seal does), or the end of the log was cut off", v.Unsealed, row(first))
	}
	return err
}

// row names a row for people.
func row(id idp.ID) string { return fmt.Sprintf("row %s of %s", id.UUID(), when(id.Time())) }

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

func before(a, b idp.ID) bool { return bytes.Compare(a[:], b[:]) < 0 }

func byEvent(a, b idp.Leaf) int { return bytes.Compare(a.EventID[:], b.EventID[:]) }

// genuine reports whether this program can have written a row as it is.
func genuine(r idp.AuditRow) bool { return !r.Unreadable && r.OccurredOn == idp.DayOf(r.At) }

// eachRow goes through the rows between two, both included, in order.
func eachRow(ctx context.Context, store unsealedStore, from, through idp.ID, use func(idp.AuditRow)) error {
	var last *idp.AuditRow
	for {
		rows, err := store.AuditRows(ctx, from, through, last, rowPage)
		if err != nil {
			return err
		}
		for _, r := range rows {
			use(r)
		}
		if len(rows) < rowPage {
			return nil
		}
		last = &rows[len(rows)-1]
	}
}
