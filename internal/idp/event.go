package idp

import "time"

// EventKind names what an audit event tells of. The names are stable.
type EventKind string

// The audit events.
const (
	EventAuthorizationRejected EventKind = "authz.rejected"              // an authorization request was refused on a page, because there was no address to trust
	EventAuthorizationRefused  EventKind = "authz.refused"               // an authorization request went back to the client with an error
	EventCodeIssued            EventKind = "code.issued"                 // a client got an authorization code
	EventCodeReplayed          EventKind = "code.replayed"               // a code came a second time, and its grant ended
	EventCodeBurned            EventKind = "code.burned"                 // a code came with a wrong redirect_uri or verifier, and is of no use any more
	EventTokenIssued           EventKind = "token.issued"                // a client got an access token, and what goes with it
	EventTokenRefused          EventKind = "token.refused"               // the token endpoint refused a client
	EventTokenRevoked          EventKind = "token.revoked"               // a token or a grant was revoked
	EventRefreshReplayed       EventKind = "refresh.replayed"            // a refresh token came again after its successor was used, and its grant ended
	EventRefreshWrongClient    EventKind = "refresh.wrong_client"        // a client sent another client's refresh token
	EventRevokeWrongClient     EventKind = "revoke.wrong_client"         // a client wanted another client's token revoked
	EventClientAuthFailed      EventKind = "client.auth_failed"          // a client did not prove who it is
	EventLoginSucceeded        EventKind = "login.succeeded"             // somebody signed in
	EventLoginFailed           EventKind = "login.failed"                // a sign-in failed
	EventLoginThrottled        EventKind = "login.throttled"             // a sign-in was not tried, because there had been too many
	EventDeviceAdded           EventKind = "device.added"                // a person signed in with a browser for the first time
	EventDeviceDistrusted      EventKind = "device.distrusted"           // the second factor is asked for again in a browser
	EventSessionEnded          EventKind = "session.ended"               // a session ended: signed out, or ended by somebody
	EventLogoutDelivered       EventKind = "logout.delivered"            // a client was told that a session ended
	EventLogoutUndelivered     EventKind = "logout.undelivered"          // a client could not be told that a session ended, and is not tried any more
	EventConsentGranted        EventKind = "consent.granted"             // a person allowed an application something
	EventConsentDenied         EventKind = "consent.denied"              // a person refused an application
	EventConsentWithdrawn      EventKind = "consent.withdrawn"           // what an application was allowed was taken back
	EventOutboundFailed        EventKind = "outbound.failed"             // an address that a client registered cannot be read or called
	EventProxyUntrustedHeader  EventKind = "proxy.untrusted_header"      // somebody who is no trusted proxy speaks like one
	EventCSRFRejected          EventKind = "csrf.rejected"               // a form came from another site
	EventClientCreated         EventKind = "client.created"              // a client was registered
	EventClientUpdated         EventKind = "client.updated"              // a client was changed, disabled or enabled
	EventClientDeleted         EventKind = "client.deleted"              // a client was deleted
	EventClientRefused         EventKind = "client.registration_refused" // a client that wanted to register itself was refused
	EventInitialTokenCreated   EventKind = "registration_token.created"  // an initial access token was made, with which clients register themselves
	EventInitialTokenDeleted   EventKind = "registration_token.deleted"  // an initial access token was deleted
	EventClientSecretRotated   EventKind = "client.secret_rotated"       // a client got another secret
	EventUserCreated           EventKind = "user.created"                // an account was made
	EventUserUpdated           EventKind = "user.updated"                // an account was changed
	EventUserDisabled          EventKind = "user.disabled"               // an account was disabled
	EventUserEnabled           EventKind = "user.enabled"                // an account was enabled
	EventUserDeleted           EventKind = "user.deleted"                // an account was deleted
	EventUserDeletionRequested EventKind = "user.deletion_requested"     // a person wants their account deleted
	EventUserDeletionWithdrawn EventKind = "user.deletion_withdrawn"     // a person wants to keep their account after all
	EventUserExported          EventKind = "user.exported"               // a person took a copy of their own data
	EventUserPasswordSet       EventKind = "user.password_set"           // a password was set or changed
	EventUserFactorsReset      EventKind = "user.factors_reset"          // an operator took all second factors of a person away
	EventUserInvited           EventKind = "user.invited"                // a person was invited
	EventUserAccepted          EventKind = "user.accepted"               // a person accepted an invitation
	EventUserRegistered        EventKind = "user.registered"             // a person made an account
	EventRegistrationRequested EventKind = "registration.requested"      // somebody asked for an account
	EventRegistrationThrottled EventKind = "registration.throttled"      // somebody asked for an account too often
	EventUserLocked            EventKind = "user.locked"                 // an account was locked
	EventUserUnlocked          EventKind = "user.unlocked"               // an account was unlocked by a new password
	EventRecoveryRequested     EventKind = "recovery.requested"          // somebody asked for a new password
	EventRecoveryThrottled     EventKind = "recovery.throttled"          // somebody asked for a new password too often
	EventLinkCreated           EventKind = "link.created"                // somebody was sent or handed a link that works once
	EventLinkRefused           EventKind = "link.refused"                // a link was used before, or is expired
	EventAddressAdded          EventKind = "address.added"               // an e-mail address was added to an account
	EventAddressVerified       EventKind = "address.verified"            // an e-mail address was confirmed
	EventAddressPreferred      EventKind = "address.preferred"           // an e-mail address is now the account's primary one
	EventAddressRemoved        EventKind = "address.removed"             // an e-mail address was removed
	EventAddressRestored       EventKind = "address.restored"            // the owner of the old e-mail address undid a change
	EventFactorAdded           EventKind = "factor.added"                // a second factor or a passkey was added
	EventFactorChanged         EventKind = "factor.changed"              // a second factor or a passkey got another name
	EventFactorRemoved         EventKind = "factor.removed"              // a second factor or a passkey was removed
	EventFactorUsed            EventKind = "factor.used"                 // a second factor or a passkey was used
	EventFactorFailed          EventKind = "factor.failed"               // a code was not accepted
	EventWebAuthnRejected      EventKind = "webauthn.rejected"           // an answer of a passkey was not accepted
	EventGroupChanged          EventKind = "group.changed"               // a group was made, changed or deleted, or its members were
	EventRoleChanged           EventKind = "role.changed"                // a role was made, changed or deleted, or who holds it
	EventResourceChanged       EventKind = "resource.changed"            // an API was made, changed or deleted
	EventKeyCreated            EventKind = "key.created"                 // a signing key was made
	EventKeyRetired            EventKind = "key.retired"                 // a signing key was taken out of use
	EventSettingChanged        EventKind = "setting.changed"             // a setting was changed
	EventMailSent              EventKind = "mail.sent"                   // the mail server took a message
	EventMailUndelivered       EventKind = "mail.undelivered"            // a message could not be sent, and is not tried any more
	EventMailShown             EventKind = "mail.shown"                  // an operator read a message
	EventExported              EventKind = "database.exported"           // an operator took a copy of configuration and people
	EventImported              EventKind = "database.imported"           // configuration and people were brought in
	EventAdminRead             EventKind = "admin.read"                  // data about people was read through the admin API
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
