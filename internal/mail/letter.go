package mail

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"idp/internal/idp"
	"idp/web"
)

// Message is a mail in words, ready to be sent.
type Message struct {
	ID   idp.ID
	Date time.Time
	To   string
	web.Mail
}

// Renderer puts mail into words. Links lead below the issuer, wherever the
// request that caused them came from.
type Renderer struct {
	issuer *url.URL
	mails  *web.Mails
}

// NewRenderer returns a Renderer of an issuer's mail.
func NewRenderer(issuer string, words *web.Words) (*Renderer, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("mail: the issuer %q is no address", issuer)
	}
	mails, err := web.NewMails(words)
	if err != nil {
		return nil, err
	}
	return &Renderer{u, mails}, nil
}

// Host is the issuer's host name, without a port.
func (r *Renderer) Host() string { return r.issuer.Hostname() }

// Render puts a mail into words.
func (r *Renderer) Render(id idp.ID, date time.Time, m idp.Mail) (Message, error) {
	l, err := r.letter(m)
	if err != nil {
		return Message{}, err
	}
	words, err := r.mails.Render(l)
	if err != nil {
		return Message{}, err
	}
	return Message{ID: id, Date: date, To: m.To, Mail: words}, nil
}

// letter says which words a message needs.
func (r *Renderer) letter(m idp.Mail) (web.Letter, error) {
	host := r.issuer.Host
	l := web.Letter{Lang: m.Language, Host: host, Home: r.issuer.String(), Greeting: web.Say("mail.greeting_nameless")}
	if name := tame(m.Name); name != "" {
		l.Greeting = web.Say("mail.greeting", "name", name)
	}
	zone, err := time.LoadLocation(m.Zone)
	if err != nil || m.Zone == "Local" {
		zone = time.UTC
	}
	happened := func(at time.Time, device, remoteAddr string) {
		l.Facts = append(l.Facts, web.LetterFact{Label: web.Say("mail.when"), Time: at.In(zone)})
		if device != "" {
			l.Facts = append(l.Facts, web.LetterFact{Label: web.Say("mail.device"), Text: tame(device)})
		}
		if remoteAddr != "" {
			l.Facts = append(l.Facts, web.LetterFact{Label: web.Say("mail.address"), Text: tame(remoteAddr)})
		}
	}
	// leads is for links of the message's own, home for the account.
	leads := func(button *web.Text, to idp.MailLink) {
		l.Button, l.Secret = button, true
		l.Link, err = r.link(to)
	}
	home := func() { l.Button, l.Link = web.Say("mail.account"), l.Home+"/" }
	err = nil
	switch m := m.Message.(type) {
	case idp.InvitationMail:
		l.Subject, l.Title = web.Say("mail.invitation_subject", "host", host), web.Say("mail.invitation_title")
		l.Before = []*web.Text{web.Say("mail.invitation_nobody", "host", host)}
		if by := tame(m.InvitedBy); by != "" {
			l.Before = []*web.Text{web.Say("mail.invitation_by", "by", by, "host", host)}
		}
		leads(web.Say("mail.invitation_button"), m.Link)
		l.After = []*web.Text{web.Say("mail.invitation_after", "until", m.ExpiresAt.In(zone))}
	case idp.RegistrationMail:
		l.Subject, l.Title = web.Say("mail.registration_subject", "host", host), web.Say("mail.registration_title")
		l.Before = []*web.Text{web.Say("mail.registration_before", "host", host)}
		leads(web.Say("mail.invitation_button"), m.Link)
		l.After = []*web.Text{web.Say("mail.registration_after", "until", m.ExpiresAt.In(zone))}
	case idp.AccountExistsMail:
		l.Subject, l.Title = web.Say("mail.exists_subject", "host", host), web.Say("mail.exists_title")
		l.Before = []*web.Text{web.Say("mail.exists_before", "host", host)}
		home()
		l.Facts = []web.LetterFact{{Label: web.Say("mail.username"), Text: tame(m.Username)}}
		l.After = []*web.Text{web.Say("mail.exists_after")}
	case idp.VerifyAddressMail:
		l.Subject, l.Title = web.Say("mail.verify_subject", "host", host), web.Say("mail.verify_title")
		l.Before = []*web.Text{web.Say("mail.verify_before", "host", host)}
		leads(web.Say("mail.verify_button"), m.Link)
		l.After = []*web.Text{web.Say("mail.verify_after", "until", m.ExpiresAt.In(zone))}
	case idp.ResetPasswordMail:
		l.Subject, l.Title = web.Say("mail.reset_subject", "host", host), web.Say("mail.reset_title")
		l.Before = []*web.Text{web.Say("mail.reset_before", "host", host)}
		leads(web.Say("mail.reset_button"), m.Link)
		l.Facts = []web.LetterFact{{Label: web.Say("mail.username"), Text: tame(m.Username)}}
		l.After = []*web.Text{web.Say("mail.reset_after", "until", m.ExpiresAt.In(zone), "host", host)}
	case idp.PasswordChangedMail:
		l.Subject, l.Title = web.Say("mail.password_subject", "host", host), web.Say("mail.password_title")
		l.Before = []*web.Text{web.Say("mail.password_before", "host", host)}
		happened(m.At, m.Device, m.RemoteAddr)
		home()
		l.After = []*web.Text{web.Say("mail.password_after")}
	case idp.FactorChangedMail:
		l.Subject, l.Title = web.Say("mail.factor_subject", "host", host), factorTitle(m)
		l.Before = []*web.Text{web.Say("mail.factor_added", "host", host)}
		if m.Change == idp.MailFactorRemoved {
			l.Before = []*web.Text{web.Say("mail.factor_removed", "host", host)}
		}
		happened(m.At, m.Device, m.RemoteAddr)
		home()
		l.After = []*web.Text{web.Say("mail.factor_after")}
	case idp.NewDeviceMail:
		l.Subject, l.Title = web.Say("mail.new_device_subject", "host", host), web.Say("mail.new_device_title")
		l.Before = []*web.Text{web.Say("mail.new_device_before", "host", host)}
		happened(m.At, m.Device, m.RemoteAddr)
		home()
		l.After = []*web.Text{web.Say("mail.new_device_after")}
	case idp.AddressChangedMail:
		l.Subject, l.Title = web.Say("mail.address_subject", "host", host), web.Say("mail.address_title")
		l.Before = []*web.Text{web.Say("mail.address_before", "host", host), web.Say("mail.address_undo")}
		leads(web.Say("mail.address_button"), m.Undo)
		happened(m.At, "", "")
		l.Facts = append(l.Facts, web.LetterFact{Label: web.Say("mail.new_address"), Text: inPart(m.NewAddress)})
		l.After = []*web.Text{web.Say("mail.address_after", "until", m.ExpiresAt.In(zone))}
	case idp.AddressAddedMail:
		l.Subject, l.Title = web.Say("mail.address_added_subject", "host", host), web.Say("mail.address_added_title")
		l.Before = []*web.Text{web.Say("mail.address_added_before", "host", host)}
		happened(m.At, "", "")
		l.Facts = append(l.Facts, web.LetterFact{Label: web.Say("mail.new_address"), Text: inPart(m.NewAddress)})
		home()
		l.After = []*web.Text{web.Say("mail.address_added_after")}
	case idp.TokenReplayedMail:
		application := tame(m.Application)
		l.Subject, l.Title = web.Say("mail.replayed_subject", "host", host), web.Say("mail.replayed_title")
		l.Before = []*web.Text{misused(m.Misuse, application, host)}
		happened(m.At, "", "")
		l.Facts = append(l.Facts, web.LetterFact{Label: web.Say("mail.application"), Text: application})
		home()
		l.After = []*web.Text{web.Say("mail.replayed_after", "application", application)}
	case idp.CodesGuessedMail:
		l.Subject, l.Title = web.Say("mail.guessed_subject", "host", host), web.Say("mail.guessed_title")
		l.Before = []*web.Text{web.Say("mail.guessed_before", "host", host)}
		happened(m.At, m.Device, m.RemoteAddr)
		home()
		l.After = []*web.Text{web.Say("mail.guessed_after")}
	case idp.AccountDisabledMail:
		l.Subject, l.Title = web.Say("mail.disabled_subject", "host", host), web.Say("mail.disabled_title")
		l.Before = []*web.Text{web.Say("mail.disabled_before", "host", host)}
		happened(m.At, "", "")
		l.After = []*web.Text{web.Say("mail.disabled_after")}
	case idp.DeletionRequestedMail:
		l.Subject, l.Title = web.Say("mail.deletion_subject", "host", host), web.Say("mail.deletion_title")
		l.Before = []*web.Text{web.Say("mail.deletion_asked", "host", host)}
		if !m.DueAt.IsZero() {
			l.Before = []*web.Text{web.Say("mail.deletion_due", "host", host, "until", m.DueAt.In(zone))}
		}
		leads(web.Say("mail.deletion_button"), "/account/data")
		happened(m.At, m.Device, m.RemoteAddr)
		l.After = []*web.Text{web.Say("mail.deletion_after")}
	case idp.TestMail:
		l.Subject, l.Title = web.Say("mail.test_subject", "host", host), web.Say("mail.test_title")
		l.Before = []*web.Text{web.Say("mail.test_before", "host", host)}
		happened(m.At, "", "")
	default:
		return web.Letter{}, fmt.Errorf("mail: there are no words for %T", m)
	}
	return l, err
}

// factorTitle says what happened to which way to sign in.
func factorTitle(m idp.FactorChangedMail) *web.Text {
	added := m.Change != idp.MailFactorRemoved
	switch {
	case m.Factor == idp.MailFactorPasskey && added:
		return web.Say("mail.passkey_added")
	case m.Factor == idp.MailFactorPasskey:
		return web.Say("mail.passkey_removed")
	case m.Factor == idp.MailFactorAuthenticator && added:
		return web.Say("mail.authenticator_added")
	case m.Factor == idp.MailFactorAuthenticator:
		return web.Say("mail.authenticator_removed")
	case added:
		return web.Say("mail.codes_added")
	}
	return web.Say("mail.codes_removed")
}

// misused says why an application's access was ended.
func misused(how idp.MailMisuse, application, host string) *web.Text {
	switch how {
	case idp.MailRefreshStrange:
		return web.Say("mail.replayed_strange", "application", application, "host", host)
	case idp.MailCodeReplayed:
		return web.Say("mail.replayed_code", "application", application, "host", host)
	}
	return web.Say("mail.replayed_before", "application", application, "host", host)
}

// link makes a path below the issuer an address. What would lead elsewhere is
// refused.
func (r *Renderer) link(to idp.MailLink) (string, error) {
	u, err := url.Parse(string(to))
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(string(to), "/") || strings.HasPrefix(string(to), "//") ||
		strings.Contains(string(to), `\`) || strings.Contains("/"+u.Path+"/", "/../") {
		return "", fmt.Errorf("mail: a link is no path below the issuer: %w", idp.ErrMalformed)
	}
	return strings.TrimSuffix(r.issuer.String(), "/") + u.String(), nil
}

// longestName is how many characters of a name that somebody chose are shown.
const longestName = 64

// tame makes a name that somebody chose fit for a message: one line of it, not
// too long, that steers neither terminal nor text direction, and that no mail
// program takes for an address to click on.
func tame(name string) string { return unlinked(oneLine(name, longestName)) }

// oneLine makes a text one line of at most so many characters, none of which
// steers anything.
func oneLine(text string, longest int) string {
	text = strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			return ' '
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c):
			return -1
		}
		return c
	}, strings.ToValidUTF8(text, ""))
	text = strings.Join(strings.Fields(text), " ")
	if utf8.RuneCountInString(text) > longest {
		text = string([]rune(text)[:longest-1]) + "…"
	}
	return text
}

// unlinked parts what looks like an address with a space that is not seen.
func unlinked(text string) string {
	var out strings.Builder
	runes := []rune(text)
	for i, c := range runes {
		out.WriteRune(c)
		if strings.ContainsRune(".:@", c) && i+1 < len(runes) && !unicode.IsSpace(runes[i+1]) && !unicode.IsDigit(runes[i+1]) {
			out.WriteRune('\u200b')
		}
	}
	return out.String()
}

// inPart shows enough of an address for who knows it.
func inPart(address string) string {
	local, domain, found := strings.Cut(address, "@")
	if !found || local == "" {
		return "…"
	}
	first, _ := utf8.DecodeRuneInString(local)
	return string(first) + "…@" + domain
}
