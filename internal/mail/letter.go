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
func NewRenderer(issuer string) (*Renderer, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("mail: the issuer %q is no address", issuer)
	}
	mails, err := web.NewMails()
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
	zone, err := time.LoadLocation(m.Zone)
	if err != nil || m.Zone == "Local" {
		zone = time.UTC
	}
	l := web.Letter{
		Kind: string(m.Message.Kind()), Lang: m.Language, Host: r.issuer.Host, Home: r.issuer.String(), Name: tame(m.Name),
		Variants: map[string]string{}, Words: map[string]string{}, Terms: map[string]string{}, Times: map[string]time.Time{},
	}
	var link idp.MailLink
	happened := func(at time.Time, device, remoteAddr string) {
		l.Facts = append(l.Facts, web.LetterFact{Name: "when", Time: at.In(zone)})
		if device != "" {
			l.Facts = append(l.Facts, web.LetterFact{Name: "device", Text: tame(device)})
		}
		if remoteAddr != "" {
			l.Facts = append(l.Facts, web.LetterFact{Name: "address", Text: tame(remoteAddr)})
		}
	}
	leads := func(to idp.MailLink, until time.Time) { link, l.Times["until"] = to, until.In(zone) }
	home := false
	switch m := m.Message.(type) {
	case idp.InvitationMail:
		leads(m.Link, m.ExpiresAt)
		if l.Words["by"] = tame(m.InvitedBy); l.Words["by"] == "" {
			l.Variants["before"] = "nobody"
		}
	case idp.VerifyAddressMail:
		leads(m.Link, m.ExpiresAt)
	case idp.ResetPasswordMail:
		leads(m.Link, m.ExpiresAt)
		l.Facts = []web.LetterFact{{Name: "username", Text: tame(m.Username)}}
	case idp.PasswordChangedMail:
		happened(m.At, m.Device, m.RemoteAddr)
		home = true
	case idp.FactorChangedMail:
		happened(m.At, m.Device, m.RemoteAddr)
		l.Terms["factor"] = "mail.factor." + string(m.Factor)
		l.Variants["title"], l.Variants["before"] = string(m.Change), string(m.Change)
		home = true
	case idp.NewDeviceMail:
		happened(m.At, m.Device, m.RemoteAddr)
		home = true
	case idp.AddressChangedMail:
		leads(m.Undo, m.ExpiresAt)
		happened(m.At, "", "")
		l.Facts = append(l.Facts, web.LetterFact{Name: "new_address", Text: inPart(m.NewAddress)})
	case idp.TokenReplayedMail:
		happened(m.At, "", "")
		l.Words["application"] = tame(m.Application)
		l.Facts = append(l.Facts, web.LetterFact{Name: "application", Text: tame(m.Application)})
		home = true
	case idp.AccountDisabledMail:
		happened(m.At, "", "")
	case idp.TestMail:
		happened(m.At, "", "")
	default:
		return web.Letter{}, fmt.Errorf("mail: there are no words for %T", m)
	}
	switch {
	case link != "":
		l.Secret = true
		l.Link, err = r.link(link)
		return l, err
	case home:
		l.Link = l.Home + "/"
	}
	return l, nil
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
