package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"idp/internal/declared"
	"idp/internal/idp"
	"idp/internal/store"
)

// BootstrapSection is the part of the configuration file that declares objects,
// as it was read.
type BootstrapSection struct {
	Path string
	Node *yaml.Node // nil for none
}

// read reads the objects, which are there when the server starts. The error is a
// *configError.
func (b BootstrapSection) read() (declared.Document, error) {
	if b.Node == nil {
		return declared.Document{}, nil
	}
	d := declared.ReadNode(b.Path, b.Node)
	faults := d.Faults
	for _, o := range d.Objects {
		faults = append(faults, o.Faults...)
	}
	return d, bootstrapFaults(faults)
}

// bootstrapFaults are faults of the configuration, nil for none.
func bootstrapFaults(all declared.Faults) error {
	if len(all) == 0 {
		return nil
	}
	var e configError
	for _, f := range all.InOrder() {
		key := slices.DeleteFunc([]string{"bootstrap", f.Object, f.Field}, func(part string) bool { return part == "" })
		e.Faults = append(e.Faults, fault{Where: f.Where, Key: strings.Join(key, ": "), Reason: f.Reason})
	}
	return &e
}

// bootstrapPatience is how long a start waits for other nodes that do the same.
const bootstrapPatience = 30 * time.Second

// bootstrap makes what the configuration declares and is not there. Of nodes that
// start together one makes it: the others wait for its transaction, and find
// everything there.
func (d *database) bootstrap(ctx context.Context) error {
	document, err := d.cfg.Bootstrap.read()
	if err != nil || len(document.Objects) == 0 {
		return err
	}
	deadline := d.now().Add(bootstrapPatience)
	for {
		err := d.bootstrapOnce(ctx, document.Objects)
		if !errors.Is(err, idp.ErrUnavailable) || d.now().After(deadline) || ctx.Err() != nil {
			return err
		}
		d.logger.Warn("what bootstrap declares waits for the database", "cause", err)
		select {
		case <-ctx.Done():
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func (d *database) bootstrapOnce(ctx context.Context, objects []declared.Object) error {
	report, err := d.applyTogether(ctx, "bootstrap", declared.Options{OnlyAbsent: true}, objects, func(_ context.Context, _ *store.Store, r declared.Report) (bool, error) {
		faults := r.Faults()
		for _, row := range r {
			if row.Secret != "" {
				faults = append(faults, declared.Fault{
					Where: row.Where, Object: string(row.Kind) + " " + row.Name, Field: "client_secret_file", Reason: "is missing: there is nobody to show a secret to",
				})
			}
		}
		return r.Changes(), bootstrapFaults(faults)
	})
	if err != nil {
		return err
	}
	for _, row := range report {
		if row.Result == declared.Created {
			d.logger.Info("made, as bootstrap declares it", "kind", string(row.Kind), "name", row.Name)
		}
	}
	return d.directory.Refresh(ctx) // what another node made meanwhile
}
