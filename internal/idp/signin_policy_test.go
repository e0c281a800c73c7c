package idp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
)

// A sign-in meets every rule that applies: the strongest class, the shortest
// time.
func TestSignInPolicyDemands(t *testing.T) {
	policy := idp.SignInPolicy{
		{Name: "everybody", MaxAge: 3600},
		{Name: "staff", Groups: []string{"staff", "board"}, ACR: idp.ACRMultiFactor},
		{Name: "payroll", Clients: []string{"payroll"}, ACR: idp.ACRPhishingResistant, MaxAge: 60},
		{Name: "weaker", Clients: []string{"payroll"}, ACR: idp.ACRPassword},
		{Name: "board at payroll", Groups: []string{"board"}, Clients: []string{"payroll"}, ACR: idp.ACRHardwareProtected},
	}
	for _, c := range []struct {
		name, client string
		groups       []string
		want         idp.Demand
	}{
		{"nobody in particular", "wiki", nil, idp.Demand{MaxAge: time.Hour}},
		{"by group", "wiki", []string{"guests", "staff"}, idp.Demand{ACR: "2", MaxAge: time.Hour}},
		{"by application", "payroll", nil, idp.Demand{ACR: "phr", MaxAge: time.Minute}},
		{"the strongest wins", "payroll", []string{"staff"}, idp.Demand{ACR: "phr", MaxAge: time.Minute}},
		{"by both", "payroll", []string{"board"}, idp.Demand{ACR: "phrh", MaxAge: time.Minute}},
		{"the issuer itself", "", []string{"board"}, idp.Demand{ACR: "2", MaxAge: time.Hour}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, policy.Demands(c.client, idp.Memberships{Groups: c.groups}))
		})
	}
	require.Zero(t, idp.SignInPolicy(nil).Demands("wiki", idp.Memberships{}))
}
