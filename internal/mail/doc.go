// Package mail sends messages to people.
//
// Whoever has something to tell makes an idp.Mail and hangs it, sealed, on the
// event that tells the same to the audit:
//
//	if m, ok := user.Mail(idp.PasswordChangedMail{At: now, Device: device}); ok {
//		sealed, err := master.SealMail(now, m)
//		…
//		event.Mail = append(event.Mail, sealed)
//	}
//	err = store.SetPassword(ctx, user.ID, hash, now, event)
//
// Every write method of the store that takes events stores their mail with them,
// in the same transaction, and leaves it out where it leaves out the event. So
// nothing is told that did not happen, nothing that happened is forgotten, and
// nobody waits for a mail server. User.Mail is for the verified address of an
// account; an idp.Mail with To set by hand is for all others: an address that is
// yet to be verified, somebody who is invited, the address from before a change.
// Links are paths; they become addresses here, below the configured issuer.
//
// A new kind of message is a struct and a line in idp/mail.go, a case in
// letter.go, and its texts in web/words.
//
// It promises:
//   - that what a message says, its links and its address lie in the database
//     sealed under the master key, and that a row goes when its mail was sent;
//   - that each mail is claimed by one node before it is sent. It is sent once,
//     unless a node dies between the server's answer and its own note of it; both
//     copies then have one Message-ID;
//   - that a mail is tried for a day, the less often the longer it takes, but not
//     when its link has expired. One that was given up stays for 30 days, and the
//     audit tells of either end;
//   - that what people choose, such as names, becomes neither header nor markup,
//     and nothing that a mail program would make a link of.
//
// It refuses credentials without TLS, a server without STARTTLS where that is
// configured, addresses that are not one plain address, and links that lead
// away from the issuer.
//
// Read letter.go for what is said, sender.go for when, smtp.go for how.
package mail
