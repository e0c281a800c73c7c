package e2e

import (
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A password that the operator's list, a service of leaked ones or a rule knows
// is not set by command either; a service that is away keeps nobody from it.
func TestNewPasswords(t *testing.T) {
	t.Parallel()
	denied, leaked := "velvet anchor listed", "velvet anchor leaked"
	list := filepath.Join(t.TempDir(), "denied.txt")
	if err := os.WriteFile(list, fmt.Appendf(nil, "%x\n", sha256.Sum256([]byte(denied))), 0o600); err != nil {
		t.Fatal(err)
	}
	digest := fmt.Sprintf("%X", sha1.Sum([]byte(leaked)))
	var mu sync.Mutex
	asked := map[string]string{}
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked[r.URL.String()] = r.Header.Get("Add-Padding")
		fmt.Fprintf(w, "%s:7\r\n%035d:0\r\n", digest[5:], 0)
	}))
	defer service.Close()
	inst := Install(t, "sqlite", map[string]string{
		"IDP_PASSWORDS_DENIED_FILE": list, "IDP_PASSWORDS_BREACH_URL": service.URL + "/range/", "IDP_OUTBOUND_ALLOW": "127.0.0.1/32",
	})
	alice := inst.NewUser(t, "--email", "wonderland@example.com")
	set := func(password string) (string, int) {
		_, stderr, code := inst.Try(t, password+"\n", "user", "set-password", alice.Username, "--password-stdin")
		if strings.Contains(stderr, password) || strings.Contains(stderr, digest[:5]) {
			t.Errorf("%s is in the output: %s", password, stderr)
		}
		return stderr, code
	}
	for password, reason := range map[string]string{
		denied:            "is on this installation's list",
		leaked:            "was leaked elsewhere",
		"Wonderland2024!": "is made of the user name, the name or the e-mail address",
		"localhost-2024!": "is made of the name of this service",
		"P@ssw0rd2024!":   "is among the most common ones",
		"qwertyuiop[]12":  "is a row of keys",
	} {
		if stderr, code := set(password); code != 1 || !strings.Contains(stderr, "password: "+reason) {
			t.Errorf("%s: exit %d, %s", password, code, stderr)
		}
	}
	if stderr, code := set("velvet anchor of mine"); code != 0 {
		t.Errorf("a good password: exit %d, %s", code, stderr)
	}
	mu.Lock()
	for address, padding := range asked {
		if len(address) != len("/range/ABCDE") || padding != "true" {
			t.Errorf("the service was asked %s, padding %q", address, padding)
		}
	}
	if _, ok := asked["/range/"+digest[:5]]; !ok {
		t.Errorf("the service was asked %v", asked)
	}
	mu.Unlock()

	service.Close()
	if stderr, code := set(leaked); code != 0 || !strings.Contains(stderr, "passwords.breach_url") {
		t.Errorf("with the service away: exit %d, %s", code, stderr)
	}
	if err := os.Remove(list); err != nil {
		t.Fatal(err)
	}
	if _, code := set("velvet anchor of mine"); code == 0 {
		t.Error("a password was set without the list that it should be looked for in")
	}
}
