package adminapi

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"idp/internal/idp"
)

// Keys are the signing keys; implemented by *tokens.Keyring.
type Keys interface {
	States() []idp.StatedKey
	Rotate(ctx context.Context, alg string, immediately bool, events ...idp.Event) ([]idp.Key, error)
	Retire(ctx context.Context, kid string) error
}

// key is a signing key, all but its private half.
type key struct {
	KID        string       `json:"kid"`
	Alg        string       `json:"alg"`
	State      idp.KeyState `json:"state"`
	Until      time.Time    `json:"until,omitzero"`
	ActiveFrom time.Time    `json:"active_from"`
	CreatedAt  time.Time    `json:"created_at"`
	RetiredAt  time.Time    `json:"retired_at,omitzero"`
}

// ListKeys answers /admin/keys.
func (a *API) ListKeys(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodGet: {idp.ScopeKeysRead, listKeys}})
}

// RotateKeys answers /admin/keys/rotate.
func (a *API) RotateKeys(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodPost: {idp.ScopeKeys, rotateKeys}})
}

// RetireKey answers /admin/keys/{kid}/retire.
func (a *API) RetireKey(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodPost: {idp.ScopeKeys, func(c *call) (answer, error) {
		return gone(c.api.Keys.Retire(c.Context(), c.PathValue("kid")))
	}}})
}

// keys returns the keys that are asked for.
func (c *call) keys(wanted func(kid string) bool) []key {
	views := []key{}
	for _, k := range c.api.Keys.States() {
		if wanted(k.KID) {
			views = append(views, key{k.KID, k.Alg, k.State, k.Until, k.ActiveFrom, k.CreatedAt, k.RetiredAt})
		}
	}
	return views
}

func listKeys(c *call) (answer, error) {
	p, err := c.page("keys")
	if err != nil {
		return answer{}, err
	}
	kid := func(k key) string { return k.KID }
	return listed(c, p, sorted(c.keys(func(string) bool { return true }), kid), kid)
}

func rotateKeys(c *call) (answer, error) {
	var in struct {
		Alg         string `json:"alg"`
		Immediately bool   `json:"immediately"`
	}
	if c.ContentLength != 0 {
		if err := c.input(&in); err != nil {
			return answer{}, err
		}
	}
	if in.Alg != "" && !slices.Contains(idp.Algorithms(), in.Alg) {
		return answer{}, invalidMember("alg", "must be one of "+strings.Join(idp.Algorithms(), ", "))
	}
	made, err := c.api.Keys.Rotate(c.Context(), in.Alg, in.Immediately)
	if err != nil {
		return answer{}, err
	}
	views := c.keys(func(kid string) bool { return slices.ContainsFunc(made, func(k idp.Key) bool { return k.KID == kid }) })
	return answer{status: http.StatusOK, body: views}, nil
}
