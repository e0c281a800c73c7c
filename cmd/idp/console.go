package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"idp/internal/console"
	"idp/internal/idp"
)

// consoleStatus is what the console shows of how this server does. It asks the
// database, and nobody else: whoever waits for the page would wait for them.
func (n *node) consoleStatus(ctx context.Context) console.Status {
	var s console.Status
	health := func(title, state, text string) {
		s.Health = append(s.Health, console.Check{Title: title, State: state, Text: text})
	}
	if err := n.store.Ready(ctx); err != nil {
		health("Database and clock", findingFault, err.Error())
	} else {
		health("Database and clock", findingOK, "")
	}
	n.keyHealth(health)
	n.mailHealth(ctx, health)
	if dropped := n.audit.Dropped(); dropped > 0 {
		health("Audit", findingFault, fmt.Sprintf("%d events could not be written since the start.", dropped))
	} else {
		health("Audit", findingOK, "")
	}
	s.SendsMail = n.mail != nil

	production := func(ok bool, text string) {
		state := findingOK
		if !ok {
			state = findingWarning
		}
		s.Production = append(s.Production, console.Check{State: state, Text: text})
	}
	production(isSecure(n.cfg.Issuer), "The issuer has to be https.")
	production(n.store.Engine() == "postgres" || len(n.cfg.MasterKeyFile)+len(n.cfg.MasterKey) > 0,
		"The embedded database and its master key lie in one directory: keep backups (idp backup), and the key apart from them.")
	return s
}

// keyHealth says of each algorithm whether a key signs, and until when.
func (n *node) keyHealth(health func(title, state, text string)) {
	active, due := map[string]bool{}, ""
	now := n.now()
	states := n.keyring.States()
	for _, k := range states {
		if k.State != idp.KeyActive {
			continue
		}
		active[k.Alg] = true
		if age := now.Sub(k.ActiveFrom); age > n.cfg.Keys.RotateEvery.std()+24*time.Hour {
			due += fmt.Sprintf(" %s signs for %d days.", k.Alg, int(age.Hours()/24))
		}
	}
	var silent []string
	for _, k := range states {
		if !active[k.Alg] && k.State == idp.KeyNext {
			silent = append(silent, k.Alg)
		}
	}
	switch {
	case len(active) == 0:
		health("Keys", findingFault, "No key signs.")
	case due != "":
		health("Keys", findingWarning, "Their rotation is late."+due)
	case len(silent) > 0:
		health("Keys", findingOK, "Soon to sign: "+strings.Join(silent, ", ")+".")
	default:
		health("Keys", findingOK, "")
	}
}

func (n *node) mailHealth(ctx context.Context, health func(title, state, text string)) {
	waiting, err := n.store.WaitingMail(ctx)
	switch {
	case err != nil:
		health("Mail", findingFault, "What waits to be sent cannot be read.")
	case n.mail == nil && waiting > 0:
		health("Mail", findingWarning, fmt.Sprintf("No mail server is configured (mail.host), and %d messages wait: idp mail list shows them.", waiting))
	case n.mail == nil:
		health("Mail", findingWarning, "No mail server is configured (mail.host).")
	case waiting > 20:
		health("Mail", findingWarning, fmt.Sprintf("%d messages wait to be sent.", waiting))
	default:
		health("Mail", findingOK, "")
	}
}
