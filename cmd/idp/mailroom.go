package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"idp/internal/console"
	"idp/internal/idp"
	"idp/internal/mail"
	"idp/web"
)

// mailroom is what administrators see of messages to people.
type mailroom struct {
	*database
	renderer *mail.Renderer
}

// testPatience is how long a test waits for the mail server: shorter than who
// waits for the page does.
const testPatience = 10 * time.Second

func (m mailroom) Test(ctx context.Context, to idp.Mail) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, testPatience)
	defer cancel()
	var dialogue []string
	err := m.testMail(ctx, to, func(line string) { dialogue = append(dialogue, line) })
	event := idp.Event{Kind: idp.EventMailSent, UserID: to.UserID, Detail: map[string]string{
		"target": string(idp.MailTest), "actor": idp.RequestFrom(ctx).Subject, "outcome": string(idp.MailSent),
	}}
	if err != nil {
		event.Kind = idp.EventMailUndelivered
		event.Detail["outcome"], event.Detail["error"] = string(idp.MailUndelivered), err.Error()
	}
	return dialogue, errors.Join(err, m.store.AppendEvents(context.WithoutCancel(ctx), []idp.Event{event}))
}

func (m mailroom) Unsent(ctx context.Context) ([]console.UnsentMail, error) {
	views, err := m.unsentMails(ctx)
	var unsent []console.UnsentMail
	for _, v := range views {
		unsent = append(unsent, unsentMail(v))
	}
	return unsent, err
}

func unsentMail(v mailView) console.UnsentMail {
	return console.UnsentMail{ID: v.ID, To: v.To, Kind: v.Kind, State: v.State, CreatedAt: v.CreatedAt, Attempts: v.Attempts, Failure: v.Error}
}

func (m mailroom) Read(ctx context.Context, id idp.ID) (console.UnsentMail, web.Mail, error) {
	_, v, message, err := m.readMail(ctx, id)
	return unsentMail(v), message.Mail, err
}

func (m mailroom) Samples() []string { return slices.Sorted(maps.Keys(mail.Samples(time.Time{}))) }

func (m mailroom) Sample(name, language string) (web.Mail, error) {
	now := idp.Instant(m.now())
	message, ok := mail.Samples(now)[name]
	if !ok {
		return web.Mail{}, fmt.Errorf("there is no message %q: %w", name, idp.ErrNotFound)
	}
	rendered, err := m.renderer.Render(idp.ID{}, now, idp.Mail{To: "alice@example.com", Name: "Alice Moreau", Language: language, Message: message})
	return rendered.Mail, err
}
