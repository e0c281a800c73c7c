// Package web holds what people see: the templates and static files of the
// sign-in, consent, sign-out, start and error pages, and one typed struct for
// each page.
//
// It promises pages that work without scripts, load nothing from anywhere
// else, carry no inline script, style or event handler, and fit a strict
// Content-Security-Policy. It knows no domain type and no HTTP status: whoever
// serves a page fills its struct with plain words.
//
// It also holds what mail looks like: see mail.go.
//
// Read pages.go first, then templates/layout.html.
package web
