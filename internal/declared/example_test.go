package declared_test

import (
	"fmt"

	"idp/internal/declared"
)

// What is wrong with a document is found together, each fault with its line.
func Example() {
	d := declared.Read("objects.yaml", []byte(`
groups:
  - name: staff
clients:
  - client_id: wiki
    redirect_uri: https://wiki.example/callback
    skip_consent: perhaps
`))
	for _, o := range d.Objects {
		fmt.Println(o.Kind, o.Name)
		for _, f := range o.Faults {
			fmt.Println(f)
		}
	}
	// Output:
	// group staff
	// client wiki
	// objects.yaml:6: client wiki: redirect_uri: is no field of a client, did you mean redirect_uris?
	// objects.yaml:7: client wiki: skip_consent: must be true or false
}
