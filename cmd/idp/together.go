package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"idp/internal/admin"
	"idp/internal/declared"
	"idp/internal/idp"
	"idp/internal/store"
	"idp/internal/users"
)

// newAdmin returns the service that rules over a store.
func (d *database) newAdmin(s *store.Store, directory *store.Directory, keys admin.SigningKeys, actor string) *admin.Service {
	return admin.New(admin.Config{
		Store: s, Directory: directory, Secrets: d.master, Hasher: d.hasher, Attributes: d.attributes, ClientKeys: d.keys, SigningKeys: keys,
		Letters: d.accountsIn(s), Invites: d.cfg.Accounts.Registration != "off", Issuer: d.issuer, Actor: actor, Now: d.now,
	})
}

// builtIn are the resources that are there without being registered.
func (d *database) builtIn() []*idp.Resource {
	if d.issuer == "" {
		return nil
	}
	return []*idp.Resource{idp.AdminResource(d.issuer)}
}

// neededKeys notes which keys are needed. They are made afterwards: that is
// nothing to be undone.
type neededKeys map[string]bool

func (n neededKeys) Ensure(_ context.Context, algs ...string) error {
	for _, alg := range algs {
		n[alg] = true
	}
	return nil
}

// applyTogether makes what is declared in one transaction, and keeps it if keep
// says so.
func (d *database) applyTogether(ctx context.Context, actor string, o declared.Options, objects []declared.Object, keep func(context.Context, *store.Store, declared.Report) (bool, error)) (declared.Report, error) {
	var report declared.Report
	var needed neededKeys
	kept := false
	err := d.store.Together(ctx, func(s *store.Store) (bool, error) {
		directory, err := s.LoadDirectory(ctx, d.builtIn()...)
		if err != nil {
			return false, err
		}
		needed = neededKeys{}
		service := d.newAdmin(s, directory, needed, actor)
		o.Service, o.Attempt = service, s.Attempt
		o.Authenticate = func(ctx context.Context, u idp.User, a declared.Authenticator) error {
			return users.ImportAuthenticator(ctx, users.FactorsConfig{Store: s, Vault: d.master, Now: d.now}, u, a.Name, a.Secret)
		}
		if report, err = declared.Apply(ctx, o, objects); err != nil {
			return false, err
		}
		kept, err = keep(ctx, s, report)
		return kept && err == nil, err
	})
	if err != nil || !kept {
		return report, err
	}
	// What clients sign with has keys of its own here.
	if err := d.keyring.Ensure(ctx, slices.Sorted(maps.Keys(needed))...); err != nil {
		return report, fmt.Errorf("all was done, but signing keys are missing (idp key rotate --alg makes them): %w", err)
	}
	return report, nil
}
