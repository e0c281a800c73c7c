package discovery_test

import (
	"encoding/json"
	"fmt"

	"idp/internal/discovery"
)

func ExampleRender() {
	pages := discovery.Render(discovery.Document{
		Issuer:     "https://id.example.com",
		TokenPath:  "/oauth2/token",
		GrantTypes: []string{"client_credentials"},
	})
	var metadata struct {
		TokenEndpoint string `json:"token_endpoint"`
	}
	if err := json.Unmarshal(pages.AuthorizationServerMetadata.Body, &metadata); err != nil {
		panic(err)
	}
	fmt.Println(metadata.TokenEndpoint)
	// Output: https://id.example.com/oauth2/token
}
