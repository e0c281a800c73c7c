package idp

import (
	"slices"
	"time"
)

// SignInRule asks more than a password of some people, for some applications.
type SignInRule struct {
	Name    string   `json:"name" yaml:"name"`
	Groups  []string `json:"groups,omitempty" yaml:"groups,omitempty"`   // of the people; empty for everybody
	Clients []string `json:"clients,omitempty" yaml:"clients,omitempty"` // the applications; empty for all
	ACR     string   `json:"acr,omitempty" yaml:"acr,omitempty"`         // at least this class; empty asks nothing
	MaxAge  int      `json:"max_age,omitempty" yaml:"max_age,omitempty"` // seconds since the last sign-in; 0 asks nothing
}

// SignInPolicy is all that is asked. A sign-in meets every rule that applies.
type SignInPolicy []SignInRule

// Demand is what a sign-in has to amount to.
type Demand struct {
	ACR    string        // at least this class; empty for any
	MaxAge time.Duration // at most this long ago; 0 for any time
}

// Demands returns what the rules together ask of a person with these
// memberships who signs in for the client; the empty identifier stands for the
// issuer itself.
func (p SignInPolicy) Demands(clientID string, m Memberships) Demand {
	var d Demand
	for _, rule := range p {
		if !rule.applies(clientID, m) {
			continue
		}
		if d.ACR == "" || !ACRSatisfies(d.ACR, rule.ACR) {
			d.ACR = rule.ACR
		}
		if age := time.Duration(rule.MaxAge) * time.Second; age > 0 && (d.MaxAge == 0 || age < d.MaxAge) {
			d.MaxAge = age
		}
	}
	return d
}

// Applying names the rules that Demands goes by.
func (p SignInPolicy) Applying(clientID string, m Memberships) []string {
	var names []string
	for _, rule := range p {
		if rule.applies(clientID, m) {
			names = append(names, rule.Name)
		}
	}
	return names
}

func (r *SignInRule) applies(clientID string, m Memberships) bool {
	if len(r.Clients) > 0 && !slices.Contains(r.Clients, clientID) {
		return false
	}
	return len(r.Groups) == 0 || slices.ContainsFunc(r.Groups, func(g string) bool { return slices.Contains(m.Groups, g) })
}
