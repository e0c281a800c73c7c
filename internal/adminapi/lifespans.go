package adminapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"time"

	"idp/internal/idp"
)

// ClientLifespans answers /admin/clients/{client_id}/lifespans, by which
// programs for Hydra say how long what a client is issued lives.
func (a *API) ClientLifespans(w http.ResponseWriter, r *http.Request) {
	a.serve(w, r, map[string]operation{http.MethodPut: {idp.ScopeClients, setLifespans}})
}

// The lifetimes that a client has of its own, each for all grants.
const (
	lifeOfAccess  = "access_token_lifetime"
	lifeOfRefresh = "refresh_token_idle" // each refresh token is good for so long
)

// lifespans say what becomes of Hydra's lifetimes, one for each grant.
var lifespans = map[string]string{
	"authorization_code_grant_access_token_lifespan":  lifeOfAccess,
	"client_credentials_grant_access_token_lifespan":  lifeOfAccess,
	"implicit_grant_access_token_lifespan":            lifeOfAccess,
	"refresh_token_grant_access_token_lifespan":       lifeOfAccess,
	"authorization_code_grant_refresh_token_lifespan": lifeOfRefresh,
	"refresh_token_grant_refresh_token_lifespan":      lifeOfRefresh,
	"authorization_code_grant_id_token_lifespan":      "",
	"implicit_grant_id_token_lifespan":                "",
	"refresh_token_grant_id_token_lifespan":           "",
}

// setLifespans replaces the client's lifetimes; what is left out has the
// server's default.
func setLifespans(c *call) (answer, error) {
	members, err := c.object()
	if err != nil {
		return answer{}, err
	}
	seconds, said := map[string]int{}, map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		lifetime, known := lifespans[name]
		switch {
		case !known:
			return answer{}, invalidMember(name, "is not known here")
		case lifetime == "":
			return answer{}, invalidMember(name, "cannot be set: ID tokens live as long for every client")
		}
		var text string
		if json.Unmarshal(members[name], &text) != nil {
			return answer{}, invalidMember(name, "must be a text such as 1h")
		}
		life, err := time.ParseDuration(text)
		if err != nil || life <= 0 || life%time.Second != 0 {
			return answer{}, invalidMember(name, "must be in whole seconds, such as 1h or 90s")
		}
		if other, ok := said[lifetime]; ok && seconds[lifetime] != int(life/time.Second) {
			return answer{}, invalidMember(name, "must be as long as "+other+": a client has one "+lifetime+" for all grants")
		}
		seconds[lifetime], said[lifetime] = int(life/time.Second), name
	}
	return c.changeClient(func(found *idp.Client) error {
		found.AccessTokenLifetime, found.RefreshTokenIdle = seconds[lifeOfAccess], seconds[lifeOfRefresh]
		return nil
	})
}
