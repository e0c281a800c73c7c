package idp_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"idp/internal/idp"
)

// A token tells all groups or none, and userinfo always all.
func TestGroupsOfATokenAreBounded(t *testing.T) {
	var m idp.Memberships
	groups, ok := m.TokenGroups()
	require.True(t, ok)
	require.Empty(t, groups)
	for i := range 400 {
		m.Groups = append(m.Groups, fmt.Sprintf("a-group-of-%04d", i))
		groups, ok = m.TokenGroups()
		if ok {
			require.Equal(t, m.Groups, groups)
			require.LessOrEqual(t, i, 170)
		} else {
			require.Nil(t, groups)
			require.GreaterOrEqual(t, i, 170)
		}
	}
	var u idp.User
	require.Equal(t, map[string]any{"groups": m.Groups}, u.Claims(m, []string{idp.ScopeMemberships}, idp.ClaimRules{}))
	require.Equal(t, map[string]any{"groups": []string{}}, u.Claims(idp.Memberships{}, []string{idp.ScopeMemberships}, idp.ClaimRules{}))
	require.Empty(t, u.Claims(m, []string{idp.ScopeOpenID, idp.ScopeProfile}, idp.ClaimRules{})["groups"])
}
