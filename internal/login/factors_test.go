package login_test

import (
	"context"

	"idp/internal/idp"
	"idp/internal/login"
)

// noFactors are people with nothing but a password, at an address that cannot
// have passkeys.
type noFactors struct{ login.Factors }

func (noFactors) Of(context.Context, string) (idp.Factors, error) { return idp.Factors{}, nil }
func (noFactors) PasskeysAvailable() bool                         { return false }

func (noFactors) BeginPasskeySignIn(context.Context, idp.PasskeyRequest) (idp.Ceremony, error) {
	return idp.Ceremony{}, idp.ErrNotFound
}

func (m *memory) User(_ context.Context, id string) (idp.User, error) {
	u, ok := m.users[id]
	if !ok {
		return idp.User{}, idp.ErrNotFound
	}
	return u, nil
}

func (m *memory) Device(context.Context, idp.ID) (idp.Device, error) {
	return idp.Device{}, idp.ErrNotFound
}

func (m *memory) Devices(context.Context, string) ([]idp.Device, error) { return nil, nil }

func (m *memory) SaveDevice(context.Context, idp.Device, ...idp.Event) error { return nil }
