package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// Where to report a vulnerability (RFC 9116).
func TestRFC9116_SecurityTxt(t *testing.T) {
	t.Parallel()
	const path = "/.well-known/security.txt"
	t.Run("without a contact there is none", func(t *testing.T) {
		n := Install(t, "sqlite", nil).Start(t)
		if a := Do(t, n.HTTP, get(t, n.Issuer+path)); a.Status != http.StatusNotFound {
			t.Errorf("status %d: %s", a.Status, a.Body)
		}
	})
	t.Run("as configured", func(t *testing.T) {
		expires := time.Now().UTC().AddDate(0, 11, 0).Truncate(time.Second).Format(time.RFC3339)
		n := Install(t, "sqlite", map[string]string{
			"IDP_SECURITY_TXT_CONTACT":             "mailto:security@example.com https://example.com/report tel:+1-201-555-0123",
			"IDP_SECURITY_TXT_EXPIRES":             expires,
			"IDP_SECURITY_TXT_POLICY":              "https://example.com/policy",
			"IDP_SECURITY_TXT_ENCRYPTION":          "openpgp4fpr:5f2de5521c63a801ab59ccb603d49de44b29100f",
			"IDP_SECURITY_TXT_ACKNOWLEDGMENTS":     "https://example.com/thanks",
			"IDP_SECURITY_TXT_PREFERRED_LANGUAGES": "en de",
		}).Start(t)
		a := Do(t, n.HTTP, get(t, n.Issuer+path))
		want := "Contact: mailto:security@example.com\nContact: https://example.com/report\nContact: tel:+1-201-555-0123\n" +
			"Expires: " + expires + "\nEncryption: openpgp4fpr:5f2de5521c63a801ab59ccb603d49de44b29100f\n" +
			"Acknowledgments: https://example.com/thanks\nPolicy: https://example.com/policy\nPreferred-Languages: en, de\n"
		if a.Status != http.StatusOK || a.Body != want || a.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			t.Errorf("status %d, %v\n%s\nwant\n%s", a.Status, a.Header, a.Body, want)
		}
	})
	t.Run("faults", func(t *testing.T) {
		inst := Install(t, "sqlite", nil)
		for key, value := range map[string]string{
			"CONTACT":             "security@example.com",
			"EXPIRES":             time.Now().AddDate(1, 0, 2).Format(time.RFC3339),
			"POLICY":              "http://example.com/policy",
			"ENCRYPTION":          "https://example.com/key\nContact: mailto:evil@example.com",
			"ACKNOWLEDGMENTS":     "https:///thanks",
			"PREFERRED_LANGUAGES": "en, de",
		} {
			inst.env["IDP_SECURITY_TXT_CONTACT"] = "mailto:security@example.com"
			inst.env["IDP_SECURITY_TXT_"+key] = value
			name := "IDP_SECURITY_TXT_" + key
			if stdout, stderr, code := inst.Try(t, "", "config", "check"); code != 78 || !strings.Contains(stdout+stderr, name) {
				t.Errorf("%s=%s: exit %d, %s%s", name, value, code, stdout, stderr)
			}
			delete(inst.env, "IDP_SECURITY_TXT_"+key)
		}
		delete(inst.env, "IDP_SECURITY_TXT_CONTACT")
		inst.env["IDP_SECURITY_TXT_POLICY"] = "https://example.com/policy"
		if _, stderr, code := inst.Try(t, "", "config", "check"); code != 78 || !strings.Contains(stderr, "security_txt.contact") {
			t.Errorf("without a contact: exit %d, %s", code, stderr)
		}
	})
}
