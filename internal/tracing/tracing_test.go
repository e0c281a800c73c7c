package tracing_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"idp/internal/idp"
	"idp/internal/tracing"
)

// receiver takes spans as a collector does.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	spans  []*spans.Span
	header http.Header
	text   string
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(request.Body)
		var export collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &export)
		}
		if err != nil || request.URL.Path != "/v1/traces" {
			t.Errorf("%s %s: %v", request.Method, request.URL, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.header, r.text = request.Header, r.text+export.String()
		for _, resource := range export.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				r.spans = append(r.spans, scope.Spans...)
			}
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", r.URL)
	return r
}

// received waits for nothing: it is asked after Close.
func (r *receiver) received(name string) *spans.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, span := range r.spans {
		if span.Name == name {
			return span
		}
	}
	return nil
}

func attribute(span *spans.Span, key string) string {
	for _, a := range span.Attributes {
		if a.Key == key {
			if n := a.Value.GetIntValue(); n != 0 {
				return strconv.FormatInt(n, 10)
			}
			return a.Value.GetStringValue()
		}
	}
	return ""
}

func open(t *testing.T, log io.Writer) *tracing.Tracing {
	tr, err := tracing.New(t.Context(), tracing.Config{Getenv: os.Getenv, Version: "1.2.3", Logger: slog.New(slog.NewJSONHandler(log, nil))})
	require.NoError(t, err)
	require.NotNil(t, tr)
	return tr
}

// Without an endpoint, or switched off, there is nothing at all; what cannot be
// meant is refused, and no secret is repeated.
func TestEnvironment(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"
	for _, c := range []struct {
		env    string
		traces bool
		fault  string
	}{
		{"", false, ""},
		{"OTEL_SERVICE_NAME=idp OTEL_TRACES_SAMPLER=always_on", false, ""},
		{endpoint, true, ""},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://traces.example.com/v1/traces", true, ""},
		{endpoint + " OTEL_SDK_DISABLED=TRUE", false, ""},
		{endpoint + " OTEL_SDK_DISABLED=false", true, ""},
		{endpoint + " OTEL_TRACES_EXPORTER=none", false, ""},
		{endpoint + " OTEL_TRACES_EXPORTER=otlp OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", true, ""},
		{endpoint + " OTEL_TRACES_SAMPLER=parentbased_traceidratio OTEL_TRACES_SAMPLER_ARG=0.1", true, ""},
		{endpoint + " OTEL_EXPORTER_OTLP_HEADERS=authorization=Bearer%20hunter2,x=y", true, ""},

		{endpoint + " OTEL_TRACES_EXPORTER=zipkin", false, "OTEL_TRACES_EXPORTER"},
		{endpoint + " OTEL_EXPORTER_OTLP_PROTOCOL=grpc", false, "4318"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=localhost:4317", false, "OTEL_EXPORTER_OTLP_ENDPOINT"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://me:hunter2@collector:4318", false, "without user"},
		{endpoint + " OTEL_EXPORTER_OTLP_HEADERS=hunter2", false, "OTEL_EXPORTER_OTLP_HEADERS"},
		{endpoint + " OTEL_EXPORTER_OTLP_HEADERS=authorization=hunter2%", false, "entry 1"},
		{endpoint + " OTEL_TRACES_SAMPLER=often", false, "parentbased_always_on"},
		{endpoint + " OTEL_TRACES_SAMPLER=traceidratio OTEL_TRACES_SAMPLER_ARG=2", false, "from 0 to 1"},
	} {
		t.Run(c.env, func(t *testing.T) {
			values := map[string]string{}
			for entry := range strings.FieldsSeq(c.env) {
				name, value, _ := strings.Cut(entry, "=")
				values[name] = value
				t.Setenv(name, value)
			}
			tr, err := tracing.New(t.Context(), tracing.Config{Getenv: func(name string) string { return values[name] }, Logger: slog.New(slog.DiscardHandler)})
			if c.fault != "" {
				require.ErrorContains(t, err, c.fault)
				require.NotContains(t, err.Error(), "hunter2")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.traces, tr != nil)
			if tr != nil {
				require.NoError(t, tr.Close(t.Context()))
			}
		})
	}
}

// A request, what the database does for it and what is fetched for it are one
// trace; a record of the log names it.
func TestSpans(t *testing.T) {
	r := newReceiver(t)
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=acme")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=trial")
	tr := open(t, io.Discard)
	ctx, done := tr.Request(t.Context(), http.Header{}, false)

	var log bytes.Buffer
	slog.New(tracing.NewLogHandler(slog.NewJSONHandler(&log, nil))).InfoContext(ctx, "request")
	inner, ended := tr.Query(ctx, "postgres", "UPDATE grants", "UPDATE grants SET generation = $1")
	_, nested := tr.Query(inner, "postgres", "SELECT users", "SELECT 1")
	nested(idp.ErrNotFound)
	ended(fmt.Errorf("%w: alice", idp.ErrUnavailable))
	_, fetched := tr.Fetch(idp.WithErrand(ctx, "shop", "jwks_uri"), http.MethodGet, &url.URL{Scheme: "https", Host: "keys.example.com:8443", Path: "/secret-path", RawQuery: "q=secret-query"})
	fetched(http.StatusNotFound, "answer")
	record := &idp.Request{ID: "request-1", ClientID: "shop\xff", GrantType: "refresh_token", Outcome: "server_error", Subject: "alice", RemoteAddr: "192.0.2.1", UserAgent: "Curl", Cause: errors.New("secret cause")}
	done("/oauth2/token", "POST", http.StatusInternalServerError, record)

	// Outside of a request the database is not followed: it is asked all the time.
	_, ended = tr.Query(t.Context(), "sqlite", "SELECT revisions", "")
	ended(nil)
	require.NoError(t, tr.Close(t.Context()))

	require.Equal(t, "acme", r.header.Get("X-Tenant"))
	require.Contains(t, r.text, "deployment.environment.name")
	require.Len(t, r.spans, 4)
	server, update, read, get := r.received("POST /oauth2/token"), r.received("UPDATE grants"), r.received("SELECT users"), r.received("GET")
	for _, span := range []*spans.Span{server, update, read, get} {
		require.NotNil(t, span)
		require.Equal(t, server.TraceId, span.TraceId)
	}
	require.Equal(t, spans.Span_SPAN_KIND_SERVER, server.Kind)
	require.Empty(t, server.ParentSpanId)
	require.Equal(t, server.SpanId, update.ParentSpanId)
	require.Equal(t, update.SpanId, read.ParentSpanId)
	require.Equal(t, server.SpanId, get.ParentSpanId)
	for key, want := range map[string]string{
		"http.request.method": "POST", "http.route": "/oauth2/token", "http.response.status_code": "500", "error.type": "500",
		"idp.request_id": "request-1", "idp.client_id": "shop", "idp.grant_type": "refresh_token", "idp.outcome": "server_error",
	} {
		require.Equal(t, want, attribute(server, key), key)
	}
	require.Equal(t, spans.Status_STATUS_CODE_ERROR, update.Status.Code)
	require.Equal(t, "postgresql", attribute(update, "db.system.name"))
	require.Equal(t, "unavailable", attribute(update, "error.type"))
	require.NotEqual(t, spans.Status_STATUS_CODE_ERROR, read.Status.GetCode(), "that something is not there is an answer")
	require.Equal(t, "keys.example.com", attribute(get, "server.address"))
	require.Equal(t, "jwks_uri", attribute(get, "idp.purpose"))
	for _, never := range []string{"alice", "192.0.2.1", "Curl", "secret"} {
		require.NotContains(t, r.text, never)
	}

	var logged map[string]string
	require.NoError(t, json.Unmarshal(log.Bytes(), &logged))
	require.Equal(t, fmt.Sprintf("%x", server.TraceId), logged["trace_id"])
	require.Equal(t, fmt.Sprintf("%x", server.SpanId), logged["span_id"])
}

// W3C Trace Context section 3.4: whoever is not trusted cannot say which trace a
// request belongs to, nor whether it is recorded.
func TestStrangersDoNotSteer(t *testing.T) {
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for _, c := range []struct {
		name, sampler, flags string
		trusted, recorded    bool
	}{
		{"a proxy continues its trace", "parentbased_always_off", "01", true, true},
		{"a proxy does not have it recorded", "", "00", true, false},
		{"a stranger has nothing recorded", "parentbased_always_off", "01", false, false},
		{"a stranger hides nothing", "", "00", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiver(t)
			t.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			tr := open(t, io.Discard)
			header := http.Header{}
			header.Set("Traceparent", "00-"+trace+"-"+span+"-"+c.flags)
			header.Set("Tracestate", "vendor=stranger")
			header.Set("Baggage", "who=stranger")
			_, done := tr.Request(t.Context(), header, c.trusted)
			done("/userinfo", "GET", http.StatusOK, &idp.Request{})
			require.NoError(t, tr.Close(t.Context()))
			got := r.received("GET /userinfo")
			require.Equal(t, c.recorded, got != nil)
			if got == nil {
				return
			}
			require.Equal(t, c.trusted, fmt.Sprintf("%x", got.TraceId) == trace)
			if !c.trusted {
				require.Empty(t, got.ParentSpanId)
				require.Len(t, got.Links, 1)
				require.Equal(t, trace, fmt.Sprintf("%x", got.Links[0].TraceId))
				require.NotContains(t, r.text, "stranger")
			}
		})
	}
}

// A receiver that refuses is told of once, and again when it is back.
func TestReceiverThatRefuses(t *testing.T) {
	r := newReceiver(t)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
	r.status = http.StatusBadRequest
	var log lines
	tr := open(t, &log)
	request := func(route string) {
		_, done := tr.Request(context.Background(), http.Header{}, false)
		done(route, "GET", http.StatusOK, &idp.Request{})
		require.Eventually(t, func() bool { return r.received("GET "+route) != nil }, timeLimit, timeStep)
	}
	request("/a")
	require.Eventually(t, func() bool { return log.count("traces are lost") == 1 }, timeLimit, timeStep)
	request("/b")
	r.mu.Lock()
	r.status = http.StatusOK
	r.mu.Unlock()
	request("/c")
	require.NoError(t, tr.Close(t.Context()))
	require.Equal(t, 1, log.count("traces are lost"))
	require.Equal(t, 1, log.count("traces are taken again"))
}

const (
	timeLimit = 20 * time.Second
	timeStep  = 5 * time.Millisecond
)

// lines is a log that is read while it is written.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}
