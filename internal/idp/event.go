package idp

import "time"

// EventKind names what an audit event tells of. The names are stable.
type EventKind string

// The audit events.
const (
	EventAuthorizationRejected EventKind = "authz.rejected" // shown to the person, never redirected
	EventAuthorizationRefused  EventKind = "authz.refused"  // redirected to the client with an error
	EventCodeIssued            EventKind = "code.issued"
	EventCodeReplayed          EventKind = "code.replayed"
	EventCodeBurned            EventKind = "code.burned" // wrong redirect_uri or verifier
	EventTokenIssued           EventKind = "token.issued"
	EventTokenRefused          EventKind = "token.refused"
	EventTokenRevoked          EventKind = "token.revoked"
	EventRefreshReplayed       EventKind = "refresh.replayed"
	EventRefreshWrongClient    EventKind = "refresh.wrong_client"
	EventRevokeWrongClient     EventKind = "revoke.wrong_client"
	EventClientAuthFailed      EventKind = "client.auth_failed"
	EventLoginSucceeded        EventKind = "login.succeeded"
	EventLoginFailed           EventKind = "login.failed"
	EventLoginThrottled        EventKind = "login.throttled"
	EventDeviceAdded           EventKind = "device.added"      // a person signed in with a browser for the first time
	EventDeviceDistrusted      EventKind = "device.distrusted" // the second factor is asked for again there
	EventSessionEnded          EventKind = "session.ended"
	EventLogoutDelivered       EventKind = "logout.delivered"   // a client was told that a session ended
	EventLogoutUndelivered     EventKind = "logout.undelivered" // it could not be told, and is not tried any more
	EventConsentGranted        EventKind = "consent.granted"
	EventConsentDenied         EventKind = "consent.denied"
	EventConsentWithdrawn      EventKind = "consent.withdrawn"
	EventOutboundFailed        EventKind = "outbound.failed"        // an address that a client registered cannot be read or called
	EventProxyUntrustedHeader  EventKind = "proxy.untrusted_header" // somebody who is no trusted proxy speaks like one
	EventCSRFRejected          EventKind = "csrf.rejected"
	EventClientCreated         EventKind = "client.created"
	EventClientUpdated         EventKind = "client.updated"
	EventClientDeleted         EventKind = "client.deleted"
	EventClientRefused         EventKind = "client.registration_refused"
	EventInitialTokenCreated   EventKind = "registration_token.created"
	EventInitialTokenDeleted   EventKind = "registration_token.deleted"
	EventClientSecretRotated   EventKind = "client.secret_rotated"
	EventUserCreated           EventKind = "user.created"
	EventUserUpdated           EventKind = "user.updated"
	EventUserDisabled          EventKind = "user.disabled"
	EventUserEnabled           EventKind = "user.enabled"
	EventUserDeleted           EventKind = "user.deleted"
	EventUserDeletionRequested EventKind = "user.deletion_requested" // a person wants their account deleted
	EventUserDeletionWithdrawn EventKind = "user.deletion_withdrawn" // and does not any more
	EventUserExported          EventKind = "user.exported"           // a person took a copy of their own data
	EventUserPasswordSet       EventKind = "user.password_set"
	EventUserFactorsReset      EventKind = "user.factors_reset" // an operator took all second factors away
	EventUserInvited           EventKind = "user.invited"
	EventUserAccepted          EventKind = "user.accepted"   // an invitation
	EventUserRegistered        EventKind = "user.registered" // a person made the account
	EventRegistrationRequested EventKind = "registration.requested"
	EventRegistrationThrottled EventKind = "registration.throttled"
	EventUserLocked            EventKind = "user.locked"
	EventUserUnlocked          EventKind = "user.unlocked" // by a new password
	EventRecoveryRequested     EventKind = "recovery.requested"
	EventRecoveryThrottled     EventKind = "recovery.throttled"
	EventLinkCreated           EventKind = "link.created" // that somebody was sent or handed
	EventLinkRefused           EventKind = "link.refused" // used before, or expired
	EventAddressAdded          EventKind = "address.added"
	EventAddressVerified       EventKind = "address.verified"
	EventAddressPreferred      EventKind = "address.preferred" // is now the account's primary one
	EventAddressRemoved        EventKind = "address.removed"
	EventAddressRestored       EventKind = "address.restored" // the owner of the old one undid a change
	EventFactorAdded           EventKind = "factor.added"
	EventFactorChanged         EventKind = "factor.changed" // got another name
	EventFactorRemoved         EventKind = "factor.removed"
	EventFactorUsed            EventKind = "factor.used"
	EventFactorFailed          EventKind = "factor.failed"     // a code that was not accepted
	EventWebAuthnRejected      EventKind = "webauthn.rejected" // an answer of a passkey that was not accepted
	EventGroupChanged          EventKind = "group.changed"
	EventRoleChanged           EventKind = "role.changed"
	EventResourceChanged       EventKind = "resource.changed"
	EventKeyCreated            EventKind = "key.created"
	EventKeyRetired            EventKind = "key.retired"
	EventSettingChanged        EventKind = "setting.changed"
	EventMailSent              EventKind = "mail.sent"
	EventMailUndelivered       EventKind = "mail.undelivered"  // it could not be sent, and is not tried any more
	EventMailShown             EventKind = "mail.shown"        // an operator read it
	EventExported              EventKind = "database.exported" // an operator took a copy of configuration and people
	EventImported              EventKind = "database.imported"
)

// Event is one row of the audit: who did what to whom, when, and how it ended.
// It holds no secret and no token.
type Event struct {
	ID         ID // time-ordered (RFC 9562 version 7)
	At         time.Time
	Kind       EventKind
	ClientID   string
	UserID     string
	SessionID  string
	GrantID    string
	RequestID  string
	RemoteAddr string
	// Mail goes out because of it: it is stored with the event, where it is
	// stored at all, and sent afterwards. It is no part of the audit row.
	Mail []SealedMail
	// Detail holds a few further facts under stable lower-case names: error,
	// grant_type, scope, audience, jti, target, reason.
	Detail map[string]string
}

// SecurityEvents are the kinds of events that a person looks at to see whether
// it was them. The database has an index of exactly these.
func SecurityEvents() []EventKind {
	return []EventKind{
		EventLoginSucceeded, EventLoginFailed, EventDeviceAdded, EventDeviceDistrusted, EventSessionEnded,
		EventConsentGranted, EventConsentWithdrawn,
		EventUserPasswordSet, EventUserUpdated, EventUserDisabled, EventUserEnabled, EventUserFactorsReset, EventUserExported,
		EventFactorAdded, EventFactorRemoved, EventFactorFailed,
		EventAddressAdded, EventAddressVerified, EventAddressPreferred, EventAddressRemoved, EventAddressRestored,
	}
}
