package registration

import (
	"reflect"
	"strings"
	"testing"

	"idp/internal/idp"
)

// Whatever a client says, it says nothing that is an operator's to say, and
// what an operator said stays.
func FuzzInput(f *testing.F) {
	for _, s := range []string{
		`{}`, `[]`, `null`, `{"client_name":"x","skip_consent":true}`, `{"redirect_uris":["https://a.example/"],"scope":"openid"}`,
		`{"SKIP_CONSENT":true,"Skip_Consent":true}`, `{"client_name":null,"jwks":{"keys":[]}}`, `{"software_statement":"x"}`, `{"client_id":7}`, `{} {}`,
	} {
		f.Add(s)
	}
	before := idp.ClientMetadata{ClientName: "before", AllowedGroups: []string{"staff"}, AccessTokenLifetime: 300, SkipConsent: true}
	f.Fuzz(func(t *testing.T, body string) {
		var in input
		fields, refusal := readFields([]byte(body))
		if refusal == nil {
			in, refusal = readInput(fields)
		}
		if refusal != nil {
			if refusal.Status != 400 || refusal.Description == "" {
				t.Errorf("%q is refused with %v", body, refusal)
			}
			return
		}
		m := in.metadata
		if m.SkipConsent || m.SecurityProfile != "" || len(m.Audience)+len(m.AllowedGroups)+len(m.ResourceServerOf)+len(m.AllowedCORSOrigins) > 0 || m.SelfRegistered || m.Verified || m.PKCEOptional {
			t.Errorf("%q says what is an operator's to say: %+v", body, m)
		}
		after, err := in.over(before)
		if err != nil {
			t.Fatal(err)
		}
		if after.ClientName != m.ClientName || len(after.AllowedGroups) != 1 || after.AccessTokenLifetime != 300 || !after.SkipConsent {
			t.Errorf("%q over what was there is %+v", body, after)
		}
	})
}

// Every field that a client may give is one that a client has: a slip in a name
// would be ignored in silence.
func TestClientFieldsExist(t *testing.T) {
	known := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[idp.ClientMetadata]()) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		known[name] = true
	}
	for _, name := range clientFields {
		if !known[name] {
			t.Errorf("%s is no field of a client", name)
		}
	}
}

func TestSkeleton(t *testing.T) {
	for a, b := range map[string]string{"Wiki": "w-i k i", "Payroll": "payro1l", "0range": "Orange", "Mail Box": "MAILBOX"} {
		if skeleton(a) != skeleton(b) {
			t.Errorf("%s and %s look different", a, b)
		}
	}
	if skeleton("Wiki") == skeleton("Viki") {
		t.Error("Wiki and Viki look the same")
	}
}
