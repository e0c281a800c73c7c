// Package metrics counts and times what a node does, for Prometheus.
//
// It promises names that stay (docs/reference/metrics.md lists them, and a test
// holds the list), base units, and few series: routes by their pattern, clients
// and people not at all. Nothing that a client or a person chose becomes a
// label. What happens with every request costs no allocation.
//
// What is counted comes from two places that are there anyway: the audit's
// events once they are committed (events.go) and the record of each request
// (requests.go); besides, packages that take time tell how much by a function or
// an interface of their own. What can only be asked for is asked for when the
// metrics are read (sources.go).
//
// It is the only importer of the Prometheus client. Read metrics.go first.
package metrics
