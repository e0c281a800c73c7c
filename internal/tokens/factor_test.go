package tokens_test

import (
	"errors"
	"strings"
	"testing"

	"idp/internal/idp"
	"idp/internal/tokens"
)

// What is sealed for one place opens in no other, for no other purpose and
// under no other key.
func TestFactorsAreSealedForTheirPlace(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	sealed, err := m.SealFactor("authenticators|alice|1", []byte("s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(sealed), "s3cret") {
		t.Error("it is readable")
	}
	plain, err := m.OpenFactor("authenticators|alice|1", sealed)
	if err != nil || string(plain) != "s3cret" {
		t.Errorf("got %q, %v", plain, err)
	}
	for name, open := range map[string]func() ([]byte, error){
		"another person's": func() ([]byte, error) { return m.OpenFactor("authenticators|bob|1", sealed) },
		"no place":         func() ([]byte, error) { return m.OpenFactor("", sealed) },
		"cut":              func() ([]byte, error) { return m.OpenFactor("authenticators|alice|1", sealed[:len(sealed)-1]) },
		"another key":      func() ([]byte, error) { return newMaster(t, 4).OpenFactor("authenticators|alice|1", sealed) },
		"another purpose":  func() ([]byte, error) { return m.Open(tokens.PurposeFlow, sealed, []byte("authenticators|alice|1")) },
	} {
		if _, err := open(); !errors.Is(err, idp.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecoveryCodesAreHashedForTheirPerson(t *testing.T) {
	t.Parallel()
	m := newMaster(t, 3)
	hash := m.HashRecoveryCode("alice", "aaaaaaaaaaaa")
	// It has to be found by every later version.
	if want := "hmac-sha256:cd1DegQDjURKWUTeSlkdWo1jpNagB4RJhz7c3AJuDl8"; hash != want {
		t.Errorf("the hash is %q", hash)
	}
	if hash != m.HashRecoveryCode("alice", "aaaaaaaaaaaa") {
		t.Error("the same code has another hash")
	}
	for name, other := range map[string]string{
		"another person":  m.HashRecoveryCode("bob", "aaaaaaaaaaaa"),
		"another code":    m.HashRecoveryCode("alice", "aaaaaaaaaaac"),
		"moved border":    m.HashRecoveryCode("alicea", "aaaaaaaaaaa"),
		"another key":     newMaster(t, 4).HashRecoveryCode("alice", "aaaaaaaaaaaa"),
		"another purpose": m.HashSecret("alice\x00aaaaaaaaaaaa"),
	} {
		if hash == other {
			t.Errorf("%s has the same hash", name)
		}
	}
}
