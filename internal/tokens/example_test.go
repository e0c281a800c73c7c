package tokens_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"idp/internal/idp"
	"idp/internal/tokens"
)

func Example() {
	key, _ := tokens.ParseMasterKey(tokens.GenerateMasterKey())
	master, _ := tokens.NewMaster(key)
	keyring := tokens.NewKeyring(tokens.KeyringConfig{
		Issuer: "https://issuer.example",
		Master: master,
		Store:  &memoryStore{}, // a *store.Store outside of tests
		Now:    time.Now,
	})
	if err := keyring.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	token := idp.AccessToken{ClientID: "service", Subject: "service", IssuedAt: time.Now(), ExpiresAt: time.Now().Add(time.Minute)}
	rand.Read(token.ID[:])
	raw, _ := keyring.SignAccessToken(idp.AlgES256, token)
	verified, err := keyring.VerifyAccessToken(raw)
	fmt.Println(verified.ClientID, verified.Audience, err)
	// Output: service [https://issuer.example] <nil>
}
