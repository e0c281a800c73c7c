package idp

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Trace is how one request was decided: which rules were asked, about what, and
// how each ended. It holds no secret, and nothing that a person typed.
type Trace struct {
	RequestID string
	At        time.Time
	Endpoint  string // the route's pattern
	Status    int    // of the HTTP answer
	Error     string // the error code that was answered, shown or logged; empty for none
	Issued    string // the codes and tokens that were handed out, by their kinds
	GrantType string
	ClientID  string
	UserID    string
	Steps     []Step
}

// Refused reports whether the request ended in an error.
func (t *Trace) Refused() bool { return t.Error != "" || slices.ContainsFunc(t.Steps, Step.failed) }

func (s Step) failed() bool { return s.Outcome == Failed }

// Step is one decision.
type Step struct {
	Rule    Rule    `json:"r"`
	Outcome Outcome `json:"o"`
	Facts   []Fact  `json:"f,omitempty"`
}

// Outcome is how a decision ended.
type Outcome string

// The outcomes.
const (
	Passed Outcome = "passed"
	Failed Outcome = "failed"
	// Asked says that a person was led to a page on which they can do something
	// about it.
	Asked Outcome = "asked"
)

// Fact is something that a decision was made on. It is never a secret.
type Fact struct {
	Name  string `json:"n"` // lower case, with underscores
	Value string `json:"v"`
}

const (
	maxSteps = 32  // of one request; further ones that passed are left out
	maxFact  = 300 // bytes
)

// Decide tells the trace of the request that ctx belongs to how a rule was
// decided. The facts are as they are shown to operators later.
func Decide(ctx context.Context, rule Rule, outcome Outcome, facts ...Fact) {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		r.Decided(Step{Rule: rule, Outcome: outcome, Facts: slices.Clone(facts)})
	}
}

// Pass is Decide for rules of which there is nothing more to tell.
func Pass(ctx context.Context, rules ...Rule) {
	if r, ok := ctx.Value(requestKey{}).(*Request); ok {
		for _, rule := range rules {
			r.Decided(Step{Rule: rule, Outcome: Passed})
		}
	}
}

// Refused tells the trace by which rule the request is refused, unless it knows.
func (r *Request) Refused(by Step) {
	if !slices.ContainsFunc(r.Steps, Step.failed) {
		r.Decided(by)
	}
}

// Decided adds steps to the request's trace.
func (r *Request) Decided(steps ...Step) {
	if r.Steps == nil {
		r.Steps = make([]Step, 0, 8)
	}
	for _, s := range steps {
		if len(r.Steps) >= maxSteps && s.Outcome == Passed {
			continue
		}
		for i, f := range s.Facts {
			if len(f.Value) > maxFact {
				s.Facts[i].Value = strings.ToValidUTF8(f.Value[:maxFact], "") + "…"
			}
		}
		r.Steps = append(r.Steps, s)
	}
}

// Explanation is a trace in words. It is the same on every face.
type Explanation struct {
	RequestID string    `json:"request_id"`
	At        time.Time `json:"at"`
	Endpoint  string    `json:"endpoint"`
	Status    int       `json:"status"`
	// Result is refused, asked (a person was sent to a page), issued or done.
	Result    string          `json:"result"`
	Summary   string          `json:"summary"` // one sentence
	Error     string          `json:"error,omitempty"`
	Issued    string          `json:"issued,omitempty"`
	GrantType string          `json:"grant_type,omitempty"`
	ClientID  string          `json:"client_id,omitempty"`
	UserID    string          `json:"user_id,omitempty"`
	Steps     []ExplainedStep `json:"steps"`
}

// ExplainedStep is one decision in words.
type ExplainedStep struct {
	Rule      Rule            `json:"rule"`
	Outcome   Outcome         `json:"outcome"`
	Sentence  string          `json:"sentence"` // what the rule demands
	Facts     []ExplainedFact `json:"facts"`
	Reference string          `json:"reference"`
	// Hint says what would change the outcome; empty for what passed.
	Hint string `json:"hint,omitempty"`
}

// ExplainedFact is a Fact as it is shown.
type ExplainedFact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// How a request ended.
const (
	ResultRefused = "refused"
	ResultAsked   = "asked"
	ResultIssued  = "issued"
	ResultDone    = "done"
)

// Explain puts the trace into words.
func (t *Trace) Explain() Explanation {
	e := Explanation{
		RequestID: t.RequestID, At: t.At, Endpoint: t.Endpoint, Status: t.Status, Error: t.Error, Issued: t.Issued,
		GrantType: t.GrantType, ClientID: t.ClientID, UserID: t.UserID, Steps: []ExplainedStep{},
	}
	var last ExplainedStep // of those that did not pass
	for _, s := range t.Steps {
		text := s.Rule.Text()
		step := ExplainedStep{Rule: s.Rule, Outcome: s.Outcome, Sentence: text.Sentence, Reference: text.Reference, Facts: []ExplainedFact{}}
		for _, f := range s.Facts {
			step.Facts = append(step.Facts, ExplainedFact(f))
		}
		if s.Outcome != Passed {
			step.Hint = text.Hint
			last = step
		}
		e.Steps = append(e.Steps, step)
	}
	switch {
	case t.Refused():
		e.Result, e.Summary = ResultRefused, "Refused"
		if t.Error != "" {
			e.Summary += " with " + t.Error
		}
		if last.Rule != "" {
			e.Summary += " by the rule " + string(last.Rule)
		}
		e.Summary += "."
	case t.Issued != "":
		e.Result, e.Summary = ResultIssued, "Handed out: "+strings.ReplaceAll(t.Issued, " ", ", ")+"."
	case last.Outcome == Asked:
		e.Result, e.Summary = ResultAsked, "The person was led to a page, by the rule "+string(last.Rule)+"."
	default:
		e.Result, e.Summary = ResultDone, "Nothing stood in the way."
	}
	return e
}
