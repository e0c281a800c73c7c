package login

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"time"

	"idp/internal/idp"
)

const (
	deviceCookie = "idp_device_"
	deviceLife   = 365 * 24 * time.Hour // since the last sign-in
	// maxDeviceCookies is how many people one browser knows at once.
	maxDeviceCookies = 5
)

// Devices keeps the browsers that people have signed in with. Implemented by
// *store.Store.
type Devices interface {
	Device(ctx context.Context, id idp.ID) (idp.Device, error)
	Devices(ctx context.Context, userID string) ([]idp.Device, error)
	SaveDevice(ctx context.Context, d idp.Device, events ...idp.Event) error
}

// MailSealer makes messages to people ready to be stored. Implemented by
// *tokens.Master.
type MailSealer interface {
	SealMail(at time.Time, m idp.Mail) (idp.SealedMail, error)
}

// deviceCookieName is another one for each person, so that people who share a
// browser do not make each other strangers.
func (l *Login) deviceCookieName(userID string) string {
	return deviceCookie + base64.RawURLEncoding.EncodeToString(l.Flows.Bind("device\x00" + userID))[:10]
}

// knownDevice returns the device that the browser proves to be one of the
// user's; nil for none.
func (l *Login) knownDevice(r *http.Request, user idp.User) (*idp.Device, error) {
	value, ok := l.readCookie(r, l.deviceCookieName(user.ID))
	if !ok {
		return nil, nil
	}
	token, err := l.Flows.ParseOpaque(idp.KindDevice, value)
	if err != nil {
		return nil, nil
	}
	device, err := l.Devices.Device(r.Context(), token.ID)
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, err
	case !l.Flows.VerifyOpaque(value, device.Salt) || !device.Known(&user, l.Now()):
		return nil, nil
	}
	return &device, nil
}

// rememberDevice notes that the user has signed in with this browser, which is
// device when it was known before, and trusts it until then, if that is later
// than now. The person is in whatever becomes of that.
func (l *Login) rememberDevice(w http.ResponseWriter, r *http.Request, user idp.User, device *idp.Device, trustedUntil time.Time) {
	request, now := idp.RequestFrom(r.Context()), idp.Instant(l.Now())
	var events []idp.Event
	if device == nil {
		device = &idp.Device{ID: idp.ID(random(16)), UserID: user.ID, Salt: random(saltSize), CreatedAt: now}
		added := event(r, idp.EventDeviceAdded, now)
		added.UserID, added.Mail = user.ID, l.newDeviceMail(r.Context(), user, now)
		events = append(events, added)
	}
	device.LastSeenAt, device.ExpiresAt = now, now.Add(deviceLife)
	device.RemoteAddr, device.UserAgent = request.RemoteAddr, clip(request.UserAgent, maxUserAgent)
	if trustedUntil.After(now) {
		device.TrustedAt, device.TrustedUntil = now, idp.Instant(trustedUntil)
	}
	if err := l.Devices.SaveDevice(r.Context(), *device, events...); err != nil {
		l.Logger.WarnContext(r.Context(), "device not remembered", "user_id", user.ID, "error", err)
		return
	}
	name := l.deviceCookieName(user.ID)
	l.dropDeviceCookies(w, r, name)
	cookie := l.cookie(name, l.Flows.MintOpaque(idp.OpaqueToken{
		Kind: idp.KindDevice, ExpiresOn: idp.DayOf(device.ExpiresAt), ID: device.ID,
	}, device.Salt))
	cookie.MaxAge = int(deviceLife / time.Second)
	http.SetCookie(w, cookie)
}

// newDeviceMail tells the person of a sign-in from where there was none before.
// The first device of all is no news to anybody.
func (l *Login) newDeviceMail(ctx context.Context, user idp.User, now time.Time) []idp.SealedMail {
	request := idp.RequestFrom(ctx)
	m, ok := user.Mail(idp.NewDeviceMail{At: now, Device: idp.DeviceName(request.UserAgent), RemoteAddr: request.RemoteAddr})
	if !ok {
		return nil
	}
	known, err := l.Devices.Devices(ctx, user.ID)
	if err == nil && len(known) == 0 {
		return nil
	}
	var sealed idp.SealedMail
	if err == nil {
		sealed, err = l.Mail.SealMail(now, m)
	}
	if err != nil {
		l.Logger.WarnContext(ctx, "no notice of a new device", "user_id", user.ID, "error", err)
		return nil
	}
	return []idp.SealedMail{sealed}
}

// dropDeviceCookies makes room for one more, so that a browser many people use
// does not grow its requests without end.
func (l *Login) dropDeviceCookies(w http.ResponseWriter, r *http.Request, keep string) {
	kept := 1
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, l.cookieName(deviceCookie)) || c.Name == l.cookieName(keep) {
			continue
		}
		if kept++; kept > maxDeviceCookies {
			gone := l.cookie("", "")
			gone.Name, gone.MaxAge = c.Name, -1
			http.SetCookie(w, gone)
		}
	}
}
