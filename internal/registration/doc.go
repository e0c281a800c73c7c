// Package registration lets clients register themselves, and read, change and
// delete what they registered: OAuth 2.0 Dynamic Client Registration (RFC 7591)
// and its management (RFC 7592), OpenID Connect Dynamic Client Registration
// 1.0.
//
// It promises that such a client gets nothing that the operator's policy does
// not give to all of them: what it may ask for, how strict the protocol is
// towards it and whether people are asked are not its to say, neither when it
// registers nor when it changes. Fields that are not known are ignored (RFC
// 7591 section 2); everything else is checked as an operator's input is. Of
// the addresses that a client names, registration itself reads only
// sector_identifier_uri. Software statements are refused: no issuer of them is
// trusted.
//
// Read service.go first, then metadata.go for what a client may say.
package registration
