// Package login is what a person does at the issuer: sign in, choose an
// account, allow or deny what an application asks, sign out.
//
// A person arrives at the authorization endpoint, which decides what must
// happen next and sends the browser here with a sealed [idp.Flow]. No page
// calls another: each ends in a 303 back to the authorization endpoint, or to
// the start page when no application is waiting (RFC 9700 section 4.12).
//
// It promises:
//   - a new session identifier at every sign-in, the old session ended;
//   - that a form is good only in the browser that it was shown in, from this
//     origin, and for as long as its flow lives (RFC 6749 section 10.12,
//     RFC 9700 section 4.7);
//   - that allowing allows what the page showed, and nothing else;
//   - the same answer and work for a wrong password and an unknown user;
//   - that a session ends by the person's answer, or by the ID token of that
//     very session on a page of its own (OpenID Connect RP-Initiated Logout
//     section 2), and that the browser is then sent to registered addresses only;
//   - that no page can be framed, cached, or made to load or run anything from
//     elsewhere. Two pages differ by design: the frame of OpenID Connect Session
//     Management may be framed, and the page after a sign-out frames the
//     applications that asked to hear of it.
//
// It refuses ambiguity: two cookies of one name count as none, a form field
// sent twice is an error.
//
// Read login.go first (what it needs and the table of methods), then guard.go
// (what every form must pass).
package login
