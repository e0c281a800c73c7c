package console

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"time"

	"idp/internal/idp"
	"idp/web"
)

// Counter counts what happened. Implemented by *store.Store.
type Counter interface {
	CountEvents(ctx context.Context, since time.Time, limit int) ([]idp.EventCount, error)
}

// Status is how the server does.
type Status struct {
	Health []Check
	// Production is what a server for real people has.
	Production []Check
	SendsMail  bool
}

// Check is something that is as it should be, or not.
type Check struct {
	Title, Text string
	State       string // ok, warning or fault
}

const (
	countedDays   = 7
	countedEvents = 200_000
	worstClients  = 5
)

func showHome(v *visit) error {
	p := v.frame("/console", "Home")
	status := v.console.Status(v.Context())
	steps, err := v.firstSteps(status)
	if err != nil {
		return err
	}
	health := web.ConsoleChecks{ID: "health", Title: "Health"}
	for _, c := range status.Health {
		health.Checks = append(health.Checks, checked(c))
	}
	now := v.console.Now().UTC()
	since := now.AddDate(0, 0, 1-countedDays).Truncate(24 * time.Hour)
	counts, err := v.console.Counter.CountEvents(v.Context(), since, countedEvents)
	if err != nil {
		return err
	}
	bars, failing := activity(counts, since)
	if missing := slices.ContainsFunc(steps.Checks, func(c web.ConsoleCheck) bool { return c.Tone != "good" }); missing {
		p.Parts = []web.ConsolePart{steps, health, bars, failing}
	} else {
		p.Parts = []web.ConsolePart{health, bars, failing, steps}
	}
	return v.show(p)
}

// checked shows a check.
func checked(c Check) web.ConsoleCheck {
	tones := map[string][2]string{"ok": {"good", "Good"}, "warning": {"warn", "Look at it"}, "fault": {"bad", "Problem"}}
	tone := tones[c.State]
	return web.ConsoleCheck{Tone: tone[0], Word: tone[1], Title: c.Title, Text: c.Text}
}

// firstSteps are what somebody does who has just installed the server.
func (v *visit) firstSteps(status Status) (web.ConsoleChecks, error) {
	list := web.ConsoleChecks{ID: "steps", Title: "First steps"}
	step := func(done bool, title, text string, to *web.ConsoleLink) {
		c := web.ConsoleCheck{Tone: "good", Word: "Done", Title: title}
		if !done {
			c = web.ConsoleCheck{Word: "To do", Title: title, Text: text, To: to}
		}
		list.Checks = append(list.Checks, c)
	}
	factors, err := v.admin.Factors(v.Context(), v.who.User.ID)
	if err != nil {
		return list, err
	}
	clients, err := v.admin.Clients(v.Context())
	if err != nil {
		return list, err
	}
	people, err := v.admin.Users(v.Context(), "", 2)
	if err != nil {
		return list, err
	}
	ready := true
	missing := ""
	for _, c := range status.Production {
		if c.State != "ok" {
			ready, missing = false, missing+" "+c.Text
		}
	}
	step(len(factors.Passkeys) > 0, "Add a passkey", "You sign in without one: whoever has your password is you.", &web.ConsoleLink{Title: "Add one", To: "/account/security"})
	step(len(clients) > 0, "Register an application", "So that people can sign in somewhere.", &web.ConsoleLink{Title: "Register one", To: "/console/new-client"})
	step(len(people) > 1, "Let somebody else in", "You are the only one with an account.", v.link("/console/users", "See people"))
	step(status.SendsMail, "Send mail", "There is no mail server: links for people wait here instead of reaching them.", v.link("/console/mail", "See mail"))
	step(ready, "Be ready for production", "For real people it still takes this."+missing, nil)
	return list, nil
}

// link leads to a page of the console, if there is one.
func (v *visit) link(to, title string) *web.ConsoleLink {
	if _, ok := table()[to]; !ok {
		return nil
	}
	return &web.ConsoleLink{Title: title, To: to}
}

// activity says how sign-ins ended day by day, and which clients were refused
// most.
func activity(counts []idp.EventCount, since time.Time) (web.ConsoleBars, web.ConsoleTable) {
	bars := web.ConsoleBars{ID: "sign-ins", Title: "Sign-ins", Lead: "Of the last seven days, by UTC.", Names: [2]string{"Succeeded", "Failed"}}
	days := map[idp.Day]int{}
	for d := range countedDays {
		at := since.AddDate(0, 0, d)
		days[idp.DayOf(at)] = d
		bars.Bars = append(bars.Bars, web.ConsoleBar{Label: at.Format("2 Jan")})
	}
	refused := map[string]int64{}
	for _, c := range counts {
		day, ok := days[c.OccurredOn]
		switch c.Kind {
		case idp.EventLoginSucceeded:
			if ok {
				bars.Bars[day].Counts[0] += int(c.Count)
			}
		case idp.EventLoginFailed, idp.EventLoginThrottled:
			if ok {
				bars.Bars[day].Counts[1] += int(c.Count)
			}
		default:
			if c.ClientID != "" {
				refused[c.ClientID] += c.Count
			}
		}
	}
	failing := web.ConsoleTable{ID: "failing", Title: "Clients that were refused", Lead: "In the last seven days.", Columns: []string{"Client", "Times"}, Empty: "None was."}
	worst := slices.SortedFunc(maps.Keys(refused), func(a, b string) int { return cmp.Or(cmp.Compare(refused[b], refused[a]), cmp.Compare(a, b)) })
	for _, id := range worst[:min(len(worst), worstClients)] {
		failing.Rows = append(failing.Rows, web.ConsoleRow{Cells: []web.ConsoleCell{{Text: id, Code: true, To: clientPath(id)}, plain(strconv.FormatInt(refused[id], 10))}})
	}
	return bars, failing
}
