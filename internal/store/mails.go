package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

// A mail is stored where the event is that it goes out because of: what stores
// the event under a condition need not repeat it here.
const insertMail = `
INSERT INTO mails (mail_id, kind, user_id, sealed, created_at, expires_at, due_at, attempts, outcome, failure)
SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
WHERE EXISTS (SELECT 1 FROM audit_events WHERE event_id = $11 AND occurred_on = $12)`

// mailStatements store the mail of an event, behind the event itself.
func mailStatements(e idp.Event) []statement {
	var out []statement
	for _, m := range e.Mail {
		out = append(out, statement{insertMail, []any{
			m.ID, m.Kind, m.UserID, m.Sealed, m.CreatedAt, m.ExpiresAt, m.DueAt, m.Attempts, m.Outcome, m.Failure, e.ID, idp.DayOf(e.At),
		}})
	}
	return out
}

const mailColumns = `mail_id, kind, user_id, sealed, created_at, expires_at, due_at, attempts, outcome, failure`

const selectDueMails = `
SELECT ` + mailColumns + `
FROM mails WHERE due_at <= $1
ORDER BY due_at, mail_id
LIMIT $2`

// DueMails returns up to limit mails that it is time to send, the longest due
// first.
func (s *Store) DueMails(ctx context.Context, now time.Time, limit int) ([]idp.SealedMail, error) {
	return s.mails(ctx, selectDueMails, now, limit)
}

const claimMail = `
UPDATE mails SET attempts = attempts + 1, due_at = $1
WHERE mail_id = $2 AND attempts = $3 AND due_at IS NOT NULL`

// ClaimMail takes a mail for one attempt, which others leave alone until then.
// It reports false when another node was first.
func (s *Store) ClaimMail(ctx context.Context, m idp.SealedMail, until time.Time) (bool, error) {
	changed, err := s.port.exec(ctx, claimMail, until, m.ID, m.Attempts)
	return changed > 0, err
}

const (
	postponeMail = `
UPDATE mails SET due_at = $1, failure = $2 WHERE mail_id = $3 AND due_at IS NOT NULL`
	postponeMails = `
UPDATE mails SET due_at = $1 WHERE due_at < $1`
)

// PostponeMail lets a mail rest until then, and keeps why.
func (s *Store) PostponeMail(ctx context.Context, m idp.SealedMail, until time.Time, failure string) error {
	_, err := s.port.exec(ctx, postponeMail, until, failure, m.ID)
	return err
}

// PostponeMails lets all mail rest until then.
func (s *Store) PostponeMails(ctx context.Context, until time.Time) error {
	_, err := s.port.exec(ctx, postponeMails, until)
	return err
}

const (
	deleteMail = `DELETE FROM mails WHERE mail_id = $1`
	endMail    = `UPDATE mails SET due_at = NULL, outcome = $1, failure = $2 WHERE mail_id = $3 AND due_at IS NOT NULL`
)

// FinishMail notes how a mail ended, with the events that tell of it. One that
// was sent is forgotten.
func (s *Store) FinishMail(ctx context.Context, m idp.SealedMail, outcome idp.MailOutcome, failure string, events ...idp.Event) error {
	return s.change(ctx, events, func(q querier) (bool, error) {
		var changed int64
		var err error
		if outcome == idp.MailSent {
			changed, err = q.exec(ctx, deleteMail, m.ID)
		} else {
			changed, err = q.exec(ctx, endMail, outcome, failure, m.ID)
		}
		return changed > 0, err
	})
}

const countWaitingMails = `SELECT count(*) FROM mails WHERE due_at IS NOT NULL`

// WaitingMail returns how many mails are to be sent, now or later.
func (s *Store) WaitingMail(ctx context.Context) (n int64, err error) {
	err = one(ctx, s.port, []any{&n}, countWaitingMails)
	return n, err
}

const selectMails = `
SELECT ` + mailColumns + `
FROM mails
ORDER BY mail_id DESC
LIMIT $1`

// Mails returns the limit newest mails that were not sent, newest first.
func (s *Store) Mails(ctx context.Context, limit int) ([]idp.SealedMail, error) {
	return s.mails(ctx, selectMails, limit)
}

const selectMail = `
SELECT ` + mailColumns + `
FROM mails WHERE mail_id = $1`

// Mail finds a mail that was not sent.
func (s *Store) Mail(ctx context.Context, id idp.ID) (idp.SealedMail, error) {
	var m idp.SealedMail
	err := one(ctx, s.port, mailDests(&m), selectMail, id)
	return m, err
}

func mailDests(m *idp.SealedMail) []any {
	return []any{&m.ID, &m.Kind, &m.UserID, &m.Sealed, &m.CreatedAt, &m.ExpiresAt, &m.DueAt, &m.Attempts, &m.Outcome, &m.Failure}
}

func (s *Store) mails(ctx context.Context, sql string, args ...any) ([]idp.SealedMail, error) {
	var mails []idp.SealedMail
	err := s.port.query(ctx, func(r row) error {
		var m idp.SealedMail
		if err := r.Scan(mailDests(&m)...); err != nil {
			return err
		}
		mails = append(mails, m)
		return nil
	}, sql, args...)
	return mails, err
}

// mailRetention is how long mail that was not sent can be seen.
const mailRetention = 30 * 24 * time.Hour

const (
	deleteMails = `
DELETE FROM mails WHERE mail_id IN (SELECT mail_id FROM mails WHERE mail_id < $1 ORDER BY mail_id LIMIT $2)`
	deleteUserMails = `DELETE FROM mails WHERE user_id = $1`
)

func (s *Store) deleteOldMails(ctx context.Context) error {
	return s.deleteInBatches(ctx, deleteMails, idp.FirstID(s.now().Add(-mailRetention)))
}
