package tracing

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"idp/internal/idp"
)

// Names of what the conventions of OpenTelemetry have no name for.
const (
	keyRequestID = attribute.Key("idp.request_id")
	keyClientID  = attribute.Key("idp.client_id")
	keyGrantType = attribute.Key("idp.grant_type")
	keyOutcome   = attribute.Key("idp.outcome")
	keyPurpose   = attribute.Key("idp.purpose")
)

// Request begins to follow a request that came in; what it returns is called
// once it was answered, with the pattern of its route, empty for none. Only a
// trusted proxy says which trace the request belongs to.
func (t *Tracing) Request(ctx context.Context, header http.Header, trusted bool) (context.Context, func(route, method string, status int, record *idp.Request)) {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}
	sender := trace.SpanContextFromContext(t.remote.Extract(context.Background(), propagation.HeaderCarrier(header)))
	switch {
	case !sender.IsValid():
	case trusted:
		ctx = trace.ContextWithRemoteSpanContext(ctx, sender)
	default:
		options = append(options, trace.WithLinks(trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: sender.TraceID(), SpanID: sender.SpanID(), Remote: true, // and none of the state that comes with it
		})}))
	}
	ctx, span := t.tracer.Start(ctx, "request", options...)
	return ctx, func(route, method string, status int, record *idp.Request) {
		defer span.End()
		if !span.IsRecording() {
			return
		}
		if method == "OTHER" {
			method = "_OTHER" // as the conventions have it
		}
		span.SetName(method)
		attributes := []attribute.KeyValue{
			semconv.HTTPRequestMethodKey.String(method), semconv.HTTPResponseStatusCode(status), keyRequestID.String(record.ID),
		}
		text := func(key attribute.Key, value string) {
			if value != "" {
				attributes = append(attributes, key.String(valid(value)))
			}
		}
		if route != "" {
			span.SetName(method + " " + route)
			text(semconv.HTTPRouteKey, route)
		}
		text(keyClientID, record.ClientID)
		text(keyGrantType, record.GrantType)
		text(keyOutcome, record.Outcome)
		if status >= http.StatusInternalServerError {
			text(semconv.ErrorTypeKey, strconv.Itoa(status))
			span.SetStatus(codes.Error, "")
		}
		span.SetAttributes(attributes...)
	}
}

// valid is a text that others chose as it may be sent: one that is no UTF-8 would
// take all spans with it that are sent together.
func valid(s string) string { return strings.ToValidUTF8(s[:min(len(s), 256)], "") }

// Query begins to follow work of the database for a request that is followed,
// and only for such: system is the engine, summary what is done in a few words,
// text the statements without their values.
func (t *Tracing) Query(ctx context.Context, system, summary, text string) (context.Context, func(error)) {
	if !trace.SpanFromContext(ctx).IsRecording() {
		return ctx, func(error) {}
	}
	if system == "postgres" {
		system = "postgresql" // as the conventions have it
	}
	attributes := []attribute.KeyValue{semconv.DBSystemNameKey.String(system), semconv.DBQuerySummary(summary)}
	if text != "" {
		attributes = append(attributes, semconv.DBQueryText(text))
	}
	ctx, span := t.tracer.Start(ctx, summary, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return ctx, func(err error) {
		if fault := faultOf(err); fault != "" {
			span.SetAttributes(semconv.ErrorTypeKey.String(fault))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}

// faultOf says in a word what the database could not do. That something is not
// there, or there already, is an answer. The words of an error may repeat values.
func faultOf(err error) string {
	switch {
	case err == nil, errors.Is(err, idp.ErrNotFound), errors.Is(err, idp.ErrConflict), errors.Is(err, idp.ErrAlreadyUsed), errors.Is(err, idp.ErrThrottled):
		return ""
	case errors.Is(err, idp.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "_OTHER"
}

// Fetch begins to follow a request that the server makes; what it returns is
// called with the status of the answer, or with the reason why there is none.
// Nothing but the host of the address is kept.
func (t *Tracing) Fetch(ctx context.Context, method string, address *url.URL) (context.Context, func(status int, reason string)) {
	if within := trace.SpanFromContext(ctx); within.SpanContext().IsValid() && !within.IsRecording() {
		return ctx, func(int, string) {}
	}
	attributes := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(method), semconv.URLScheme(address.Scheme), semconv.ServerAddress(valid(address.Hostname())),
	}
	if port, err := strconv.Atoi(address.Port()); err == nil {
		attributes = append(attributes, semconv.ServerPort(port))
	}
	if errand := idp.ErrandFrom(ctx); errand.Purpose != "" {
		attributes = append(attributes, keyPurpose.String(errand.Purpose), keyClientID.String(errand.ClientID))
	}
	ctx, span := t.tracer.Start(ctx, method, trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes...))
	return ctx, func(status int, reason string) {
		if status != 0 {
			span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		}
		if reason == "" && status >= http.StatusBadRequest {
			reason = strconv.Itoa(status)
		}
		if reason != "" {
			span.SetAttributes(semconv.ErrorTypeKey.String(reason))
			span.SetStatus(codes.Error, "")
		}
		span.End()
	}
}
