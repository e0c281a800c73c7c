// Package tracing lets OpenTelemetry follow a request: a span for the request,
// one for each piece of work that the database does for it, one for each
// request that the server itself makes. The environment's standard variables
// (OTEL_…) rule it; where they name no endpoint there is no Tracing at all, and
// nothing is paid for it.
//
// It promises that a trace holds nothing secret and names no person: routes as
// their patterns, statements without their values, hosts without paths, the
// identifiers of requests and clients. It promises that a receiver that is away,
// slow or full costs spans and nothing else.
//
// It refuses to be steered by strangers (W3C Trace Context section 3.4 leaves
// that open): which trace a request belongs to, and whether it is sampled, is
// believed from a trusted proxy alone. From anybody else it would let them have
// every request recorded at our cost, or none of their own. What they name
// becomes a link of a trace that starts here. The server's own requests go to
// addresses that others chose, so they carry no trace context.
//
// Read tracing.go first, then environment.go for what is configured how.
package tracing
