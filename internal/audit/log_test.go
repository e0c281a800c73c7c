package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/tlog"

	"idp/internal/audit"
	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/store/storetest"
)

var (
	logKey   = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	otherKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
)

const logIssuer = "https://id.example.com"

// world is an audit in a database, by a clock that the test sets.
type world struct {
	t      *testing.T
	url    string
	store  *store.Store
	db     *sql.DB // as the owner of the tables
	sealer *audit.Sealer
	log    *bytes.Buffer

	mu sync.Mutex
	at time.Time
}

func (w *world) now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *world) advance(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// eachWorld runs a test on both engines.
func eachWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	for engine, url := range map[string]func(*testing.T) string{"sqlite": storetest.SQLite, "postgres": storetest.PostgresMigrated} {
		t.Run(engine, func(t *testing.T) {
			t.Parallel()
			w := &world{t: t, url: url(t), at: idp.Instant(time.Now()), log: &bytes.Buffer{}}
			w.store = storetest.Migrated(t, store.Config{URL: w.url, Now: w.now, AuditRetention: 24 * time.Hour})
			driver, name := "pgx", w.url
			if path, ok := strings.CutPrefix(w.url, "sqlite:"); ok {
				driver, name = "sqlite", path+"?_pragma=busy_timeout(5000)"
			}
			db, err := sql.Open(driver, name)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			w.db = db
			w.sealer = w.newSealer(w.store, logKey)
			test(w)
		})
	}
}

func (w *world) newSealer(s audit.SealStore, key ed25519.PrivateKey) *audit.Sealer {
	return audit.NewSealer(audit.SealerConfig{
		Store: s, Lease: w.store, Key: key, Issuer: logIssuer, Now: w.now, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
	})
}

// append stores n events, one per step of the clock.
func (w *world) append(n int, step time.Duration) []idp.Event {
	w.t.Helper()
	var events []idp.Event
	for i := range n {
		w.advance(step)
		e := event(w.now(), i)
		events = append(events, e)
	}
	require.NoError(w.t, w.store.AppendEvents(w.t.Context(), events))
	return events
}

// event is an event of an instant.
func event(at time.Time, i int) idp.Event {
	e := idp.Event{
		At: at, Kind: idp.EventLoginFailed, UserID: fmt.Sprintf("user%d \r\n\u202e é", i), ClientID: "web", RemoteAddr: "192.0.2.7",
		RequestID: fmt.Sprintf("request%d", i), Detail: map[string]string{"reason": "wrong_password", "target": "a<b&\"c\""},
	}
	e.ID = idp.TimeOrderedID(at, idp.ID{9: byte(i >> 8), 10: byte(i), 15: 1})
	if i%3 == 0 {
		e.Detail = nil
	}
	return e
}

func (w *world) seal() int {
	w.t.Helper()
	n, err := w.sealer.Seal(w.t.Context(), 2*time.Minute)
	require.NoError(w.t, err)
	return n
}

func (w *world) verifier() audit.Verifier {
	w.t.Helper()
	key, err := audit.VerifierKey("id.example.com/audit", logKey.Public().(ed25519.PublicKey))
	require.NoError(w.t, err)
	v, err := audit.NewVerifier(key)
	require.NoError(w.t, err)
	return v
}

func (w *world) verify(kept *audit.Checkpoint) audit.Report {
	w.t.Helper()
	r, err := audit.Verify(w.t.Context(), audit.VerifyConfig{Store: w.store, Verifier: w.verifier(), Kept: kept})
	require.NoError(w.t, err)
	return r
}

func (w *world) intact(rows int) audit.Report {
	w.t.Helper()
	r := w.verify(nil)
	require.Empty(w.t, r.Faults)
	require.EqualValues(w.t, rows, r.Intact)
	return r
}

// exec runs statements as the owner. ? stands for identifiers.
func (w *world) exec(statement string, ids ...idp.ID) {
	w.t.Helper()
	for _, id := range ids {
		literal := "'" + id.UUID() + "'::uuid"
		if w.store.Engine() == "sqlite" {
			literal = "x'" + hex.EncodeToString(id[:]) + "'"
		}
		statement = strings.Replace(statement, "?", literal, 1)
	}
	for part := range strings.SplitSeq(statement, ";") {
		_, err := w.db.ExecContext(w.t.Context(), part)
		require.NoError(w.t, err, part)
	}
}

// day writes a day as the engine stores it.
func (w *world) day(t time.Time) string {
	if w.store.Engine() == "sqlite" {
		return fmt.Sprint(idp.DayOf(t))
	}
	return "'" + t.UTC().Format(time.DateOnly) + "'"
}

// P10: whoever may write to the database cannot change what was sealed and stay
// unnoticed; the first row is named.
func TestAttack_P10_Tampering(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(w *world) {
		t := w.t
		w.advance(-30 * time.Minute)
		var rows []idp.Event
		for range 4 {
			rows = append(rows, w.append(5, time.Minute)...)
			require.Equal(t, 5, w.seal())
		}
		require.Zero(t, w.seal(), "each row once")
		report := w.intact(20)
		require.EqualValues(t, 20, report.Checkpoint.Size)
		require.Zero(t, report.Late)
		whole := report.Checkpoint
		seals, err := w.store.Seals(t.Context(), -1, 10)
		require.NoError(t, err)
		require.Len(t, seals, 4)
		for _, seal := range seals { // what witnesses are asked with
			old, err := w.verifier().Open(seal.Checkpoint)
			require.NoError(t, err)
			request, err := audit.AddCheckpoint(t.Context(), w.store, old.Size, whole)
			require.NoError(t, err)
			head, signed, _ := strings.Cut(request, "\n\n")
			require.Equal(t, whole.Note, signed)
			lines := strings.Split(head, "\n")
			require.Equal(t, fmt.Sprintf("old %d", old.Size), lines[0])
			var proof tlog.TreeProof
			for _, line := range lines[1:] {
				h, err := tlog.ParseHash(line)
				require.NoError(t, err)
				proof = append(proof, h)
			}
			require.NoError(t, tlog.CheckTree(proof, whole.Size, whole.Root, old.Size, old.Root))
		}
		request, err := audit.AddCheckpoint(t.Context(), w.store, 0, whole)
		require.NoError(t, err)
		require.Equal(t, "old 0\n\n"+whole.Note, request)
		_, err = audit.AddCheckpoint(t.Context(), w.store, 21, whole)
		require.Error(t, err)
		w.exec(`CREATE TABLE kept_events AS SELECT * FROM audit_events; CREATE TABLE kept_seals AS SELECT * FROM audit_seals`)
		restore := func() {
			w.exec(`DELETE FROM audit_events; INSERT INTO audit_events SELECT * FROM kept_events; DELETE FROM audit_seals; INSERT INTO audit_seals SELECT * FROM kept_seals`)
		}
		named := func(e idp.Event) string { return "row " + e.ID.UUID() }
		const columns = `event_id, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail`
		one := func(statement string, ids ...idp.ID) func() { return func() { w.exec(statement, ids...) } }
		leaves := func(seal int, change func(raw []byte)) func() {
			return func() {
				var raw []byte
				for _, l := range seals[seal].Leaves {
					raw = append(append(raw, l.EventID[:]...), l.Hash[:]...)
				}
				change(raw)
				text := fmt.Sprintf("UPDATE audit_seals SET leaves = '\\x%x' WHERE first_leaf = %d", raw, seals[seal].First)
				if w.store.Engine() == "sqlite" {
					text = fmt.Sprintf("UPDATE audit_seals SET leaves = x'%x' WHERE first_leaf = %d", raw, seals[seal].First)
				}
				w.exec(text)
			}
		}
		for _, c := range []struct {
			name   string
			tamper func()
			want   string // of the first fault
		}{
			{"kind changed", one(`UPDATE audit_events SET kind = 'login.succeeded' WHERE event_id = ?`, rows[7].ID), named(rows[7]) + " of " + rows[7].At.Format("2006-01-02 15:04:05Z") + " was changed"},
			{"first row changed", one(`UPDATE audit_events SET remote_addr = ''`), named(rows[0]) + " of " + rows[0].At.Format("2006-01-02 15:04:05Z") + " was changed"},
			{"day changed", one(`UPDATE audit_events SET occurred_on = `+w.day(rows[8].At.AddDate(0, 0, 40))+` WHERE event_id = ?`, rows[8].ID), "was changed"},
			{"detail changed", one(`UPDATE audit_events SET detail = '{"reason":"x"}' WHERE event_id = ?`, rows[4].ID), named(rows[4])},
			{"detail taken away", one(`UPDATE audit_events SET detail = NULL WHERE event_id = ?`, rows[4].ID), named(rows[4])},
			{"detail of another type", one(`UPDATE audit_events SET detail = '{"reason":1}' WHERE event_id = ?`, rows[4].ID), named(rows[4])},
			{"detail is no object", one(`UPDATE audit_events SET detail = '[]' WHERE event_id = ?`, rows[4].ID), named(rows[4])},
			{"first removed", one(`DELETE FROM audit_events WHERE event_id = ?`, rows[0].ID), named(rows[0]) + " of " + rows[0].At.Format("2006-01-02 15:04:05Z") + " was removed"},
			{"one removed", one(`DELETE FROM audit_events WHERE event_id = ?`, rows[12].ID), named(rows[12])},
			{"last removed", one(`DELETE FROM audit_events WHERE event_id = ?`, rows[19].ID), named(rows[19])},
			{"all removed", one(`DELETE FROM audit_events`), named(rows[0])},
			{
				"two swapped", one(`UPDATE audit_events SET event_id = ? WHERE event_id = ?; UPDATE audit_events SET event_id = ? WHERE event_id = ?; UPDATE audit_events SET event_id = ? WHERE event_id = ?`,
					idp.ID{1}, rows[6].ID, rows[6].ID, rows[8].ID, rows[8].ID, idp.ID{1}), "the rows were swapped",
			},
			{
				"one added", one(`INSERT INTO audit_events (`+columns+`) SELECT ?, occurred_on, occurred_at, kind, client_id, user_id, session_id, grant_id, request_id, remote_addr, detail FROM audit_events WHERE event_id = ?`,
					event(rows[10].At.Add(time.Second), 400).ID, rows[10].ID), "row " + event(rows[10].At.Add(time.Second), 400).ID.UUID(),
			},
			{
				"one doubled", one(`INSERT INTO audit_events (`+columns+`) SELECT event_id, `+w.day(rows[10].At.AddDate(0, 0, 1))+`, occurred_at, 'login.succeeded', client_id, user_id, session_id, grant_id, request_id, remote_addr, detail FROM audit_events WHERE event_id = ?`,
					rows[10].ID), named(rows[10]) + " of " + rows[10].At.Format("2006-01-02 15:04:05Z") + " is there a second time",
			},
			{"leaves swapped", leaves(1, func(raw []byte) {
				first := bytes.Clone(raw[:48])
				copy(raw, raw[48:96])
				copy(raw[48:], first)
			}), "the log was reordered"},
			{"leaf changed", leaves(1, func(raw []byte) { raw[20]++ }), "are not those that the checkpoint of 10 leaves was signed for"},
			{"row and leaf changed", func() {
				w.exec(`UPDATE audit_events SET user_id = 'mallory' WHERE event_id = ?`, rows[5].ID)
				forged := rows[5]
				forged.UserID = "mallory"
				hash := audit.LeafHash(forged)
				leaves(1, func(raw []byte) { copy(raw[16:], hash[:]) })()
			}, "are not those that the checkpoint of 10 leaves was signed for"},
			{"part of the log removed", one(`DELETE FROM audit_seals WHERE first_leaf = 5`), "leaves 5 to 9 are missing"},
			{"edge changed", one(`UPDATE audit_seals SET peaks = leaves WHERE first_leaf = 5`), "what is kept of the tree at 10 leaves"},
			{"checkpoint forged", one(`UPDATE audit_seals SET checkpoint = REPLACE(checkpoint, 'audit' || chr(10) || '10', 'audit' || chr(10) || '11') WHERE first_leaf = 5`), "the checkpoint of 10 leaves is forged"},
			{"checkpoint of another place", one(`UPDATE audit_seals SET checkpoint = (SELECT checkpoint FROM kept_seals WHERE first_leaf = 0) WHERE first_leaf = 5`), "the checkpoint of 5 leaves stands where 10 are"},
			{"made anew with another key", func() {
				w.exec(`DELETE FROM audit_seals; DELETE FROM audit_events WHERE event_id = ?`, rows[3].ID)
				_, err := w.newSealer(w.store, otherKey).Seal(t.Context(), time.Hour)
				require.NoError(t, err)
			}, "is forged"},
			{"end of the log cut off", one(`DELETE FROM audit_seals WHERE first_leaf >= 10`), "10 rows from row " + rows[10].ID.UUID()},
			{"no log", one(`DELETE FROM audit_seals`), "20 rows from row " + rows[0].ID.UUID()},
			{"detail says it twice", func() {
				if w.store.Engine() == "sqlite" { // PostgreSQL keeps the last
					w.exec(`UPDATE audit_events SET detail = '{"reason":"none","reason":"wrong_password","target":"a<b&\"c\""}' WHERE event_id = ?`, rows[4].ID)
				} else {
					w.exec(`UPDATE audit_events SET detail = NULL WHERE event_id = ?`, rows[4].ID)
				}
			}, named(rows[4])},
			{"leaves cut", func() {
				length := "overlay(leaves placing '' from 1 for 1)"
				if w.store.Engine() == "sqlite" {
					length = "substr(leaves, 2)"
				}
				w.exec(`UPDATE audit_seals SET leaves = ` + length + ` WHERE first_leaf = 5`)
			}, "the log cannot be read after leaf 4"},
		} {
			if strings.Contains(c.name, "forged") && w.store.Engine() == "sqlite" {
				c.tamper = one(`UPDATE audit_seals SET checkpoint = REPLACE(checkpoint, 'audit' || char(10) || '10', 'audit' || char(10) || '11') WHERE first_leaf = 5`)
			}
			c.tamper()
			faults := w.verify(nil).Faults
			if len(faults) == 0 || !strings.Contains(faults[0].What, c.want) {
				t.Errorf("%s: %+v, want %q", c.name, faults, c.want)
			}
			restore()
		}
		w.intact(20)

		// The end cut off, rows and log: only what was kept elsewhere knows.
		w.exec(`DELETE FROM audit_seals WHERE first_leaf >= 15; DELETE FROM audit_events WHERE event_id >= ?`, rows[15].ID)
		w.intact(15)
		faults := w.verify(&whole).Faults
		require.Len(t, faults, 1)
		require.Contains(t, faults[0].What, "the log ends after 15 leaves, and the checkpoint that was kept is of 20: its end was cut off")
		// The server that sealed it does not go on from there.
		_, err = w.sealer.Seal(t.Context(), time.Minute)
		require.ErrorIs(t, err, idp.ErrMalformed)
		require.ErrorContains(t, err, "had 20 leaves, and now ends after 15")
		restore()

		// Written anew by whoever has the key.
		w.exec(`DELETE FROM audit_seals; DELETE FROM audit_events WHERE event_id = ?`, rows[3].ID)
		_, err = w.newSealer(w.store, logKey).Seal(t.Context(), time.Hour)
		require.NoError(t, err)
		w.append(1, time.Second)
		_, err = w.newSealer(w.store, logKey).Seal(t.Context(), time.Hour)
		require.NoError(t, err)
		w.intact(20)
		faults = w.verify(&whole).Faults
		require.Len(t, faults, 1)
		require.Contains(t, faults[0].What, "the first 20 leaves are not those of the checkpoint that was kept: the log was rewritten")
		w.exec(`DELETE FROM audit_events WHERE event_id = ?`, rows[4].ID)
		restore()

		// A forged end is not followed.
		w.exec(`UPDATE audit_seals SET peaks = leaves WHERE first_leaf = 15`)
		_, err = w.newSealer(w.store, logKey).Seal(t.Context(), time.Minute)
		require.ErrorIs(t, err, idp.ErrMalformed)
		w.exec(`UPDATE audit_seals SET checkpoint = 'x' WHERE first_leaf = 15`)
		_, err = w.newSealer(w.store, logKey).Seal(t.Context(), time.Minute)
		require.ErrorIs(t, err, idp.ErrMalformed)
		restore()
		_, err = w.newSealer(w.store, otherKey).Seal(t.Context(), time.Minute)
		require.ErrorIs(t, err, idp.ErrMalformed, "another key does not follow")
		w.intact(20)
	})
}

// What is committed later than it is named is sealed nevertheless, once, and
// what was sealed in the middle of a crash is gone on from.
func TestLateRowsAreSealed(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(w *world) {
		t := w.t
		w.append(3, time.Second)
		require.Equal(t, 3, w.seal())
		require.NoError(t, w.store.AppendEvents(t.Context(), []idp.Event{event(w.now().Add(-30*time.Second), 100)}))
		require.Equal(t, 1, w.seal())
		require.Zero(t, w.intact(4).Late, "half a minute is nothing")

		late := event(w.now().Add(-30*time.Minute), 101)
		require.NoError(t, w.store.AppendEvents(t.Context(), []idp.Event{late}))
		require.Zero(t, w.seal())
		require.Contains(t, w.verify(nil).Faults[0].What, "row "+late.ID.UUID())
		n, err := w.sealer.Seal(t.Context(), time.Hour)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		w.append(2, time.Second)
		require.Equal(t, 2, w.seal())
		r := w.intact(7)
		require.EqualValues(t, 1, r.Late)
		require.Equal(t, late.ID, r.FirstLate)

		// Rows far apart, and more than one seal takes: a round that is broken
		// off leaves the rest to the next.
		w.append(5, 8*time.Minute)
		w.append(2500, time.Millisecond)
		broken := &breaking{Store: w.store, after: 3}
		_, err = w.newSealer(broken, logKey).Seal(t.Context(), 2*time.Minute)
		require.ErrorIs(t, err, errBroken)
		require.Positive(t, w.seal())
		w.intact(7 + 5 + 2500)
		require.Zero(t, w.seal())
	})
}

var errBroken = errors.New("killed")

// breaking is a database whose sealer dies.
type breaking struct {
	*store.Store
	after int
}

func (b *breaking) AppendSeal(ctx context.Context, seal idp.Seal) error {
	if b.after--; b.after < 0 {
		return errBroken
	}
	return b.Store.AppendSeal(ctx, seal)
}

// However many seal at once, under load, each row gets one leaf.
func TestSealersDoNotSealTwice(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(w *world) {
		t := w.t
		second := storetest.Open(t, store.Config{URL: w.url, Now: time.Now})
		const batches, size = 30, 20
		var writers, sealers sync.WaitGroup
		failed := make(chan error, 100)
		for k, s := range []*store.Store{w.store, second} {
			writers.Go(func() {
				for b := range batches {
					var events []idp.Event
					for i := range size {
						at := idp.Instant(time.Now())
						e := event(at, i)
						e.ID = idp.TimeOrderedID(at, idp.ID{8: byte(k), 9: byte(b), 10: byte(i), 15: 1})
						events = append(events, e)
					}
					if err := s.AppendEvents(t.Context(), events); err != nil {
						failed <- err
					}
				}
			})
		}
		stop := make(chan struct{})
		for _, s := range []*store.Store{w.store, second} {
			sealers.Go(func() {
				sealer := audit.NewSealer(audit.SealerConfig{Store: s, Lease: s, Key: logKey, Issuer: logIssuer, Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
				for last := false; ; {
					if _, err := sealer.Seal(t.Context(), 2*time.Minute); err != nil {
						failed <- err
						return
					}
					if last {
						return
					}
					select {
					case <-stop:
						last = true
					default:
					}
				}
			})
		}
		writers.Wait()
		close(stop)
		sealers.Wait()
		require.Empty(t, failed)
		w.seal()
		r := w.intact(2 * batches * size)
		require.EqualValues(t, 2*batches*size, r.Checkpoint.Size)
		require.Zero(t, r.Unsealed)
	})
}

// Rows that were let go are no fault; others that are missing are.
func TestRetentionIsNoFault(t *testing.T) {
	t.Parallel()
	eachWorld(t, func(w *world) {
		t := w.t
		const ago = 70 * 24 * time.Hour
		w.advance(-ago)
		if w.store.Engine() == "postgres" {
			w.exec(`SELECT make_partition('audit_events', ` + w.day(w.now()) + `); SELECT make_partition('audit_events', ` + w.day(w.now().AddDate(0, 0, 1)) + `)`)
		}
		old := w.append(10, time.Second)
		require.Equal(t, 10, w.seal())
		w.advance(ago)
		rows := w.append(4, time.Second)
		require.Equal(t, 4, w.seal())
		w.intact(14)
		require.NoError(t, w.store.Maintain(t.Context()))

		faults := w.verify(nil).Faults
		require.Len(t, faults, 1, "who asks for all misses them")
		require.EqualValues(t, 10, faults[0].Count)
		require.Contains(t, faults[0].What, "row "+old[0].ID.UUID())
		verify := func() audit.Report {
			r, err := audit.Verify(t.Context(), audit.VerifyConfig{
				Store: w.store, Verifier: w.verifier(), KeptSince: w.now().Add(-24 * time.Hour),
			})
			require.NoError(t, err)
			return r
		}
		r := verify()
		require.Empty(t, r.Faults)
		require.EqualValues(t, 10, r.Gone)
		require.EqualValues(t, 4, r.Intact)
		w.exec(`DELETE FROM audit_events WHERE event_id = ?`, rows[1].ID)
		faults = verify().Faults
		require.Len(t, faults, 1)
		require.Contains(t, faults[0].What, "row "+rows[1].ID.UUID())
		require.EqualValues(t, 1, faults[0].Count)
	})
}

// A sealer that cannot says so, once, and says when it can again.
func TestSealerSaysThatRowsAreNotSealed(t *testing.T) {
	t.Parallel()
	w := &world{t: t, at: time.Now(), log: &bytes.Buffer{}}
	away := &absent{}
	s := audit.NewSealer(audit.SealerConfig{Lease: away, Now: w.now, Logger: slog.New(slog.NewTextHandler(w.log, nil))})
	audit.Round(t.Context(), s)
	require.Empty(t, w.log.String(), "a moment is nothing")
	w.advance(6 * time.Minute)
	audit.Round(t.Context(), s)
	audit.Round(t.Context(), s)
	require.Equal(t, 1, strings.Count(w.log.String(), "audit rows are not sealed"))
	away.back = true
	audit.Round(t.Context(), s)
	require.Contains(t, w.log.String(), "audit rows are sealed again")
}

type absent struct{ back bool }

func (a *absent) AcquireLease(context.Context, string, string, time.Duration) (bool, error) {
	if a.back {
		return false, nil // another node seals
	}
	return false, idp.ErrUnavailable
}
