package e2e

import (
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// traceReceiver takes traces as an OpenTelemetry collector does.
type traceReceiver struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*spans.Span
	text  strings.Builder // all that came, readable
}

func newTraceReceiver(t *testing.T) *traceReceiver {
	t.Helper()
	r := &traceReceiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil {
			t.Errorf("what came is no OTLP: %v", err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.text.WriteString(export.String())
		for _, resource := range export.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// named returns the spans of a name; those of a node that has ended are all there.
func (r *traceReceiver) named(name string) (found []*spans.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, span := range r.spans {
		if span.Name == name {
			found = append(found, span)
		}
	}
	return found
}

// names of the spans within a span.
func (r *traceReceiver) within(parent *spans.Span) (names []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, span := range r.spans {
		if slices.Equal(span.ParentSpanId, parent.SpanId) {
			names = append(names, span.Name)
		}
	}
	return names
}

// traceparentTransport sends every request as a part of one trace.
type traceparentTransport struct{ next http.RoundTripper }

const (
	foreignTrace  = "0af7651916cd43dd8448eb211c80319c"
	foreignParent = "00-" + foreignTrace + "-b7ad6b7169203331-00" // not sampled
)

func (t traceparentTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Traceparent", foreignParent)
	return t.next.RoundTrip(r)
}

// A sign-in is told to a receiver of traces: requests by their routes, with what
// the database and others did for them, and nothing secret. The log names the
// trace, what is left is sent before the end, and only a trusted proxy can say
// which trace a request belongs to.
func TestTraces(t *testing.T) {
	t.Parallel()
	EachEngine(t, func(t *testing.T, engine string) {
		receiver, host := newTraceReceiver(t), NewHost(t)
		settings := host.Outbound()
		settings["OTEL_EXPORTER_OTLP_ENDPOINT"] = receiver.URL
		settings["OTEL_SERVICE_NAME"] = "sign-in"
		settings["OTEL_BSP_SCHEDULE_DELAY"] = "3600000" // nothing is sent before the end
		inst := Install(t, engine, settings)
		alice := inst.NewUser(t)
		web := inst.WebClient(t)
		key := NewClientKey(t, "ES256")
		host.ServeJSON(JWKS(key))
		asserting := inst.NewClient(t, "--grant-type", "client_credentials", "--token-endpoint-auth-method", "private_key_jwt", "--jwks-uri", host.URL+"/jwks-"+Token()+".json")
		node := inst.Start(t)
		w := watching(node)
		b := w.browser(t, node)
		tokens := b.tokens(t, web, alice)
		node.Refresh(t, web, tokens.Refresh).Tokens(t)
		node.Userinfo(t, tokens.Access)
		assertion := key.Sign(t, AssertionClaims(asserting.ID, inst.Issuer, nil))
		node.anonymous(t, "/oauth2/token", Asserted(map[string][]string{"grant_type": {"client_credentials"}}, assertion)).Tokens(t)
		w.saw(assertion, web.Secret, alice.Username, alice.Password)
		strange := Token()
		node.request(t, node.HTTP, http.MethodGet, "/"+strange, "", nil)
		w.saw(strange)
		node.HTTP.Transport = traceparentTransport{node.HTTP.Transport}
		node.request(t, node.HTTP, http.MethodGet, "/.well-known/jwks.json", "", nil) // not to be recorded, says the proxy
		node.Stop(t)
		if code := node.Exit(t); code != 0 {
			t.Errorf("the node ended with %d", code)
		}

		for name, parts := range map[string][]string{
			"GET /oauth2/auth":   {"SELECT"},
			"POST /login":        {"SELECT users"},
			"POST /oauth2/token": {"SELECT", "BATCH UPDATE grants"},
			"GET /userinfo":      {"SELECT"},
			"GET":                {}, // nothing is there, and the key set of a client
		} {
			found := receiver.named(name)
			if len(found) == 0 {
				t.Errorf("there is no span %q", name)
			}
			var within []string
			for _, span := range found {
				within = append(within, receiver.within(span)...)
			}
			for _, part := range parts {
				if !slices.ContainsFunc(within, func(name string) bool { return strings.HasPrefix(name, part) }) {
					t.Errorf("in %q there is no %q, but %q", name, part, within)
				}
			}
		}
		if len(receiver.named("GET /.well-known/jwks.json")) != 0 {
			t.Error("a request is recorded that its proxy does not want to be")
		}
		text := receiver.text.String()
		for _, want := range []string{"sign-in", "service.version", "jwks_uri", "db.query.text"} {
			if !strings.Contains(text, want) {
				t.Errorf("the traces do not hold %q", want)
			}
		}
		for _, secret := range w.all() {
			for _, needle := range needles(secret) {
				if strings.Contains(text, needle) {
					t.Errorf("the traces hold the secret %q", needle)
				}
			}
		}
		quiet(t, w, node)
		logged := map[any]bool{}
		for _, record := range node.Records(t) {
			if record["msg"] == "request" {
				logged[record["trace_id"]] = true
			}
		}
		for _, span := range receiver.named("POST /oauth2/token") {
			if !logged[hex.EncodeToString(span.TraceId)] {
				t.Errorf("no record of the log names the trace %x", span.TraceId)
			}
		}
		if !logged[foreignTrace] {
			t.Error("the log does not name the proxy's trace")
		}

		// From a stranger the same header changes nothing.
		stranger := inst.Launch(t, map[string]string{"IDP_TRUSTED_PROXIES": "192.0.2.1/32"})
		stranger.WaitReady(t)
		stranger.HTTP.Transport = traceparentTransport{stranger.HTTP.Transport}
		stranger.request(t, stranger.HTTP, http.MethodGet, "/.well-known/jwks.json", "", nil)
		stranger.Stop(t)
		found := receiver.named("GET /.well-known/jwks.json")
		if len(found) != 1 || hex.EncodeToString(found[0].TraceId) == foreignTrace || len(found[0].Links) != 1 {
			t.Errorf("a stranger steers what is recorded: %v", found)
		}
	})
}

// A receiver that takes connections and never answers costs traces and nothing
// else, and a node ends in time.
func TestTracesIntoABlackHole(t *testing.T) {
	t.Parallel()
	hole, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	inst := Install(t, "sqlite", map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + hole.Addr().String(), "OTEL_BSP_SCHEDULE_DELAY": "10",
		"OTEL_BSP_MAX_QUEUE_SIZE": "16", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "4",
	})
	alice, web := inst.NewUser(t), inst.WebClient(t)
	node := inst.Start(t)
	tokens := node.SignIn(t, web, alice)
	held, err := hole.Accept() // it is being sent to
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for range 20 { // more than the queue takes
		tokens = node.Refresh(t, web, tokens.Refresh).Tokens(t)
	}
	node.Stop(t) // in time
	if code := node.Exit(t); code != 0 {
		t.Errorf("the node ended with %d", code)
	}
	if !strings.Contains(node.Logs(), "the last traces are lost") {
		t.Error("the log does not say that traces are lost")
	}
}

// What cannot be meant ends a start with the variable's name, and secrets in it
// are not repeated.
func TestTracesConfiguredWrong(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_HEADERS": "Bearer hunter2"})
	node := inst.Launch(t, nil)
	if code := node.Exit(t); code != 78 {
		t.Errorf("the node ended with %d", code)
	}
	if logs := node.Logs(); !strings.Contains(logs, "OTEL_EXPORTER_OTLP_HEADERS") || strings.Contains(logs, "hunter2") {
		t.Errorf("the start says %s", logs)
	}
}
