package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Config is what Tracing is made of. Every field is needed.
type Config struct {
	// Getenv reads the process' environment, which the library reads as well.
	Getenv  func(name string) string
	Version string // of this program
	Logger  *slog.Logger
}

// Tracing sends spans to a receiver. Its methods may be called from many
// goroutines.
type Tracing struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	remote   propagation.TraceContext
}

// New returns what the environment asks for: nil where it asks for no traces,
// an error that names the variable where it cannot be meant. No receiver is
// contacted yet.
func New(ctx context.Context, cfg Config) (*Tracing, error) {
	if yes, err := wanted(cfg.Getenv); err != nil || !yes {
		return nil, err
	}
	described, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName("idp"), semconv.ServiceVersion(cfg.Version)),
		resource.WithFromEnv(), // counts more
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	receiver, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("OTEL_EXPORTER_OTLP_…: %w", err)
	}
	// Spans wait in a queue that is never waited for: what does not fit is dropped.
	provider := sdktrace.NewTracerProvider(sdktrace.WithResource(described),
		sdktrace.WithBatcher(&reporting{SpanExporter: receiver, logger: cfg.Logger}))
	return &Tracing{provider: provider, tracer: provider.Tracer("idp")}, nil
}

// Close sends what is left, for as long as ctx lasts.
func (t *Tracing) Close(ctx context.Context) error {
	err := t.provider.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("the receiver of traces did not take the last ones in time")
	}
	return err
}

// reporting is an exporter whose failures are in the log: when they begin and
// when they end.
type reporting struct {
	sdktrace.SpanExporter
	logger *slog.Logger
	away   atomic.Bool
}

// ExportSpans implements sdktrace.SpanExporter.
func (r *reporting) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	err := r.SpanExporter.ExportSpans(ctx, spans)
	switch was := r.away.Swap(err != nil); {
	case err != nil && !was:
		r.logger.Warn("traces are lost: their receiver does not take them", "cause", err)
	case err == nil && was:
		r.logger.Info("traces are taken again")
	}
	return nil // told; the library would tell it to stderr
}

// NewLogHandler returns a handler of log records that adds the trace to which a
// record's context belongs.
func NewLogHandler(next slog.Handler) slog.Handler { return logHandler{next} }

type logHandler struct{ slog.Handler }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record = record.Clone()
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.Handler.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler { return logHandler{h.Handler.WithGroup(name)} }
