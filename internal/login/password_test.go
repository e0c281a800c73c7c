package login

import (
	"strings"
	"testing"

	"idp/internal/idp"
)

// Each rule for new passwords is said in words of its own.
func TestPasswordRulesAreSaid(t *testing.T) {
	t.Parallel()
	said := map[string]idp.PasswordRule{}
	for _, rule := range []idp.PasswordRule{
		idp.PasswordTooShort, idp.PasswordTooLong, idp.PasswordUnusable, idp.PasswordRepeated, idp.PasswordSequence,
		idp.PasswordPersonal, idp.PasswordService, idp.PasswordCommon, idp.PasswordBreached,
	} {
		key := passwordRefused(&idp.InvalidError{Field: "password", Rule: rule, Limit: 12}).String()
		if other, ok := said[key]; ok || !strings.HasSuffix(key, "."+string(rule)) {
			t.Errorf("%s is said as %s, as %s is", rule, key, other)
		}
		said[key] = rule
	}
}
