package foreign_test

import (
	"encoding/json"
	"fmt"

	"idp/internal/foreign"
	"idp/internal/idp"
)

// nothing is registered or declared here.
type nothing struct{}

func (nothing) Resource(string) (*idp.Resource, bool)         { return nil, false }
func (nothing) ScopeOwner(string) []*idp.Resource             { return nil }
func (nothing) Declared() []idp.Attribute                     { return nil }
func (nothing) Parse(string, string) (json.RawMessage, error) { return nil, idp.ErrNotFound }

// The sub that Dex makes of a user is kept, and what does not come along is said.
func ExampleHere_Read() {
	here := foreign.Here{Resources: nothing{}, Attributes: nothing{}}
	objects, err := here.Read("dex", "dex.yaml", []byte(`
staticPasswords:
  - email: admin@example.com
    username: admin
    userID: 08a8684b-db88-4b73-90a9-3cd1661f5466
    hashFromEnv: ADMIN_HASH
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range objects {
		fmt.Println(o.Where, o.Name, o.User.ID)
		fmt.Println(o.Notes[0])
	}
	// Output:
	// dex.yaml:3 staticPasswords[0] admin CiQwOGE4Njg0Yi1kYjg4LTRiNzMtOTBhOS0zY2QxNjYxZjU0NjYSBWxvY2Fs
	// the hash is in the environment variable ADMIN_HASH of Dex: without a password before idp user link
}
