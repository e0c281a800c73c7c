package main

import (
	"context"
	"log/slog"
	"time"

	"idp/internal/outbound"
	"idp/internal/tracing"
)

// flushPatience is how long a stop waits for the last spans to be taken.
const flushPatience = 5 * time.Second

// traced has a server's work followed where the environment asks for it, and
// returns the log with the traces in it. What stop flushes is flushed last.
func (a *app) traced(ctx context.Context, logger *slog.Logger) (_ *slog.Logger, stop func(), err error) {
	a.tracing, err = tracing.New(ctx, tracing.Config{Getenv: a.getenv, Version: buildVersion(), Logger: logger})
	if err != nil {
		return nil, nil, withCode(exitConfiguration, err)
	}
	if a.tracing == nil {
		return logger, func() {}, nil
	}
	return slog.New(tracing.NewLogHandler(logger.Handler())), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushPatience)
		defer cancel()
		if err := a.tracing.Close(ctx); err != nil {
			logger.Warn("the last traces are lost", "cause", err)
		}
	}, nil
}

// outboundTracer follows what the server asks others, or is nil.
func (d *database) outboundTracer() outbound.Tracer {
	if d.tracing == nil {
		return nil
	}
	return d.tracing
}
