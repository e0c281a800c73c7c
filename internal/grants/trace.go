package grants

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// This file is what requests tell of how they were decided: errors carry the
// rule that they come of, and the phases of a request say what has passed.

// requestRules are what an authorization request has passed once it was checked.
var requestRules = []idp.Rule{idp.RuleResponseType, idp.RulePKCEChallenge, idp.RuleScopeAllowed}

// authenticated tells by which rule the client proved who it is.
func authenticated(ctx context.Context, c *idp.Client) {
	rule := idp.RuleClientSecret
	switch {
	case c.Public():
		rule = idp.RuleClientMethod
	case c.AssertsItself():
		rule = idp.RuleClientAssertion
	}
	idp.Decide(ctx, rule, idp.Passed, idp.Fact{Name: "method", Value: c.TokenEndpointAuthMethod})
}

func failed(rule idp.Rule, facts ...idp.Fact) idp.Step {
	return idp.Step{Rule: rule, Outcome: idp.Failed, Facts: facts}
}

func asked(rule idp.Rule, facts ...idp.Fact) idp.Step {
	return idp.Step{Rule: rule, Outcome: idp.Asked, Facts: facts}
}

func fact(name string, values ...string) idp.Fact {
	return idp.Fact{Name: name, Value: strings.Join(values, " ")}
}

func instant(name string, t time.Time) idp.Fact {
	return fact(name, t.UTC().Format(time.RFC3339))
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// typed is a fact of what a stranger wrote where a name belongs: as it is if it
// looks like one, and else no more than its size. People paste secrets into the
// wrong field.
func typed(name, value string) idp.Fact {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~:/-"
	switch {
	case value == "":
		return fact(name, "(none)")
	case len(value) > 40 || strings.Trim(value, letters) != "" || strings.HasPrefix(value, "idp_") || strings.HasPrefix(value, "eyJ"):
		return fact(name, fmt.Sprintf("(%d bytes that are not kept)", len(value)))
	}
	return fact(name, value)
}

// address is a URI without the parts in which secrets may be: user information,
// query and fragment.
func address(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" {
		return fmt.Sprintf("(%d bytes that are no URI)", len(uri))
	}
	if u.Host == "" { // an application's own scheme
		return u.Scheme + ":" + u.EscapedPath()
	}
	return u.Scheme + "://" + u.Host + u.EscapedPath()
}

// differences says in what an address is none of those registered: in comparison
// with the one that is most like it.
func differences(sent string, registered []string) []idp.Fact {
	facts := []idp.Fact{fact("sent", address(sent))}
	s, err := url.Parse(sent)
	if err != nil {
		return append(facts, fact("registered", registered...))
	}
	var closest string
	var least []string
	for _, uri := range registered {
		r, err := url.Parse(uri)
		if err != nil {
			continue
		}
		var parts []string
		for _, part := range []struct {
			name string
			same bool
		}{
			{"scheme", s.Scheme == r.Scheme},
			{"host", s.Hostname() == r.Hostname()},
			{"port", s.Port() == r.Port()},
			{"path", s.EscapedPath() == r.EscapedPath() && s.Opaque == r.Opaque},
			{"query", s.RawQuery == r.RawQuery && s.ForceQuery == r.ForceQuery},
			{"fragment", s.EscapedFragment() == r.EscapedFragment() && !strings.HasSuffix(sent, "#")},
			{"user", s.User.String() == r.User.String()},
		} {
			if !part.same {
				parts = append(parts, part.name)
			}
		}
		if len(parts) == 0 {
			parts = []string{"spelling"}
		}
		if closest == "" || len(parts) < len(least) {
			closest, least = uri, parts
		}
	}
	if closest != "" {
		facts = append(facts, fact("closest", closest), fact("differs_in", least...))
	}
	return append(facts, fact("registered", registered...))
}

// unproven says which rule a client's credentials did not meet, and what is
// known about it: of the secret itself nothing.
func (s *Service) unproven(creds credentials, cause error) (idp.Rule, []idp.Fact) {
	client, known := s.Directory.Client(creds.clientID)
	if !known {
		// In a header the two halves are easily exchanged.
		return idp.RuleClientKnown, []idp.Fact{fact("presented", fmt.Sprintf("(%d bytes that are not kept)", len(creds.clientID)))}
	}
	facts := []idp.Fact{fact("client_id", client.ClientID)}
	switch {
	case client.Disabled:
		return idp.RuleClientEnabled, facts
	case errors.Is(cause, errWrongMethod):
		return idp.RuleClientMethod, append(facts, fact("used", cmp.Or(creds.method, "client_assertion")), fact("registered", client.TokenEndpointAuthMethod))
	case errors.Is(cause, errWrongSecret):
		usable, newest := 0, time.Time{}
		for _, secret := range client.Secrets {
			if secret.ExpiresAt.IsZero() || s.now().Before(secret.ExpiresAt) {
				usable++
			} else if secret.ExpiresAt.After(newest) {
				newest = secret.ExpiresAt
			}
		}
		value := fmt.Sprintf("%d good, %d expired", usable, len(client.Secrets)-usable)
		if !newest.IsZero() {
			value += ", the last one " + newest.UTC().Format(time.RFC3339)
		}
		return idp.RuleClientSecret, append(facts, fact("secrets", value))
	}
	return idp.RuleClientAssertion, facts
}

// diagnose names the rule that an error of a token request comes of, where
// fosite's handlers say it in words only, or the database in a row that did not
// change.
func (u *unit) diagnose(err error) *Error {
	e := toError(err)
	if u.state == nil {
		return e
	}
	g := &u.state.Grant
	if e.rule == "" && e.Code == "invalid_grant" {
		switch u.grantType {
		case idp.GrantAuthorizationCode:
			e = u.diagnoseCode(e)
		case idp.GrantRefreshToken:
			e = u.diagnoseRefresh(e)
		}
	}
	e = e.by(e.brokenRule(), slices.Concat(e.facts, []idp.Fact{fact("user_id", u.state.User.ID), fact("grant_id", g.Handle.ID.String())})...)
	return e
}

func (u *unit) diagnoseCode(e *Error) *Error {
	g := &u.state.Grant
	if _, gate := errors.AsType[idp.Refusal](e.cause); gate {
		return e
	}
	redirectURI := u.form.get("redirect_uri")
	sum := sha256.Sum256([]byte(u.form.get("code_verifier")))
	switch {
	case !g.CodeUsedAt.IsZero():
		return e.by(idp.RuleCodeUnused, instant("used_at", g.CodeUsedAt), instant("issued_at", g.CreatedAt))
	case errors.Is(e.cause, idp.ErrAlreadyUsed):
		return e.by(idp.RuleCodeUnused, fact("used_at", "at the same moment"), instant("issued_at", g.CreatedAt))
	case !u.now.Before(g.CodeExpiresAt):
		return e.by(idp.RuleCodeFresh, instant("issued_at", g.CreatedAt), instant("expired_at", g.CodeExpiresAt))
	case redirectURI != g.RedirectURI && (redirectURI != "" || !g.RedirectURIOmitted):
		if redirectURI == "" {
			return e.by(idp.RuleRedirectSame, fact("sent", "(none)"), fact("authorized", address(g.RedirectURI)))
		}
		return e.by(idp.RuleRedirectSame, differences(redirectURI, []string{address(g.RedirectURI)})[:3]...)
	case g.CodeChallenge != "" && u.form.get("code_verifier") == "":
		return e.by(idp.RulePKCEVerifier, fact("verifier", "none"))
	case subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(g.CodeChallenge)) != 1:
		return e.by(idp.RulePKCEVerifier, fact("verifier", fmt.Sprintf("%d characters", len(u.form.get("code_verifier")))), fact("challenge", yesNo(g.CodeChallenge != "")))
	}
	return e
}

func (u *unit) diagnoseRefresh(e *Error) *Error {
	g := &u.state.Grant
	_, gate := errors.AsType[idp.Refusal](e.cause)
	switch {
	case u.kill != nil, errors.Is(e.cause, idp.ErrAlreadyUsed):
		return e.by(idp.RuleRefreshCurrent, fact("presented", fmt.Sprintf("generation %d", u.from)), fact("current", fmt.Sprintf("generation %d", g.Generation)),
			instant("rotated_at", g.RotatedAt))
	case !gate && !u.now.Before(g.IdleExpiresAt):
		return e.by(idp.RuleRefreshFresh, instant("expired_at", g.IdleExpiresAt), instant("rotated_at", g.RotatedAt))
	}
	return e
}

// step is what the trace says of an error.
func (e *Error) step() idp.Step {
	return failed(e.brokenRule(), append(slices.Clone(e.facts), fact("answer", e.Description))...)
}

// brokenRule is the rule that the error comes of.
func (e *Error) brokenRule() idp.Rule {
	refusal, refused := errors.AsType[idp.Refusal](e.cause)
	switch {
	case e.rule != "":
		return e.rule
	case refused:
		return refusal.Rule()
	case errors.Is(e.cause, idp.ErrUnavailable):
		return idp.RuleServerAvailable
	case errors.Is(e.cause, idp.ErrMalformed):
		return idp.RuleGrantReadable
	case errors.Is(e.cause, idp.ErrNotFound):
		return idp.RuleGrantKnown
	}
	if rule, ok := rulesByCode[e.Code]; ok {
		return rule
	}
	return idp.RuleRequestWellFormed
}

// rulesByCode are the rules that most errors with a code come of.
var rulesByCode = map[string]idp.Rule{
	"unsupported_grant_type":            idp.RuleGrantTypeKnown,
	"unauthorized_client":               idp.RuleGrantTypeAllowed,
	"invalid_scope":                     idp.RuleScopeAllowed,
	"invalid_target":                    idp.RuleResourceAllowed,
	"invalid_client":                    idp.RuleClientPresented,
	"invalid_grant":                     idp.RuleGrantKnown,
	"unsupported_response_type":         idp.RuleResponseType,
	"unsupported_response_mode":         idp.RuleResponseMode,
	"invalid_request_object":            idp.RuleRequestObject,
	"request_not_supported":             idp.RuleRequestObject,
	"invalid_request_uri":               idp.RuleRequestURI,
	"request_uri_not_supported":         idp.RuleRequestURI,
	"login_required":                    idp.RuleSessionAlive,
	"consent_required":                  idp.RuleConsentGiven,
	"access_denied":                     idp.RuleConsentAnswer,
	"unmet_authentication_requirements": idp.RuleSignInLevel,
	"temporarily_unavailable":           idp.RuleServerAvailable,
	"server_error":                      idp.RuleServerWorks,
}

// told is what the trace says of a problem.
func (p *problem) told() idp.Step {
	step := p.step
	if step.Rule == "" {
		step = failed((&Error{Code: p.code, cause: p.cause}).brokenRule())
	}
	step.Outcome = idp.Failed
	return step
}
