package adminapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"idp/internal/idp"
)

// settings are what holds for the whole installation.
type settings struct {
	Configuration    json.RawMessage `json:"configuration"`
	TokensValidAfter time.Time       `json:"tokens_valid_after,omitzero"`
}

// Settings answers /admin/settings.
func (a *API) Settings(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{
		http.MethodGet:   {idp.ScopeAdminRead, getSettings},
		http.MethodPatch: {idp.ScopeAdmin, patchSettings},
	})
}

func (c *call) settings(validAfter time.Time) (settings, error) {
	configuration, err := json.Marshal(c.api.Configuration)
	return settings{configuration, validAfter}, err
}

func getSettings(c *call) (answer, error) {
	validAfter, err := c.admin.TokensValidAfter(c.Context())
	if err != nil {
		return answer{}, err
	}
	view, err := c.settings(validAfter)
	if err != nil {
		return answer{}, err
	}
	return shown(view), nil
}

var errSame = errors.New("it is so already")

// patchSettings sets tokens_valid_after, the one setting that is not in the
// configuration.
func patchSettings(c *call) (answer, error) {
	apply, err := c.patch()
	if err != nil {
		return answer{}, err
	}
	var after settings
	err = c.admin.ChangeTokensValidAfter(c.Context(), func(validAfter time.Time) (time.Time, error) {
		before, err := c.settings(validAfter)
		if err != nil {
			return time.Time{}, err
		}
		if err := c.unchanged(etag(before)); err != nil {
			return time.Time{}, err
		}
		members, err := apply(before)
		if err != nil {
			return time.Time{}, err
		}
		after = settings{}
		if err := decode(members, &after); err != nil {
			return time.Time{}, err
		}
		if !bytes.Equal(after.Configuration, before.Configuration) {
			return time.Time{}, invalidMember("configuration", "is set in the configuration file")
		}
		after.TokensValidAfter = idp.Instant(after.TokensValidAfter)
		if after.TokensValidAfter.Equal(validAfter) {
			return time.Time{}, errSame // nobody's session ends for nothing
		}
		return after.TokensValidAfter, nil
	})
	if err != nil && !errors.Is(err, errSame) {
		return answer{}, err
	}
	return shown(after), nil
}
