package users

// Passkeys (Web Authentication Level 3, "WebAuthn" below): discoverable
// credentials, asked for with user verification preferred and without
// attestation.

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"

	"idp/internal/idp"
)

// PasskeyStore keeps passkeys. A challenge is used up by the same transaction
// that stores what was signed. Implemented by *store.Store.
type PasskeyStore interface {
	UserHandle(ctx context.Context, userID string, fresh []byte) ([]byte, error)
	PasskeyState(ctx context.Context, credentialID []byte) (idp.PasskeyState, error)
	// AddPasskey is idp.ErrAlreadyUsed for a challenge from before, and
	// idp.ErrConflict for a credential that somebody has.
	AddPasskey(ctx context.Context, p idp.Passkey, c idp.Challenge, event idp.Event) error
	// UsePasskey is idp.ErrAlreadyUsed for a challenge from before, and
	// idp.ErrConflict for a counter that did not advance.
	UsePasskey(ctx context.Context, u idp.PasskeyUse, c idp.Challenge, event idp.Event) error
}

// PasskeyListStore changes the list of a person's passkeys. Implemented by
// *store.Store.
type PasskeyListStore interface {
	RenamePasskey(ctx context.Context, userID string, credentialID []byte, name string, event idp.Event) error
	RemovePasskey(ctx context.Context, userID string, credentialID []byte, validAfter time.Time, event idp.Event) error
}

const (
	challengeLifetime = 5 * time.Minute
	userHandle        = 32       // bytes
	maxResponse       = 16 << 10 // bytes
	maxPasskeys       = 25
	maxTransports     = 8
	passkeyName       = "Passkey"
)

// ceremony is the sealed state between the challenge and its answer.
type ceremony struct {
	Challenge string    `json:"c"`
	Until     time.Time `json:"u"`
	UserID    string    `json:"i,omitempty"`
	Allowed   [][]byte  `json:"a,omitempty"` // of the known user; nil asks for any
	Required  bool      `json:"v,omitempty"` // user verification
	Quiet     bool      `json:"q,omitempty"` // made in passing: see BeginPasskeyUpgrade
}

// Where the state is sealed for. The browser is the flow's or the session's
// mark of it: the answer counts in no other.
func registrationPlace(userID string, browser []byte) string {
	return "passkey-registration|" + userID + "|" + hex.EncodeToString(browser)
}

func signInPlace(browser []byte) string { return "passkey-sign-in|" + hex.EncodeToString(browser) }

// relyingParty returns the library's view of the issuer, or nil where there
// cannot be passkeys.
func relyingParty(issuer *url.URL, name string) (rp *webauthn.WebAuthn, origin string, err error) {
	host := strings.ToLower(issuer.Hostname())
	if _, err := netip.ParseAddr(host); err == nil || protocol.ValidateRPID(host) != nil {
		return nil, "", nil
	}
	origin = issuer.Scheme + "://" + host
	if port := issuer.Port(); port != "" && !(issuer.Scheme == "https" && port == "443" || issuer.Scheme == "http" && port == "80") {
		origin += ":" + port
	}
	required := true
	rp, err = webauthn.New(&webauthn.Config{
		RPID: host, RPDisplayName: name, RPOrigins: []string{origin},
		AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, RequireResidentKey: &required,
			UserVerification: protocol.VerificationPreferred,
		},
		Timeouts: webauthn.TimeoutsConfig{
			Login:        webauthn.TimeoutConfig{Timeout: challengeLifetime},
			Registration: webauthn.TimeoutConfig{Timeout: challengeLifetime},
		},
		// Some password managers answer what nobody asked; none of it is used.
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
	return rp, origin, err
}

// passkeyParameters are the algorithms that a passkey may have, best first.
func passkeyParameters() []protocol.CredentialParameter {
	var all []protocol.CredentialParameter
	for _, alg := range []webauthncose.COSEAlgorithmIdentifier{webauthncose.AlgES256, webauthncose.AlgEdDSA, webauthncose.AlgRS256} {
		all = append(all, protocol.CredentialParameter{Type: protocol.PublicKeyCredentialType, Algorithm: alg})
	}
	return all
}

// goodPublicKey reports whether signatures can be checked by the key: without
// attestation nothing has used it yet.
func goodPublicKey(cose []byte) bool {
	key, err := webauthncose.ParsePublicKey(cose)
	if rsa, ok := key.(webauthncose.RSAPublicKeyData); ok {
		bits := new(big.Int).SetBytes(rsa.Modulus).BitLen()
		return err == nil && bits >= 2048 && bits <= 4096
	}
	return err == nil
}

// passkeyUser is a person as the library wants to see one.
type passkeyUser struct {
	user     idp.User
	handle   []byte
	passkeys []idp.Passkey
}

func (u passkeyUser) WebAuthnID() []byte          { return u.handle }
func (u passkeyUser) WebAuthnName() string        { return u.user.Username }
func (u passkeyUser) WebAuthnDisplayName() string { return u.user.DisplayName() }

func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential {
	all := make([]webauthn.Credential, len(u.passkeys))
	for i, p := range u.passkeys {
		all[i] = webauthn.Credential{
			ID: p.ID, PublicKey: p.PublicKey,
			Flags:         webauthn.CredentialFlags{UserPresent: true, UserVerified: p.UserVerified, BackupEligible: p.BackupEligible, BackupState: p.BackupState},
			Authenticator: webauthn.Authenticator{AAGUID: p.AAGUID[:], SignCount: p.SignCount},
		}
		for _, transport := range p.Transports {
			all[i].Transport = append(all[i].Transport, protocol.AuthenticatorTransport(transport))
		}
	}
	return all
}

// PasskeysAvailable reports whether there can be passkeys at all: WebAuthn ties
// them to a domain, which an issuer at an IP address or at a name without a dot
// (but localhost) has not. Without it the Begin methods are idp.ErrNotFound;
// leave the buttons away.
func (f *Factors) PasskeysAvailable() bool { return f.rp != nil }

// BeginPasskeyRegistration asks for one more passkey of a person who is signed
// in: WebAuthn section 7.1. The browser is any mark that the next request
// brings again and that no other browser has.
//
// Errors: idp.ErrNotFound where there are no passkeys, *idp.InvalidError that
// names "passkeys" when the person has too many.
func (f *Factors) BeginPasskeyRegistration(ctx context.Context, user idp.User, browser []byte) (idp.Ceremony, error) {
	return f.beginRegistration(ctx, user, browser, protocol.MediationDefault)
}

// BeginPasskeyUpgrade is BeginPasskeyRegistration for somebody who has just
// signed in with a password: the browser may make the passkey in passing, where
// its password manager allows that (conditional mediation, WebAuthn section
// 5.1.3). Nobody need have touched anything then, so FinishPasskeyRegistration
// may say that no factor was proven.
func (f *Factors) BeginPasskeyUpgrade(ctx context.Context, user idp.User, browser []byte) (idp.Ceremony, error) {
	return f.beginRegistration(ctx, user, browser, protocol.MediationConditional)
}

func (f *Factors) beginRegistration(ctx context.Context, user idp.User, browser []byte, mediation protocol.CredentialMediationRequirement) (idp.Ceremony, error) {
	if f.rp == nil {
		return idp.Ceremony{}, fmt.Errorf("users: an issuer without a domain has no passkeys: %w", idp.ErrNotFound)
	}
	has, err := f.Of(ctx, user.ID)
	if err != nil {
		return idp.Ceremony{}, err
	}
	if len(has.Passkeys) >= maxPasskeys {
		return idp.Ceremony{}, idp.Invalid("passkeys", fmt.Sprintf("are %d already", maxPasskeys))
	}
	fresh := make([]byte, userHandle)
	fillRandom(fresh)
	handle, err := f.store.UserHandle(ctx, user.ID, fresh)
	if err != nil {
		return idp.Ceremony{}, fmt.Errorf("users: register a passkey: %w", err)
	}
	person := passkeyUser{user: user, handle: handle, passkeys: has.Passkeys}
	return f.askForNew(person, browser, ceremony{Quiet: mediation == protocol.MediationConditional}, mediation,
		webauthn.WithExclusions(webauthn.Credentials(person.WebAuthnCredentials()).CredentialDescriptors()))
}

// BeginFirstPasskey is BeginPasskeyRegistration for an account that waits for its
// person, or is not there yet. The passkey will be all that lets them in, so it
// has to check who they are. The same handle each time makes a second passkey
// take the first one's place.
func (f *Factors) BeginFirstPasskey(user idp.User, handle, browser []byte) (idp.Ceremony, error) {
	if f.rp == nil {
		return idp.Ceremony{}, fmt.Errorf("users: an issuer without a domain has no passkeys: %w", idp.ErrNotFound)
	}
	selection := f.rp.Config.AuthenticatorSelection
	selection.UserVerification = protocol.VerificationRequired
	return f.askForNew(passkeyUser{user: user, handle: handle}, browser, ceremony{Required: true}, protocol.MediationDefault,
		webauthn.WithAuthenticatorSelection(selection))
}

func (f *Factors) askForNew(person passkeyUser, browser []byte, state ceremony, mediation protocol.CredentialMediationRequirement,
	options ...webauthn.RegistrationOption,
) (idp.Ceremony, error) {
	creation, session, err := f.rp.BeginMediatedRegistration(person, mediation, append(options, webauthn.WithCredentialParameters(passkeyParameters()))...)
	if err != nil {
		return idp.Ceremony{}, fmt.Errorf("users: register a passkey: %w", err)
	}
	state.Challenge, state.UserID = session.Challenge, person.user.ID
	return f.ceremony(creation, registrationPlace(person.user.ID, browser), state)
}

// BeginPasskeySignIn asks for a passkey: WebAuthn section 7.2. Without a user
// nothing is read, and the options are the same for everybody.
//
// Errors: idp.ErrNotFound where there are no passkeys, or when the user has
// none.
func (f *Factors) BeginPasskeySignIn(ctx context.Context, r idp.PasskeyRequest) (idp.Ceremony, error) {
	if f.rp == nil {
		return idp.Ceremony{}, fmt.Errorf("users: an issuer without a domain has no passkeys: %w", idp.ErrNotFound)
	}
	state := ceremony{UserID: r.UserID, Required: r.Verification}
	var options []webauthn.LoginOption
	if r.UserID != "" {
		has, err := f.Of(ctx, r.UserID)
		if err != nil {
			return idp.Ceremony{}, err
		}
		if len(has.Passkeys) == 0 {
			return idp.Ceremony{}, fmt.Errorf("users: sign in with a passkey: %w", idp.ErrNotFound)
		}
		person := passkeyUser{passkeys: has.Passkeys}
		options = append(options, webauthn.WithAllowedCredentials(webauthn.Credentials(person.WebAuthnCredentials()).CredentialDescriptors()))
		for _, p := range has.Passkeys {
			state.Allowed = append(state.Allowed, p.ID)
		}
	}
	if r.Verification {
		options = append(options, webauthn.WithUserVerification(protocol.VerificationRequired))
	}
	assertion, session, err := f.rp.BeginDiscoverableLogin(options...)
	if err != nil {
		return idp.Ceremony{}, fmt.Errorf("users: sign in with a passkey: %w", err)
	}
	state.Challenge = session.Challenge
	return f.ceremony(assertion, signInPlace(r.Browser), state)
}

func (f *Factors) ceremony(options any, place string, state ceremony) (idp.Ceremony, error) {
	state.Until = f.now().Add(challengeLifetime)
	text, err := json.Marshal(options)
	if err != nil {
		return idp.Ceremony{}, fmt.Errorf("users: ask for a passkey: %w", err)
	}
	sealed, err := f.seal(place, state)
	if err != nil {
		return idp.Ceremony{}, fmt.Errorf("users: ask for a passkey: %w", err)
	}
	return idp.Ceremony{Options: text, Sealed: sealed}, nil
}

// Why the answer of a passkey was not accepted; for the audit.
const (
	reasonSize         = "size"      // more than 16 KiB
	reasonMalformed    = "malformed" // no answer of an authenticator
	reasonState        = "state"     // the sealed field is another browser's or person's, or none
	reasonExpired      = "expired"
	reasonType         = "type"
	reasonChallenge    = "challenge"
	reasonOrigin       = "origin"
	reasonRPID         = "rp_id"
	reasonPresence     = "user_presence"
	reasonVerification = "user_verification"
	reasonBackup       = "backup_state"
	reasonUnknown      = "unknown_credential"
	reasonOwner        = "owner" // another person's passkey
	reasonSignature    = "signature"
	reasonAttestation  = "attestation" // or an algorithm that is not allowed
	reasonPublicKey    = "public_key"
	reasonKnown        = "known_credential"
	reasonCounter      = "counter"
)

// rejected tells the audit why, and the caller only that.
func (f *Factors) rejected(ctx context.Context, userID, reason string) error {
	e := f.event(idp.EventWebAuthnRejected, userID, idp.FactorPasskey)
	e.Detail[detailReason] = reason
	f.audit.Note(ctx, e)
	decide(ctx, idp.RuleFactorCorrect, userID, idp.Fact{Name: "factor", Value: string(idp.FactorPasskey)}, idp.Fact{Name: "reason", Value: reason})
	return idp.ErrFactor
}

// resume opens the sealed state; a reason says why it does not count.
func (f *Factors) resume(place, sealed string, response []byte) (state ceremony, reason string) {
	switch {
	case len(response) > maxResponse:
		return ceremony{}, reasonSize
	case f.rp == nil || f.open(place, sealed, &state) != nil:
		return ceremony{}, reasonState
	case !f.now().Before(state.Until):
		return state, reasonExpired
	}
	return state, ""
}

// session is the state as the library wants to see it.
func (f *Factors) session(state ceremony, handle []byte) webauthn.SessionData {
	s := webauthn.SessionData{
		Challenge: state.Challenge, RelyingPartyID: f.rp.Config.RPID, UserID: handle,
		UserVerification: protocol.VerificationPreferred, CredParams: passkeyParameters(),
	}
	if state.Required {
		s.UserVerification = protocol.VerificationRequired
	}
	if state.Quiet {
		s.Mediation = protocol.MediationConditional
	}
	return s
}

// check names the first thing that is wrong with an answer, before the library
// looks at all of it again. The origin is compared as it is written: the
// library forgives a path, a user and capital letters.
func (f *Factors) check(state ceremony, ceremonyType protocol.CeremonyType, c protocol.CollectedClientData, a protocol.AuthenticatorData, rpIDHash []byte) string {
	switch {
	case c.Type != ceremonyType:
		return reasonType
	case c.Challenge != state.Challenge:
		return reasonChallenge
	case c.Origin != f.origin || c.CrossOrigin || c.TopOrigin != "":
		return reasonOrigin
	case !slices.Equal(a.RPIDHash, rpIDHash):
		return reasonRPID
	case !a.Flags.HasUserPresent() && !state.Quiet:
		return reasonPresence
	case state.Required && !a.Flags.HasUserVerified():
		return reasonVerification
	case a.Flags.HasBackupState() && !a.Flags.HasBackupEligible():
		return reasonBackup
	}
	return ""
}

// FinishPasskeyRegistration stores the passkey that the browser made: response
// is the JSON of the credential (toJSON). An empty name becomes the provider's.
// The factors are those that making it has proven.
//
// Errors: idp.ErrFactor for whatever WebAuthn section 7.1 refuses, an answer
// that comes too late or twice or from another browser; idp.ErrConflict when
// somebody has this passkey; *idp.InvalidError for a name that is none.
func (f *Factors) FinishPasskeyRegistration(ctx context.Context, user idp.User, browser []byte, sealed, name string, response []byte) (idp.Passkey, []idp.Factor, error) {
	made, factors, err := f.made(ctx, user, browser, idp.PasskeyAnswer{Sealed: sealed, Response: response}, name, false)
	if err != nil {
		return idp.Passkey{}, nil, err
	}
	p := made.Passkey
	event := f.telling(ctx, f.passkeyEvent(idp.EventFactorAdded, user.ID, p.AAGUID), user, idp.MailFactorPasskey, idp.MailFactorAdded)
	err = f.store.AddPasskey(ctx, p, made.Challenge, event)
	switch {
	case errors.Is(err, idp.ErrAlreadyUsed):
		return idp.Passkey{}, nil, f.rejected(ctx, user.ID, reasonReplayed)
	case errors.Is(err, idp.ErrConflict):
		_ = f.rejected(ctx, user.ID, reasonKnown) // the caller hears more than that
		return idp.Passkey{}, nil, fmt.Errorf("users: register a passkey: %w", err)
	case err != nil:
		return idp.Passkey{}, nil, fmt.Errorf("users: register a passkey: %w", err)
	}
	return p, factors, nil
}

// FinishFirstPasskey checks the answer to BeginFirstPasskey. It stores nothing:
// whoever stores the account stores the passkey with it, and tells of the event.
// The errors are those of FinishPasskeyRegistration.
func (f *Factors) FinishFirstPasskey(ctx context.Context, user idp.User, handle, browser []byte, answer idp.PasskeyAnswer) (idp.FirstPasskey, []idp.Factor, idp.Event, error) {
	made, factors, err := f.made(ctx, user, browser, answer, "", true)
	made.Handle = handle
	return made, factors, f.passkeyEvent(idp.EventFactorAdded, user.ID, made.AAGUID), err
}

// made returns the passkey that the browser made, and what making it has proven.
// first is one that has to let the person in alone.
func (f *Factors) made(ctx context.Context, user idp.User, browser []byte, answer idp.PasskeyAnswer, name string, first bool) (idp.FirstPasskey, []idp.Factor, error) {
	refuse := func(reason string) (idp.FirstPasskey, []idp.Factor, error) {
		return idp.FirstPasskey{}, nil, f.rejected(ctx, user.ID, reason)
	}
	// 1. The question.
	state, reason := f.resume(registrationPlace(user.ID, browser), answer.Sealed, answer.Response)
	if reason == "" && state.Required != first {
		reason = reasonState
	}
	if reason != "" {
		return refuse(reason)
	}

	// 2. The answer: WebAuthn section 7.1, steps 5 to 25.
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer.Response)
	if err != nil {
		return refuse(reasonMalformed)
	}
	data := parsed.Response.AttestationObject.AuthData
	if reason := f.check(state, protocol.CreateCeremony, parsed.Response.CollectedClientData, data, f.rpIDHash); reason != "" {
		return refuse(reason)
	}
	credential, err := f.rp.CreateCredential(passkeyUser{user: user}, f.session(state, nil), parsed)
	if err != nil {
		return refuse(reasonAttestation)
	}
	if !goodPublicKey(credential.PublicKey) {
		return refuse(reasonPublicKey)
	}

	// 3. The passkey. Who stores it uses up the challenge, and sees that nobody
	// has the credential (step 26).
	p := idp.Passkey{
		ID: credential.ID, UserID: user.ID, PublicKey: credential.PublicKey, SignCount: data.Counter,
		Transports: transports(credential.Transport), UserVerified: data.Flags.HasUserVerified(),
		BackupEligible: data.Flags.HasBackupEligible(), BackupState: data.Flags.HasBackupState(), CreatedAt: f.now(),
	}
	copy(p.AAGUID[:], credential.Authenticator.AAGUID)
	if p.Name, err = checkFactorName(name, firstOf(PasskeyProvider(p.AAGUID), passkeyName)); err != nil {
		return idp.FirstPasskey{}, nil, err
	}
	made := idp.FirstPasskey{Passkey: p, Challenge: idp.Challenge{Value: state.Challenge, ExpiresAt: state.Until}}
	if !data.Flags.HasUserPresent() {
		return made, nil, nil
	}
	return made, passkeyFactors(p, data.Flags.HasUserVerified()), nil
}

// FinishPasskeySignIn returns whose passkey signed, and what that has proven:
// idp.FactorPasskey, with idp.FactorVerified when the authenticator checked
// who used it and its word on that counts, and with idp.FactorBound when the
// key cannot leave its device. The browser is the request's.
//
// Errors: idp.ErrFactor for whatever WebAuthn section 7.2 refuses, an answer
// that comes too late or twice or from another browser, another person's
// passkey, and a disabled account; the audit says which.
func (f *Factors) FinishPasskeySignIn(ctx context.Context, browser []byte, sealed string, response []byte) (idp.User, []idp.Factor, error) {
	var userID string
	refuse := func(reason string) (idp.User, []idp.Factor, error) {
		return idp.User{}, nil, f.rejected(ctx, userID, reason)
	}
	// 1. The question.
	state, reason := f.resume(signInPlace(browser), sealed, response)
	userID = state.UserID
	if reason != "" {
		return refuse(reason)
	}

	// 2. The answer, as far as it stands for itself.
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return refuse(reasonMalformed)
	}
	data := parsed.Response.AuthenticatorData
	if reason := f.check(state, protocol.AssertCeremony, parsed.Response.CollectedClientData, data, f.rpIDHash); reason != "" {
		return refuse(reason)
	}

	// 3. Whose it is: WebAuthn section 7.2, steps 5 and 6.
	found, err := f.store.PasskeyState(ctx, parsed.RawID)
	switch {
	case errors.Is(err, idp.ErrNotFound):
		return refuse(reasonUnknown)
	case err != nil:
		return idp.User{}, nil, fmt.Errorf("users: sign in with a passkey: %w", err)
	case state.UserID != "" && found.User.ID != state.UserID:
		return refuse(reasonOwner)
	case state.UserID != "" && !slices.ContainsFunc(state.Allowed, func(id []byte) bool { return slices.Equal(id, parsed.RawID) }):
		return refuse(reasonOwner)
	case state.UserID == "" && len(parsed.Response.UserHandle) == 0,
		len(parsed.Response.UserHandle) > 0 && !slices.Equal(parsed.Response.UserHandle, found.Handle):
		return refuse(reasonOwner)
	}
	userID = found.User.ID
	p := found.Passkey

	// 4. The rest of section 7.2, the signature above all.
	person := passkeyUser{user: found.User, handle: found.Handle, passkeys: []idp.Passkey{p}}
	if data.Flags.HasBackupEligible() != p.BackupEligible {
		return refuse(reasonBackup)
	}
	if _, err := f.rp.ValidateLogin(person, f.session(state, found.Handle), parsed); err != nil {
		return refuse(reasonSignature)
	}
	if found.User.State != idp.UserActive {
		return refuse(reasonDisabled)
	}

	// 5. What the authenticator says about verification counts when it was
	// known to verify before, or when another factor stands beside it (steps 17
	// and 25).
	verified := data.Flags.HasUserVerified() && (p.UserVerified || state.UserID != "")
	if state.Required && !verified {
		return refuse(reasonVerification)
	}

	// 6. Use it up: the race for the challenge and the counter are decided here.
	use := idp.PasskeyUse{CredentialID: p.ID, UserID: userID, SignCount: data.Counter, UserVerified: verified, BackupState: data.Flags.HasBackupState(), At: f.now()}
	err = f.store.UsePasskey(ctx, use, idp.Challenge{Value: state.Challenge, ExpiresAt: state.Until}, f.passkeyEvent(idp.EventFactorUsed, userID, p.AAGUID))
	switch {
	case errors.Is(err, idp.ErrAlreadyUsed):
		return refuse(reasonReplayed)
	case errors.Is(err, idp.ErrConflict):
		return refuse(reasonCounter)
	case err != nil:
		return idp.User{}, nil, fmt.Errorf("users: sign in with a passkey: %w", err)
	}
	return found.User, passkeyFactors(p, verified), nil
}

// passkeyFactors says what a use of the passkey proves.
func passkeyFactors(p idp.Passkey, verified bool) []idp.Factor {
	factors := []idp.Factor{idp.FactorPasskey}
	if verified {
		factors = append(factors, idp.FactorVerified)
	}
	if !p.BackupEligible {
		factors = append(factors, idp.FactorBound)
	}
	return factors
}

func (f *Factors) passkeyEvent(kind idp.EventKind, userID string, aaguid [16]byte) idp.Event {
	e := f.event(kind, userID, idp.FactorPasskey)
	if id := idp.ID(aaguid); !id.IsZero() {
		e.Detail["aaguid"] = id.UUID()
	}
	return e
}

// transports returns the hints that may be stored: known and unknown ones, as
// far as they look like any.
func transports(all []protocol.AuthenticatorTransport) []string {
	var kept []string
	for _, t := range all {
		text := string(t)
		if text != "" && len(text) <= 32 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && len(kept) < maxTransports && !slices.Contains(kept, text) {
			kept = append(kept, text)
		}
	}
	return kept
}

// RenamePasskey gives a passkey another name: idp.ErrNotFound when the person
// has no such one, *idp.InvalidError for a name that is none.
func (f *Factors) RenamePasskey(ctx context.Context, userID string, credentialID []byte, name string) error {
	name, err := checkFactorName(name, passkeyName)
	if err != nil {
		return err
	}
	if err := f.store.RenamePasskey(ctx, userID, credentialID, name, f.event(idp.EventFactorChanged, userID, idp.FactorPasskey)); err != nil {
		return fmt.Errorf("users: rename a passkey: %w", err)
	}
	return nil
}

// RemovePasskey takes a passkey away: idp.ErrNotFound when the person has no
// such one. Sessions and tokens from before validAfter die; the zero time keeps
// them.
func (f *Factors) RemovePasskey(ctx context.Context, user idp.User, credentialID []byte, validAfter time.Time) error {
	event := f.telling(ctx, f.event(idp.EventFactorRemoved, user.ID, idp.FactorPasskey), user, idp.MailFactorPasskey, idp.MailFactorRemoved)
	if err := f.store.RemovePasskey(ctx, user.ID, credentialID, validAfter, event); err != nil {
		return fmt.Errorf("users: remove a passkey: %w", err)
	}
	return nil
}

// AcceptedPasskeys returns the argument of
// PublicKeyCredential.signalAllAcceptedCredentials (WebAuthn section 5.1.10), with
// which a page tells the browser after a removal what is left.
func (f *Factors) AcceptedPasskeys(ctx context.Context, userID string) (json.RawMessage, error) {
	if f.rp == nil {
		return nil, fmt.Errorf("users: an issuer without a domain has no passkeys: %w", idp.ErrNotFound)
	}
	fresh := make([]byte, userHandle)
	fillRandom(fresh)
	handle, err := f.store.UserHandle(ctx, userID, fresh)
	if err != nil {
		return nil, fmt.Errorf("users: list passkeys: %w", err)
	}
	has, err := f.Of(ctx, userID)
	if err != nil {
		return nil, err
	}
	accepted := struct {
		RPID   string   `json:"rpId"`
		UserID string   `json:"userId"`
		IDs    []string `json:"allAcceptedCredentialIds"`
	}{RPID: f.rp.Config.RPID, UserID: base64.RawURLEncoding.EncodeToString(handle), IDs: []string{}}
	for _, p := range has.Passkeys {
		accepted.IDs = append(accepted.IDs, base64.RawURLEncoding.EncodeToString(p.ID))
	}
	return json.Marshal(accepted)
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
