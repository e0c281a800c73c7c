package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
	"idp/internal/mail"
)

// sender returns what sends this server's mail: to the configured server, else
// to a log that somebody sits at, else nothing does. It is nil then.
func (d *database) sender(log io.Writer) (*mail.Sender, error) {
	renderer, err := d.mailRenderer(d.cfg.Issuer)
	if err != nil {
		return nil, err
	}
	var transport mail.Transport
	switch c := d.cfg.Mail; {
	case c.Host != "":
		if transport, err = c.smtp(renderer.Host(), nil); err != nil {
			return nil, withCode(exitConfiguration, err)
		}
	case c.PrintToLog:
		transport = mail.NewPrinter(log)
		d.logger.Info("messages to people are printed to this log, and whoever reads it can use the links in them")
	default:
		d.logger.Warn("no mail server is configured: messages to people wait, sealed, and idp mail list shows them", "key", "mail.host")
		return nil, nil
	}
	return mail.New(mail.Config{
		Store: d.store, Opener: d.master, Renderer: renderer, Transport: transport, Now: d.now, Logger: d.logger,
	}), nil
}

// mailRenderer speaks for an issuer in the words of its pages.
func (d *database) mailRenderer(issuer string) (*mail.Renderer, error) {
	pages, err := d.cfg.Pages.pages()
	if err != nil {
		return nil, err
	}
	return mail.NewRenderer(issuer, pages.Words)
}

func (a *app) mailCommand() *cobra.Command {
	return noun("mail", "Messages to people", a.mailList(), a.mailShow(), a.mailTest())
}

type mailView struct {
	ID        string       `json:"id"`
	CreatedAt time.Time    `json:"created_at"`
	To        string       `json:"to"`
	Kind      idp.MailKind `json:"kind"`
	State     string       `json:"state"` // waiting, printed or undelivered
	UserID    string       `json:"sub,omitempty"`
	Attempts  uint32       `json:"attempts"`
	DueAt     time.Time    `json:"due_at,omitzero"`
	Error     string       `json:"error,omitempty"` // of the last attempt
	Subject   string       `json:"subject,omitempty"`
	Text      string       `json:"text,omitempty"`
}

func (d *database) mailView(m idp.SealedMail) (mailView, idp.Mail, error) {
	opened, err := d.master.OpenMail(m)
	v := mailView{
		ID: m.ID.String(), CreatedAt: m.CreatedAt, To: opened.To, Kind: m.Kind, State: string(m.Outcome), UserID: m.UserID,
		Attempts: m.Attempts, DueAt: m.DueAt, Error: m.Failure,
	}
	if v.State == "" {
		v.State = "waiting"
	}
	return v, opened, err
}

// mostMails is how many messages are listed.
const mostMails = 200

func (a *app) mailList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List messages that were not sent",
		Long: "Lists messages to people that were not sent, newest first. waiting: it will be tried, once there is a mail server. printed: to the log.\n" +
			"undelivered: it is not tried any more. What was sent is in the audit.",
		Args: exactly(),
		RunE: a.withDatabase(func(ctx context.Context, d *database, _ []string) error {
			views, err := d.unsentMails(ctx)
			if err != nil {
				return err
			}
			if d.cfg.Mail.Host == "" && len(views) > 0 {
				a.say("No mail server is configured (mail.host): idp mail show ID prints a message.")
			}
			return showList(a, views, func(v mailView) string { return v.ID }, "There are no messages that were not sent.", func(t *table) {
				t.row("ID", "CREATED", "TO", "KIND", "STATE", "LAST ERROR")
				for _, v := range views {
					t.row(v.ID, when(v.CreatedAt), v.To, string(v.Kind), v.State, orDash(v.Error))
				}
			})
		}),
	}
	a.outputFlags(c)
	return c
}

// unsentMails are the messages that were not sent, newest first.
func (d *database) unsentMails(ctx context.Context) ([]mailView, error) {
	mails, err := d.store.Mails(ctx, mostMails)
	if err != nil {
		return nil, err
	}
	var views []mailView
	for _, m := range mails {
		v, _, err := d.mailView(m)
		if err != nil {
			v.Error = "cannot be opened"
		}
		views = append(views, v)
	}
	return views, nil
}

// readMail puts a message that was not sent into words, for an operator. The
// audit keeps who read it.
func (d *database) readMail(ctx context.Context, id idp.ID) (idp.SealedMail, mailView, mail.Message, error) {
	m, err := d.store.Mail(ctx, id)
	if errors.Is(err, idp.ErrNotFound) {
		err = fmt.Errorf("there is no message %s that was not sent: %w", id, err)
	}
	var v mailView
	var opened idp.Mail
	if err == nil {
		v, opened, err = d.mailView(m)
	}
	if err == nil && d.issuer == "" {
		err = withCode(exitConfiguration, errors.New("issuer: set it, links lead there"))
	}
	if err != nil {
		return m, v, mail.Message{}, err
	}
	renderer, err := d.mailRenderer(d.issuer)
	if err != nil {
		return m, v, mail.Message{}, err
	}
	message, err := renderer.Render(m.ID, m.CreatedAt, opened)
	if err != nil {
		return m, v, message, err
	}
	return m, v, message, d.store.AppendEvents(ctx, []idp.Event{{
		Kind: idp.EventMailShown, UserID: m.UserID,
		Detail: map[string]string{"mail": m.ID.String(), "target": string(m.Kind), "actor": cmp.Or(idp.RequestFrom(ctx).Subject, "command")},
	}})
}

func (a *app) mailShow() *cobra.Command {
	c := &cobra.Command{
		Use:   "show ID",
		Short: "Print a message that was not sent, to hand it over by other means",
		Long:  "Prints a message that was not sent, with its link, which whoever has it can use. The audit keeps that it was read.",
		Args:  exactly("ID"),
		RunE: a.withDatabase(func(ctx context.Context, d *database, args []string) error {
			id, err := idp.ParseID(args[0])
			if err != nil {
				return usage("%q is no id of a message: idp mail list shows them", args[0])
			}
			m, v, message, err := d.readMail(ctx, id)
			if err != nil {
				return err
			}
			v.Subject, v.Text = message.Subject, message.Text
			if err := a.show(v, v.ID, func(t *table) {
				t.field("to", v.To)
				t.field("subject", v.Subject)
				t.field("state", v.State)
				t.field("until", when(m.ExpiresAt))
				t.field("error", v.Error)
			}); err != nil {
				return err
			}
			a.say("\n%s", message.Text)
			return nil
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) mailTest() *cobra.Command {
	return &cobra.Command{
		Use:   "test ADDRESS",
		Short: "Send a message now, and print what the mail server says",
		Args:  exactly("ADDRESS"),
		RunE: a.withDatabase(func(ctx context.Context, d *database, args []string) error {
			to := args[0]
			if err := idp.CheckMailAddress(to); err != nil {
				return usage("%s: %s", printable(to), err)
			}
			if err := d.testMail(ctx, idp.Mail{To: to}, func(line string) { fmt.Fprintln(a.Stdout, printable(line)) }); err != nil {
				return err
			}
			fmt.Fprintf(a.Stdout, "The server took the message to %s.\n", to)
			return nil
		}),
	}
}

// testMail sends a message now, and tells what the mail server says.
func (d *database) testMail(ctx context.Context, m idp.Mail, tell func(line string)) error {
	c := d.cfg.Mail
	switch {
	case c.Host == "":
		return withCode(exitConfiguration, errors.New("no mail server is configured: set mail.host and mail.from"))
	case d.issuer == "":
		return withCode(exitConfiguration, errors.New("issuer: set it, messages come in its name"))
	}
	renderer, err := d.mailRenderer(d.issuer)
	if err != nil {
		return err
	}
	now := idp.Instant(d.now())
	m.Message = idp.TestMail{At: now}
	sealed, err := d.master.SealMail(now, m) // as every mail, for its checks and its id
	if err != nil {
		return err
	}
	message, err := renderer.Render(sealed.ID, now, m)
	if err != nil {
		return err
	}
	tell(fmt.Sprintf("%s port %d, tls %s", c.Host, c.Port, c.protection()))
	smtp, err := c.smtp(renderer.Host(), tell)
	if err != nil {
		return withCode(exitConfiguration, err)
	}
	if _, err := smtp.Send(ctx, message); err != nil {
		if errors.Is(err, mail.ErrAway) {
			return withCode(exitUnavailable, err)
		}
		return err
	}
	return nil
}
