-- +goose Up

-- When an application was last given something, for the person whose account it
-- uses. Neither column of a grant ever changes.
CREATE INDEX grants_user_id_idx ON grants (user_id, client_id);

-- What people see of their own audit: the kinds of idp.SecurityEvents.
CREATE INDEX audit_events_own_idx ON audit_events (user_id, event_id)
WHERE kind IN (
    'login.succeeded', 'login.failed', 'device.added', 'device.distrusted', 'session.ended', 'consent.granted', 'consent.withdrawn',
    'user.password_set', 'user.updated', 'user.disabled', 'user.enabled', 'user.factors_reset', 'user.exported',
    'factor.added', 'factor.removed', 'factor.failed',
    'address.added', 'address.verified', 'address.preferred', 'address.removed', 'address.restored');
DROP INDEX audit_events_security_idx;
