package store

import (
	"context"
	"time"

	"idp/internal/idp"
)

const selectDevice = `
SELECT device_id, user_id, salt, created_at, last_seen_at, expires_at, trusted_at, trusted_until, remote_addr, user_agent
FROM devices
WHERE device_id = $1`

// Device finds a device by its identifier.
func (s *Store) Device(ctx context.Context, id idp.ID) (idp.Device, error) {
	var d idp.Device
	err := one(ctx, s.port, deviceDests(&d), selectDevice, id)
	return d, err
}

const selectDevices = `
SELECT device_id, user_id, salt, created_at, last_seen_at, expires_at, trusted_at, trusted_until, remote_addr, user_agent
FROM devices
WHERE user_id = $1
ORDER BY last_seen_at DESC, device_id`

// Devices returns a user's devices, the last one seen first.
func (s *Store) Devices(ctx context.Context, userID string) ([]idp.Device, error) {
	var devices []idp.Device
	err := s.port.query(ctx, func(r row) error {
		var d idp.Device
		if err := r.Scan(deviceDests(&d)...); err != nil {
			return err
		}
		devices = append(devices, d)
		return nil
	}, selectDevices, userID)
	return devices, err
}

func deviceDests(d *idp.Device) []any {
	return []any{
		&d.ID, &d.UserID, &d.Salt, &d.CreatedAt, &d.LastSeenAt, &d.ExpiresAt, &d.TrustedAt, &d.TrustedUntil, &d.RemoteAddr, &d.UserAgent,
	}
}

const upsertDevice = `
INSERT INTO devices (
    device_id, user_id, salt, created_at, last_seen_at, expires_at, trusted_at, trusted_until, remote_addr, user_agent)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (device_id) DO UPDATE
SET last_seen_at = excluded.last_seen_at, expires_at = excluded.expires_at, trusted_at = excluded.trusted_at,
    trusted_until = excluded.trusted_until, remote_addr = excluded.remote_addr, user_agent = excluded.user_agent
WHERE devices.user_id = excluded.user_id`

// SaveDevice stores a device, or what was seen of it since. Whose it is and its
// salt never change.
func (s *Store) SaveDevice(ctx context.Context, d idp.Device, events ...idp.Event) error {
	return s.write(ctx, []statement{{upsertDevice, []any{
		d.ID, d.UserID, d.Salt, d.CreatedAt, d.LastSeenAt, d.ExpiresAt, d.TrustedAt, d.TrustedUntil, d.RemoteAddr, d.UserAgent,
	}}}, events...)
}

const deleteDevice = `DELETE FROM devices WHERE device_id = $1 AND user_id = $2`

// DeleteDevice forgets one device of a user. Doing it twice changes nothing.
func (s *Store) DeleteDevice(ctx context.Context, id idp.ID, userID string, event idp.Event) error {
	return s.change(ctx, []idp.Event{event}, func(q querier) (bool, error) {
		n, err := q.exec(ctx, deleteDevice, id, userID)
		return n > 0, err
	})
}

const deleteUserDevices = `DELETE FROM devices WHERE user_id = $1`

const deleteDevices = `
DELETE FROM devices WHERE device_id IN (SELECT device_id FROM devices WHERE expires_at < $1 ORDER BY expires_at LIMIT $2)`

func (s *Store) deleteOldDevices(ctx context.Context, now time.Time) error {
	return s.deleteInBatches(ctx, deleteDevices, now)
}
