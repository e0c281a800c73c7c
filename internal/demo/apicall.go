package demo

import (
	"context"
	"io"
	"net/http"
	"strings"
)

// apiAnswer is what the API said to the last call.
type apiAnswer struct {
	At        string
	Status    int
	Text      string // of the status
	OK        bool
	Challenge string // WWW-Authenticate
	Body      []span
}

// acrValues is what a challenge asks the next sign-in to amount to (RFC 9470
// section 3); empty when it asks for nothing of the kind.
func (a *apiAnswer) acrValues() string {
	if a == nil || a.Status != http.StatusUnauthorized || !strings.Contains(a.Challenge, `error="`+insufficientAuthentication+`"`) {
		return ""
	}
	_, rest, _ := strings.Cut(a.Challenge, `acr_values="`)
	values, _, _ := strings.Cut(rest, `"`)
	return values
}

// callAPI calls the API with the access token (RFC 6750 section 2.1), or its
// part that asks for more. It returns nil when no API is configured.
func (a *App) callAPI(ctx context.Context, accessToken string, sensitive bool) *apiAnswer {
	if a.cfg.APIURL == "" {
		return nil
	}
	address := a.cfg.APIURL
	if sensitive {
		address = strings.TrimSuffix(address, "/") + sensitivePath
	}
	answer := &apiAnswer{At: a.cfg.Now().UTC().Format("15:04:05 UTC")}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		answer.Text = "the API's address is not one"
		return answer
	}
	req.Header.Set("Authorization", "Bearer "+accessToken)
	req.Header.Set("Accept", "application/json")
	resp, err := a.client.Do(req)
	if err != nil {
		a.log.Warn("demo: calling the API", "error", err)
		answer.Text = "the API does not answer"
		return answer
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		a.log.Warn("demo: reading the API's answer", "error", err)
	}
	answer.Status, answer.Text = resp.StatusCode, http.StatusText(resp.StatusCode)
	answer.OK = resp.StatusCode == http.StatusOK
	answer.Challenge = resp.Header.Get("WWW-Authenticate")
	answer.Body = spans(body)
	return answer
}
