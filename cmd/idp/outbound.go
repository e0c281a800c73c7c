package main

import (
	"context"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"idp/internal/audit"
	"idp/internal/idp"
	"idp/internal/outbound"
)

// outboundFailures tells the operator which addresses of clients fail, once a
// minute for each: in the log, and in the audit where there is one.
type outboundFailures struct {
	logger *slog.Logger
	now    func() time.Time
	tally  *outbound.Tally[idp.Errand]
	audit  atomic.Pointer[audit.Recorder]
}

func newOutboundFailures(logger *slog.Logger, now func() time.Time) *outboundFailures {
	f := &outboundFailures{logger: logger, now: now}
	f.tally = outbound.NewTally(now, f.tell)
	return f
}

func (f *outboundFailures) auditTo(r *audit.Recorder) { f.audit.Store(r) }

func (f *outboundFailures) failed(ctx context.Context, failure outbound.Failure) {
	f.tally.Count(ctx, idp.ErrandFrom(ctx), failure)
}

func (f *outboundFailures) tell(ctx context.Context, errand idp.Errand, failure outbound.Failure, count int) {
	f.logger.WarnContext(ctx, "a registered address failed", "client_id", errand.ClientID, "purpose", errand.Purpose,
		"url", failure.Address, "reason", failure.Reason, "count", count, "cause", failure.Cause)
	if recorder := f.audit.Load(); recorder != nil {
		recorder.Note(ctx, idp.Event{
			Kind: idp.EventOutboundFailed, At: idp.Instant(f.now()), ClientID: errand.ClientID,
			Detail: map[string]string{"purpose": errand.Purpose, "reason": failure.Reason, "count": strconv.Itoa(count)},
		})
	}
}
