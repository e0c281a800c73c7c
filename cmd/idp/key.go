package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"idp/internal/idp"
	"idp/internal/tokens"
)

func (a *app) keyCommand() *cobra.Command {
	return noun("key", "Signing keys and the master key", append(anywhere(
		a.keyList(), a.keyRotate(),
		a.actionOn("key", "KID", "retire", "Take a key out of the key set for good", "retired", func(ctx context.Context, o *objects, kid string) error {
			return o.RetireKey(ctx, kid)
		})),
		a.keyGenerateMaster())...)
}

type keyView struct {
	KID        string       `json:"kid"`
	Alg        string       `json:"alg"`
	State      idp.KeyState `json:"state"`
	Until      time.Time    `json:"until,omitzero"`
	ActiveFrom time.Time    `json:"active_from"`
	CreatedAt  time.Time    `json:"created_at"`
	RetiredAt  time.Time    `json:"retired_at,omitzero"`
}

func (a *app) showKeys(states []idp.StatedKey) error {
	var views []keyView
	for _, k := range states {
		views = append(views, keyView{k.KID, k.Alg, k.State, k.Until, k.ActiveFrom, k.CreatedAt, k.RetiredAt})
	}
	return showList(a, views, func(v keyView) string { return v.KID }, "There are no keys.", func(t *table) {
		t.row("KID", "ALG", "STATE", "UNTIL", "SIGNS FROM")
		for _, v := range views {
			t.row(v.KID, v.Alg, string(v.State), when(v.Until), when(v.ActiveFrom))
		}
	})
}

func (a *app) keyList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the signing keys with their states",
		Long:  "Lists the signing keys. next: published, not signing yet. active: signs. retiring: published until its last token has died. retired: no longer published.",
		Args:  exactly(),
		RunE: a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			keys, err := o.Keys(ctx)
			if err != nil {
				return err
			}
			return a.showKeys(keys)
		}),
	}
	a.outputFlags(c)
	return c
}

func (a *app) keyRotate() *cobra.Command {
	c := &cobra.Command{
		Use:   "rotate",
		Short: "Make new signing keys",
		Long: "Makes a new key for every algorithm in use. It signs once every verifier has had the time to see it;\n" +
			"the old key stays published until its last token has died. After a leak: idp key rotate --immediately, then idp key retire the old ones.",
		Args: exactly(),
	}
	alg := c.Flags().String("alg", "", "one algorithm only: ES256, RS256, PS256, EdDSA, ES384 or ES512")
	immediately := c.Flags().Bool("immediately", false, "sign with it at once; verifiers that cache keys may refuse tokens for some minutes")
	c.RunE = func(cmd *cobra.Command, args []string) error {
		if *alg != "" && len(knownAlgorithms(*alg)) == 0 {
			return usage("--alg %s: must be ES256, RS256, PS256, EdDSA, ES384 or ES512", *alg)
		}
		return a.withObjects(func(ctx context.Context, o *objects, _ []string) error {
			made, err := o.RotateKeys(ctx, *alg, *immediately)
			if err != nil {
				return err
			}
			return a.showKeys(made)
		})(cmd, args)
	}
	a.outputFlags(c)
	return c
}

func (a *app) keyGenerateMaster() *cobra.Command {
	c := &cobra.Command{
		Use:   "generate-master",
		Short: "Make a master key",
		Long: "Makes the key that protects all others: 32 random bytes in base64. Every node needs the same one, and without it the\n" +
			"database cannot be used: keep a copy apart from the database's backups.",
		Args: exactly(),
	}
	out := c.Flags().String("out", "", "write it to this new file, readable by its owner only, instead of stdout")
	c.RunE = func(*cobra.Command, []string) error {
		key := tokens.GenerateMasterKey() + "\n"
		if *out == "" {
			fmt.Fprint(a.Stdout, key)
			return nil
		}
		if err := writeSecretFile(*out, []byte(key)); err != nil {
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s exists: a master key is never overwritten", *out)
			}
			return err
		}
		fmt.Fprintf(a.Stdout, "%s written: set IDP_MASTER_KEY_FILE to it on every node, and keep a copy apart from the database's backups\n", *out)
		return nil
	}
	return c
}
