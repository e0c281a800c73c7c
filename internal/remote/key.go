package remote

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"idp/internal/adminapi/adminclient"
	"idp/internal/idp"
)

type key struct {
	KID        string       `json:"kid"`
	Alg        string       `json:"alg"`
	State      idp.KeyState `json:"state"`
	Until      time.Time    `json:"until"`
	ActiveFrom time.Time    `json:"active_from"`
	CreatedAt  time.Time    `json:"created_at"`
	RetiredAt  time.Time    `json:"retired_at"`
}

// stated are keys in the order of idp.KeyStates.
func stated(found []key) []idp.StatedKey {
	var out []idp.StatedKey
	for _, k := range found {
		out = append(out, idp.StatedKey{State: k.State, Until: k.Until, Key: idp.Key{
			KID: k.KID, Alg: k.Alg, ActiveFrom: k.ActiveFrom, CreatedAt: k.CreatedAt, RetiredAt: k.RetiredAt,
		}})
	}
	slices.SortFunc(out, func(a, b idp.StatedKey) int {
		if c := strings.Compare(a.Alg, b.Alg); c != 0 {
			return c
		}
		if c := a.ActiveFrom.Compare(b.ActiveFrom); c != 0 {
			return c
		}
		return strings.Compare(a.KID, b.KID)
	})
	return out
}

// Keys returns the signing keys with their states.
func (s *Service) Keys(ctx context.Context) ([]idp.StatedKey, error) {
	found, err := all[key](func(page *string) (*http.Response, error) {
		return s.api.ListKeys(ctx, &adminclient.ListKeysParams{PageToken: page})
	})
	return stated(found), err
}

// RotateKeys makes new signing keys and returns them.
func (s *Service) RotateKeys(ctx context.Context, alg string, immediately bool) ([]idp.StatedKey, error) {
	send := struct {
		Alg         string `json:"alg,omitempty"`
		Immediately bool   `json:"immediately,omitempty"`
	}{alg, immediately}
	var made []key
	_, err := answer(&made)(s.api.RotateKeysWithBody(ctx, nil, asJSON, body(send)))
	return stated(made), err
}

// RetireKey takes a key out of the key set for good.
func (s *Service) RetireKey(ctx context.Context, kid string) error {
	if kid == "" {
		return missing("key", kid)
	}
	return done(s.api.RetireKey(ctx, kid, nil))
}
