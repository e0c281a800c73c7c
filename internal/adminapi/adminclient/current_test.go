package adminclient_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// The generator takes long to compile, so this asks for the text that it read
// last instead of running it.
func TestClientIsOfThisSpecification(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	written, err := os.ReadFile("openapi.sha256")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(text)
	if !strings.HasPrefix(string(written), hex.EncodeToString(sum[:])+" ") {
		t.Error("openapi.yaml changed since the client was made: go generate ./internal/adminapi/adminclient")
	}
}
