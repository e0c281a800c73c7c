package console

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"idp/internal/idp"
	"idp/web"
)

const tracesPath = "/console/traces"

// findTrace asks for the id of a request.
func findTrace(v *visit) error {
	asked := strings.TrimSpace(v.URL.Query().Get("request"))
	if asked != "" {
		e, err := v.admin.Explain(v.Context(), asked)
		switch v.faults = idp.Faults(err); {
		case len(v.faults) > 0:
			v.status, v.problem = http.StatusUnprocessableEntity, sentence("the request ID "+v.faults[0].Reason)
			v.faults = nil
		case err != nil:
			return err
		default:
			return v.see(tracesPath+"/"+url.QueryEscape(e.RequestID), "")
		}
	}
	p := v.frame(tracesPath, "Why did this fail?")
	p.Lead = "Every request to the authorization, token and sign-in endpoints leaves behind how it was decided, for a few days."
	p.Parts = []web.ConsolePart{
		web.ConsoleTable{
			ID: "find", Title: "By request",
			Search: &web.ConsoleSearch{To: tracesPath, Fields: []web.ConsoleField{{
				Kind: web.FieldSearch, Name: "request", Label: "Request ID", Value: asked, Mono: true,
				Hint: "It is on the error page that the person saw, in the header X-Request-Id of every answer, in the log and in the audit. Its first six characters will do.",
			}}},
		},
		web.ConsoleText{
			ID: "else", Title: "Without an ID", Paragraphs: []string{"Look for the person or the client among what failed or was refused, and go on from the event to its request."},
			Links: []web.ConsoleLink{{Title: "What was refused", To: "/console/audit?result=refused"}},
		},
	}
	return v.show(p)
}

// outcomes say how a decision ended.
var outcomes = map[idp.Outcome]web.ConsoleBadge{
	idp.Passed: {Text: "Passed", Tone: "good"},
	idp.Failed: {Text: "Refused", Tone: "bad"},
	idp.Asked:  {Text: "Asked", Tone: "warn"},
}

// results say how a request ended.
var results = map[string]web.ConsoleBadge{
	idp.ResultRefused: {Text: "Refused", Tone: "bad"},
	idp.ResultAsked:   {Text: "Asked", Tone: "warn"},
	idp.ResultIssued:  {Text: "Issued", Tone: "good"},
	idp.ResultDone:    {Text: "Done", Tone: "good"},
}

func showTrace(v *visit) error {
	e, err := v.admin.Explain(v.Context(), v.PathValue("request_id"))
	if faults := idp.Faults(err); len(faults) > 0 {
		return &refusal{http.StatusNotFound, sentence("the request ID " + faults[0].Reason), err}
	}
	if err == nil {
		err = v.reads("traces", e.UserID)
	}
	if err != nil {
		return err
	}
	p := v.frame(tracesPath, strings.TrimSuffix(e.Summary, "."))
	p.Trail = []web.ConsoleLink{{Title: "Why did this fail?", To: tracesPath}}
	p.Badges = []web.ConsoleBadge{results[e.Result]}
	facts := []web.ConsoleFact{
		{Name: "Request", Values: codes([]string{e.RequestID})},
		{Name: "When", Values: []web.ConsoleCell{{At: e.At, Note: v.ago(e.At)}}},
		{Name: "Endpoint", Values: []web.ConsoleCell{{Text: e.Endpoint, Code: true, Note: "answered with " + strconv.Itoa(e.Status)}}},
	}
	fact := func(name string, cell web.ConsoleCell) {
		if cell.Text != "" {
			facts = append(facts, web.ConsoleFact{Name: name, Values: []web.ConsoleCell{cell}})
		}
	}
	fact("Error", code(e.Error))
	fact("Handed out", plain(strings.ReplaceAll(e.Issued, " ", ", ")))
	fact("Grant type", code(e.GrantType))
	fact("Client", web.ConsoleCell{Text: e.ClientID, Code: true, To: clientPath(e.ClientID)})
	if e.UserID != "" {
		person := v.people()(e.UserID)
		if person.Note = e.UserID; person.Code {
			person.Note = ""
		}
		fact("Person", person)
	}
	// What stood in the way comes first: it is what people came for.
	var helps []web.ConsolePart
	steps := web.ConsoleChecks{ID: "steps", Title: "How it was decided", Lead: "The rules that it met, in their order."}
	for _, s := range e.Steps {
		steps.Checks = append(steps.Checks, step(s))
		if s.Hint != "" {
			tone := outcomes[s.Outcome].Tone
			helps = append(helps, web.ConsoleNotice{ID: "hint-" + strconv.Itoa(len(helps)+1), Tone: tone, Text: s.Hint})
		}
	}
	p.Parts = append(helps, web.ConsoleFacts{ID: "facts", Facts: facts}, steps,
		web.ConsoleText{ID: "events", Title: "What the audit has of it", Links: []web.ConsoleLink{{Title: "Events of this request", To: "/console/audit?request=" + url.QueryEscape(e.RequestID)}}})
	return v.show(p)
}

// step is one decision: the rule, what it was decided on, and where it is
// written.
func step(s idp.ExplainedStep) web.ConsoleCheck {
	badge := outcomes[s.Outcome]
	check := web.ConsoleCheck{Tone: badge.Tone, Word: badge.Text, Title: s.Sentence, Text: string(s.Rule) + " · " + s.Reference}
	for _, f := range s.Facts {
		check.Facts = append(check.Facts, web.ConsoleFact{Name: strings.ReplaceAll(f.Name, "_", " "), Values: codes([]string{f.Value})})
	}
	return check
}
