-- +goose Up

-- What people see of their own audit: the kinds of idp.SecurityEvents.
CREATE INDEX audit_events_security_idx ON audit_events (user_id, event_id)
WHERE kind IN (
    'login.succeeded', 'login.failed', 'device.added', 'device.distrusted', 'session.ended', 'consent.granted', 'consent.withdrawn',
    'user.password_set', 'user.updated', 'user.disabled', 'user.enabled', 'user.factors_reset', 'user.exported',
    'factor.added', 'factor.removed', 'factor.failed');
