package idp

import "slices"

// Rule names something that a request is decided by. The names are stable.
type Rule string

// The rules that requests of clients are decided by.
const (
	RuleRequestWellFormed  Rule = "request.well_formed"
	RuleRequestPushed      Rule = "request.pushed"
	RuleRequestURI         Rule = "request_uri.alive"
	RuleRequestObject      Rule = "request_object.valid"
	RuleResponseType       Rule = "response_type.allowed"
	RuleResponseMode       Rule = "response_mode.allowed"
	RuleNonce              Rule = "nonce.present"
	RuleClientKnown        Rule = "client.known"
	RuleClientEnabled      Rule = "client.enabled"
	RuleClientDocument     Rule = "client.document"
	RuleClientPresented    Rule = "client.presented"
	RuleClientMethod       Rule = "client.method"
	RuleClientSecret       Rule = "client.secret"
	RuleClientAssertion    Rule = "client.assertion"
	RuleClientAttempts     Rule = "client.attempts"
	RuleClientConfidential Rule = "client.confidential"
	RuleClientReset        Rule = "client.reset"
	RuleClientGroups       Rule = "client.groups"
	RuleGrantTypeKnown     Rule = "grant_type.known"
	RuleGrantTypeAllowed   Rule = "grant_type.allowed"
	RuleRedirectPresent    Rule = "redirect_uri.present"
	RuleRedirectExact      Rule = "redirect_uri.exact"
	RuleRedirectSame       Rule = "redirect_uri.same"
	RulePKCEChallenge      Rule = "pkce.challenge"
	RulePKCEVerifier       Rule = "pkce.verifier"
	RuleScopeAllowed       Rule = "scope.allowed"
	RuleScopeGranted       Rule = "scope.granted"
	RuleScopePerson        Rule = "scope.person"
	RuleScopeRole          Rule = "scope.role"
	RuleResourceAllowed    Rule = "resource.allowed"
	RuleResourceOne        Rule = "resource.one"
	RuleResourceGranted    Rule = "resource.granted"
	RuleGrantReadable      Rule = "grant.readable"
	RuleGrantKnown         Rule = "grant.known"
	RuleGrantClient        Rule = "grant.client"
	RuleGrantAlive         Rule = "grant.alive"
	RuleGrantFresh         Rule = "grant.fresh"
	RuleGrantConsent       Rule = "grant.consent"
	RuleGrantScope         Rule = "grant.scope"
	RuleCodeUnused         Rule = "code.unused"
	RuleCodeFresh          Rule = "code.fresh"
	RuleRefreshCurrent     Rule = "refresh.current"
	RuleRefreshFresh       Rule = "refresh.fresh"
	RuleIDTokenHint        Rule = "id_token_hint.valid"
)

// The rules that people are decided by.
const (
	RuleSessionAlive    Rule = "session.alive"
	RuleSessionRunning  Rule = "session.running"
	RuleUserActive      Rule = "user.active"
	RuleUserReset       Rule = "user.reset"
	RuleUserKnown       Rule = "user.known"
	RuleSignInRecent    Rule = "signin.recent"
	RuleSignInLevel     Rule = "signin.level"
	RuleSignInPerson    Rule = "signin.person"
	RuleSignInAccount   Rule = "signin.account"
	RuleSignInRegister  Rule = "signin.register"
	RuleSignInAttempts  Rule = "signin.attempts"
	RulePasswordSet     Rule = "password.set"
	RulePasswordCorrect Rule = "password.correct"
	RuleFactorNeeded    Rule = "factor.needed"
	RuleFactorCorrect   Rule = "factor.correct"
	RuleConsentGiven    Rule = "consent.given"
	RuleConsentAnswer   Rule = "consent.answer"
	RuleFormFilled      Rule = "form.filled"
	RuleFormOrigin      Rule = "form.origin"
	RuleFlowKnown       Rule = "flow.known"
	RuleFlowBrowser     Rule = "flow.browser"
	RuleFlowFresh       Rule = "flow.fresh"
)

// The rules that this server is decided by.
const (
	RuleServerClock     Rule = "server.clock"
	RuleServerAvailable Rule = "server.available"
	RuleServerWorks     Rule = "server.works"
)

// RuleText is a rule in words.
type RuleText struct {
	Rule      Rule
	Sentence  string // what it demands
	Reference string // where that is written: a section, or a page of docs
	Hint      string // what changes the outcome when it failed
}

// Text returns the rule in words. A rule of another version of this program has
// none but its name.
func (r Rule) Text() RuleText {
	for i := range ruleTexts {
		if ruleTexts[i].Rule == r {
			return ruleTexts[i]
		}
	}
	return RuleText{Rule: r, Sentence: string(r)}
}

// Rules returns all rules in words, in the order in which a request meets them.
func Rules() []RuleText { return slices.Clone(ruleTexts) }

var ruleTexts = []RuleText{
	{
		RuleRequestWellFormed, "The request is written as the specification has it: method, content type, each parameter once, known values.", "RFC 6749 sections 3.1 and 3.2",
		"Correct what the fact answer names. Libraries that are kept up to date write requests well; look for code that builds them by hand.",
	},
	{
		RuleRequestPushed, "A client that has to push its authorization requests does so, and one that has to sign them does.", "RFC 9126 section 5, RFC 9101 section 10.5",
		"Have the application send the request to /oauth2/par (or in a signed request object) first, or change require_pushed_authorization_requests or require_signed_request_object of the client.",
	},
	{
		RuleRequestURI, "A request_uri was handed out here, to this client, is not over, and was not used for an authorization before.", "RFC 9126 section 4, RFC 9101 section 5.2",
		"Have the application push the request anew for every sign-in, and send the browser on at once. Bookmarks and the back button lead here.",
	},
	{
		RuleRequestObject, "A request object is signed (and encrypted) by the client with one of its registered keys, for this issuer, and says nothing else than the parameters beside it.", "RFC 9101 sections 5, 6 and 10",
		"Compare the client's jwks or jwks_uri and request_object_signing_alg with what the application signs with; aud must be the issuer, exp in the future.",
	},
	{
		RuleClientKnown, "The client_id is one that is registered here.", "RFC 6749 section 2.2",
		"Compare the application's client_id with idp client list: another environment's, or one with a space or a quote around it, is unknown here.",
	},
	{
		RuleClientEnabled, "The client is not disabled.", "docs/clients.md",
		"Enable it: idp client enable CLIENT.",
	},
	{
		RuleClientDocument, "A client_id that is the address of a document leads to one that can be read and is accepted here.", "OAuth Client ID Metadata Document (draft) section 4",
		"Read the document from the server's machine; registration.metadata_documents and registration.document_hosts say which are accepted.",
	},
	{
		RuleClientPresented, "The client presents itself by exactly one method, completely.", "RFC 6749 section 2.3",
		"Send client_id and secret either in the Authorization header or in the body. In the header both are form-encoded before base64.",
	},
	{
		RuleClientMethod, "The client authenticates by the method that it is registered for.", "RFC 7591 section 2, token_endpoint_auth_method",
		"Set the application's method to what the fact registered says, or change the client: idp client update CLIENT --token-endpoint-auth-method METHOD.",
	},
	{
		RuleClientSecret, "The secret is one of the client's secrets that has not expired.", "RFC 6749 section 2.3.1",
		"Copy the secret again without spaces or line ends, or make another: idp client rotate-secret CLIENT. Secrets are shown once; nobody can read the old one.",
	},
	{
		RuleClientAssertion, "A client assertion is signed with the client's key, addressed to this issuer, not expired, and used once.", "RFC 7523 section 3",
		"Check the clock of the application's machine, aud (the issuer), iss and sub (the client_id), a new jti each time, and the keys of the client.",
	},
	{
		RuleClientAttempts, "The client did not fail to authenticate, or push requests, too often from this address.", "RFC 6749 section 2.3.1",
		"Wait as long as Retry-After says. Look for an application that repeats a wrong secret.",
	},
	{
		RuleClientConfidential, "Only clients that can keep a secret do this.", "RFC 7662 section 2.1",
		"Use a client with a secret or a key for it.",
	},
	{
		RuleRedirectPresent, "The request names a redirect_uri, unless one is registered and the request is none of OpenID Connect.", "OpenID Connect Core section 3.1.2.1",
		"Have the application send redirect_uri.",
	},
	{
		RuleRedirectExact, "The redirect_uri is one of those registered, character by character; loopback addresses may differ in the port.", "RFC 9700 section 4.1.3",
		"Register what the application sends (idp client update CLIENT --redirect-uri …), or have it send what is registered. http for https, a slash at the end and another host are the usual differences; the fact differs_in says which.",
	},
	{
		RuleResponseType, "The client is registered for the response_type.", "RFC 6749 section 3.1.1",
		"Have the application use code. The older types need the profile oidc-legacy and response_types of the client.",
	},
	{
		RuleResponseMode, "The response_mode is one that carries this response safely.", "OAuth 2.0 Form Post Response Mode section 2",
		"Leave response_mode out, or use query (for a code), fragment or form_post.",
	},
	{
		RuleNonce, "A request for an ID token through the browser has a nonce.", "OpenID Connect Core section 3.2.2.1",
		"Have the application send a new random nonce, and compare it.",
	},
	{
		RulePKCEChallenge, "The authorization request carries an S256 code_challenge.", "RFC 7636 section 4.3, RFC 9700 section 2.1.1",
		"Turn PKCE on in the application's library. A confidential client that cannot may go without: see docs/clients.md.",
	},
	{
		RuleScopeAllowed, "The client may ask for every scope that it names, and each belongs to a resource that the request is for.", "RFC 6749 section 3.3",
		"Add the scope to the client (idp client update CLIENT --scope …) and its resource to the client's audience, or have the application ask for less.",
	},
	{
		RuleScopePerson, "Scopes about a person are asked for where a person is.", "OpenID Connect Core section 5.4",
		"Leave openid, profile, email and their like out of client_credentials requests.",
	},
	{
		RuleResourceAllowed, "The client may ask for the resource, which is registered here.", "RFC 8707 section 2",
		"Register the resource (idp resource create), add it to the client's audience, and send its audience as resource, character by character.",
	},
	{
		RuleResourceOne, "One token is for one resource.", "RFC 8707 section 2.2",
		"Ask for one token per resource, naming it by resource.",
	},
	{
		RuleIDTokenHint, "An id_token_hint is an ID token of this issuer, about the person that the request is about.", "OpenID Connect Core section 3.1.2.1",
		"Send an ID token that this issuer signed, as it came, or leave the hint out.",
	},
	{
		RuleSessionAlive, "Somebody is signed in at the browser, in a session that is neither ended nor over.", "OpenID Connect Core section 3.1.2.3",
		"Sign in. With prompt=none nobody is asked: the application has to begin a sign-in without it. The fact session says what became of the one before.",
	},
	{
		RuleSignInRegister, "The person makes an account first, as the request asks.", "Initiating User Registration via OpenID Connect section 4",
		"Leave prompt=create out for people who have an account.",
	},
	{
		RuleSignInRecent, "The last sign-in is as recent as the request (prompt=login, max_age) and the sign-in rules ask.", "OpenID Connect Core section 3.1.2.1",
		"Sign in again. The facts say who asks for it: the request's prompt or max_age, or a sign-in rule (idp policy list).",
	},
	{
		RuleSignInPerson, "The person who is signed in is the one that the request names.", "OpenID Connect Core section 3.1.2.2",
		"Sign in as that person, or have the application leave id_token_hint and the claim sub out.",
	},
	{
		RuleSignInAccount, "The person has chosen the account, where the request asks for it.", "OpenID Connect Core section 3.1.2.1",
		"Choose an account, or leave prompt=select_account out.",
	},
	{
		RuleClientGroups, "The person is in one of the groups that the client is for.", "docs/clients.md",
		"Add the person to a group of the fact allowed_groups (idp group add-member), or change the client's groups.",
	},
	{
		RuleScopeRole, "The person holds a role that allows something of what is asked for.", "docs/people.md",
		"Give the person, or a group of theirs, a role with the scope: idp role assign.",
	},
	{
		RuleSignInLevel, "The sign-in is as strong as the sign-in rules and the request ask.", "OpenID Connect Core section 5.5.1.1, docs/people.md",
		"Sign in with another factor; the fact wanted says how strong. The rules that ask for it are in the fact rules (idp policy list).",
	},
	{
		RuleConsentGiven, "The person has allowed the client what it asks for, or need not be asked.", "RFC 6749 section 10.2, OpenID Connect Core section 3.1.2.4",
		"The person allows it on the page that follows. For an application of your own skip_consent spares them the question; prompt=none never asks.",
	},
	{
		RuleConsentAnswer, "The person did not refuse.", "RFC 6749 section 4.1.2.1",
		"Nothing is wrong: the person said no. They may begin again.",
	},
	{
		RuleGrantTypeKnown, "The grant_type is one that this server knows.", "RFC 6749 section 5.2",
		"Use authorization_code, refresh_token or client_credentials.",
	},
	{
		RuleGrantTypeAllowed, "The client is registered for the grant_type.", "RFC 6749 section 5.2",
		"Add it: idp client update CLIENT --grant-type …",
	},
	{
		RuleGrantReadable, "The code or token was made here and arrived whole.", "RFC 6749 section 5.2",
		"Look for what cuts or changes it on its way: a log's line length, encoding twice, another environment's token, another master key.",
	},
	{
		RuleGrantKnown, "What the code or token stands for is still there.", "RFC 6749 section 5.2",
		"It ended long ago, or belongs to another database. Begin a new sign-in.",
	},
	{
		RuleGrantClient, "The code or token was given to the client that presents it.", "RFC 6749 sections 4.1.3 and 6, RFC 9700 section 4.14.2",
		"Use the client_id that the sign-in was begun with. If nobody mixed them up, somebody has what is not theirs.",
	},
	{
		RuleGrantAlive, "Neither the grant nor its client, person, session or consent was ended.", "RFC 9700 section 4.14.2",
		"Begin a new sign-in. The audit says who ended it: idp audit list --client CLIENT.",
	},
	{
		RuleClientReset, "Nothing of the client's was revoked since.", "docs/operations.md",
		"Begin a new sign-in: everything that the client was given before is revoked.",
	},
	{
		RuleUserActive, "The person's account is active.", "docs/people.md",
		"Enable it: idp user enable USER. Somebody who is invited or locked follows the link that they were sent.",
	},
	{
		RuleUserReset, "The person's sessions were not ended since, by a new password or by an operator.", "docs/people.md",
		"The person signs in again.",
	},
	{
		RuleSessionRunning, "The session that it was granted in was not ended.", "OpenID Connect RP-Initiated Logout section 2",
		"The person signed out, or was signed out. Begin a new sign-in.",
	},
	{
		RuleGrantConsent, "The person did not withdraw what they allowed.", "RFC 9700 section 4.14.2",
		"The person took it back on their account page, or an operator did. Begin a new sign-in.",
	},
	{
		RuleGrantFresh, "The grant's absolute end has not come.", "RFC 9700 section 4.14.2",
		"Begin a new sign-in. refresh_token_lifetime of the client and lifetimes.refresh_absolute say how long grants live.",
	},
	{
		RuleGrantScope, "The client may still have every scope that was granted.", "RFC 6749 section 5.2",
		"Give the scope back to the client, or begin a new sign-in.",
	},
	{
		RuleScopeGranted, "A token request asks for no more scope than was granted.", "RFC 6749 section 6",
		"Ask for less, or leave scope out; for more, begin a new sign-in.",
	},
	{
		RuleResourceGranted, "A token request asks for a resource that was granted.", "RFC 8707 section 2.2",
		"Name the resource in the authorization request already.",
	},
	{
		RuleCodeUnused, "The code was not used before.", "RFC 6749 section 4.1.2",
		"Look for what sends it twice: a retry, a page loaded again, two servers behind one address. If it is none of these, the code was stolen; everything that came of it is revoked.",
	},
	{
		RuleCodeFresh, "The code is exchanged within its lifetime.", "RFC 6749 section 4.1.2",
		"Exchange it at once. Compare the clocks of the nodes; lifetimes.code says how long a code lives.",
	},
	{
		RuleRedirectSame, "The token request names the redirect_uri of the authorization request, character by character.", "RFC 6749 section 4.1.3",
		"Have the application send the same value in both. The grant is ended: begin a new sign-in.",
	},
	{
		RulePKCEVerifier, "The code_verifier is the one whose hash the authorization request carried.", "RFC 7636 section 4.6",
		"Keep one verifier per sign-in, in the same browser session; two tabs or two servers overwrite each other's. The grant is ended: begin a new sign-in.",
	},
	{
		RuleRefreshCurrent, "The refresh token is the newest of its family.", "RFC 9700 section 4.14.2",
		"Keep the new refresh token of every answer, and let one process refresh at a time. If that is so, the token was stolen; everything that came of it is revoked.",
	},
	{
		RuleRefreshFresh, "The refresh token was used recently enough.", "RFC 9700 section 4.14.2",
		"Begin a new sign-in. refresh_token_idle of the client and lifetimes.refresh_idle say how long a token may lie unused.",
	},
	{
		RuleFormFilled, "The form has what it asks for, in a form that can be read.", "docs/people.md",
		"Fill the form in again.",
	},
	{
		RuleFormOrigin, "A form comes from a page of this server.", "RFC 6749 section 10.12",
		"Open the page at the issuer's address. A proxy that changes Origin or Sec-Fetch-Site leads here, too.",
	},
	{
		RuleFlowKnown, "The form or link belongs to a sign-in that this server began.", "RFC 6749 section 10.12",
		"Begin at the application again. Another master key makes all forms from before unknown.",
	},
	{
		RuleFlowBrowser, "The sign-in goes on in the browser that it began in.", "RFC 6749 section 10.12",
		"Begin at the application again, in one browser, with cookies allowed for the issuer.",
	},
	{
		RuleFlowFresh, "The sign-in is finished in time.", "docs/configuration.md",
		"Begin again; lifetimes.flow says how long there is.",
	},
	{
		RuleSignInAttempts, "Not too many sign-ins failed for this account, this address or this installation.", "NIST SP 800-63B section 5.2.2",
		"Wait as long as the page says; the fact limit says which one. idp audit list --kind login.* shows who tried.",
	},
	{
		RuleUserKnown, "There is an account with this user name or verified address.", "docs/people.md",
		"Look for the account: idp user list. What was typed is not kept.",
	},
	{
		RulePasswordSet, "The account has a password that can be verified.", "docs/people.md",
		"Set one: idp user set-password USER, or have the person ask for a link.",
	},
	{
		RulePasswordCorrect, "The password is the account's.", "NIST SP 800-63B section 5.1.1",
		"The person tries again, or asks for a link to a new one.",
	},
	{
		RuleFactorNeeded, "Somebody who has a second factor proves it.", "docs/people.md",
		"The person proves it on the page that follows.",
	},
	{
		RuleFactorCorrect, "The code or passkey proves what it should.", "RFC 6238 section 5.2, Web Authentication Level 3 section 7.2",
		"Compare the clock of the person's device; a code is good once. Who lost a factor: idp user reset-factors USER.",
	},
	{
		RuleServerClock, "The clocks of nodes and database agree.", "docs/operations.md",
		"Something was issued in the future: synchronise the clocks of the machines.",
	},
	{
		RuleServerAvailable, "The database and what else the server needs can be reached.", "docs/operations.md",
		"Try again; idp doctor and the log tell what is away.",
	},
	{
		RuleServerWorks, "The server does not fail.", "docs/operations.md",
		"The log record with this request id holds the cause.",
	},
}
