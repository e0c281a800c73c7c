package main

import (
	"net/mail"
	"strings"

	"idp/internal/idp"
	idpmail "idp/internal/mail"
)

// validateMail checks the mail section, and reads its password.
func (l *loader) validateMail() {
	c := &l.config.Mail
	l.secretFile("mail.password", string(c.Password), c.PasswordFile, func(s string) { c.Password = idp.Secret(s) })
	if c.Host != "" && (strings.ContainsAny(c.Host, ":/@ \t") && !isLoopbackHost(c.Host)) {
		l.faultAt("mail.host", "must be a host name or address alone; the port is mail.port")
	}
	if c.From != "" {
		if _, err := mailbox(c.From); err != nil {
			l.faultAt("mail.from", l.allowed("mail.from"))
		}
	} else if c.Host != "" {
		l.faultAt("mail.from", "set it to the address that messages come from, such as IDP_MAIL_FROM=accounts@example.com")
	}
	if c.ReplyTo != "" {
		if _, err := mailbox(c.ReplyTo); err != nil {
			l.faultAt("mail.reply_to", l.allowed("mail.reply_to"))
		}
	}
	switch {
	case c.Username != "" && c.Password == "" && !l.faulty("mail.password_file"):
		l.faultAt("mail.username", "needs mail.password or mail.password_file")
	case c.Username == "" && c.Password != "":
		l.faultAt("mail.username", "set it: there is a password without a user")
	case c.Username != "" && c.protection() == idpmail.TLSNone:
		l.faultAt("mail.username", "credentials are sent over TLS only: set mail.tls to starttls or implicit")
	}
	if _, err := rootsWith(c.CAFile); err != nil {
		l.faultAt("mail.ca_file", err.Error())
	}
	if c.Host != "" && c.PrintToLog {
		l.faultAt("mail.print_to_log", "is for servers without mail.host")
	}
}

// mailbox reads an address with or without a name.
func mailbox(text string) (*mail.Address, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, idp.Invalid("address", "must be one line")
	}
	address, err := mail.ParseAddress(text)
	if err != nil {
		return nil, err
	}
	return address, idp.CheckMailAddress(address.Address)
}

// protection is how the connection to the server is protected.
func (c *MailConfig) protection() string {
	switch {
	case c.TLS != "":
		return c.TLS
	case c.Port == 465:
		return idpmail.TLSImplicit
	case isLoopbackHost(c.Host) && c.Port != 587:
		return idpmail.TLSNone
	}
	return idpmail.TLSStart
}

// smtp returns the transport to the configured server. What dialogue is told
// holds neither credentials nor contents; it may be nil.
func (c *MailConfig) smtp(domain string, dialogue func(string)) (*idpmail.SMTP, error) {
	roots, err := rootsWith(c.CAFile)
	if err != nil {
		return nil, err
	}
	from, err := mailbox(c.From)
	if err != nil {
		return nil, err
	}
	cfg := idpmail.SMTPConfig{
		Host: c.Host, Port: c.Port, TLS: c.protection(), Roots: roots, Username: c.Username, Password: c.Password,
		From: *from, Domain: domain, Dialogue: dialogue,
	}
	if c.ReplyTo != "" {
		if cfg.ReplyTo, err = mailbox(c.ReplyTo); err != nil {
			return nil, err
		}
	}
	return idpmail.NewSMTP(cfg)
}
