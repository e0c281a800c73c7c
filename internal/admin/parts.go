package admin

// Why parts of a client cannot be registered: for who reads clients from
// elsewhere, and leaves such parts out and says so. Each is empty if it can.

// RedirectURIFault judges a redirect URI, of a native application or another.
func RedirectURIFault(uri string, native bool) string { return redirectURIFault(uri, native) }

// OriginFault judges an origin whose scripts may call for a client.
func OriginFault(origin string) string { return originFault(origin) }

// PageFault judges the address of a page.
func PageFault(uri string) string { return webURLFault(uri) }

// SecretFault judges a secret of a client that authenticates by a method.
func SecretFault(secret, method string) string { return secretFault(secret, method) }
