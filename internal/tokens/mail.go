package tokens

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"idp/internal/idp"
)

// letter is what a sealed mail holds.
type letter struct {
	To       string          `json:"to"`
	Name     string          `json:"name,omitempty"`
	Language string          `json:"language,omitempty"`
	Zone     string          `json:"zone,omitempty"`
	Message  json.RawMessage `json:"message"`
}

// SealMail makes a mail ready to be stored: nothing of what it says, and not
// its address, can be read without the master key. An address that mail cannot
// be sent to is an idp.InvalidError.
func (m *Master) SealMail(at time.Time, mail idp.Mail) (idp.SealedMail, error) {
	if err := idp.CheckMailAddress(mail.To); err != nil {
		return idp.SealedMail{}, err
	}
	message, err := json.Marshal(mail.Message)
	if err != nil {
		return idp.SealedMail{}, fmt.Errorf("seal mail: %w", err)
	}
	plain, err := json.Marshal(letter{To: mail.To, Name: mail.Name, Language: mail.Language, Zone: mail.Zone, Message: message})
	if err != nil {
		return idp.SealedMail{}, fmt.Errorf("seal mail: %w", err)
	}
	var random idp.ID
	rand.Read(random[:])
	at = idp.Instant(at)
	s := idp.SealedMail{
		ID: idp.TimeOrderedID(at, random), Kind: mail.Message.Kind(), UserID: mail.UserID,
		CreatedAt: at, ExpiresAt: at.Add(idp.MailLife), DueAt: at,
	}
	if until := mail.Message.Until(); !until.IsZero() && until.Before(s.ExpiresAt) {
		s.ExpiresAt = idp.Instant(until)
	}
	s.Sealed, err = m.Seal(PurposeMail, plain, mailRow(s))
	return s, err
}

// OpenMail reads what SealMail wrote; anything else is idp.ErrMalformed.
func (m *Master) OpenMail(s idp.SealedMail) (idp.Mail, error) {
	plain, err := m.Open(PurposeMail, s.Sealed, mailRow(s))
	if err != nil {
		return idp.Mail{}, err
	}
	var l letter
	if err := json.Unmarshal(plain, &l); err != nil {
		return idp.Mail{}, fmt.Errorf("open mail: %w", idp.ErrMalformed)
	}
	message, err := idp.ParseMailMessage(s.Kind, l.Message)
	return idp.Mail{To: l.To, Name: l.Name, Language: l.Language, Zone: l.Zone, UserID: s.UserID, Message: message}, err
}

// mailRow ties what is sealed to its row.
func mailRow(s idp.SealedMail) []byte {
	return fmt.Appendf(nil, "%s %s %s", s.ID, s.Kind, s.UserID)
}
