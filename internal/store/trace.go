package store

import (
	"context"
	"slices"
	"strings"
)

// Tracer follows what the database does. Implemented by *tracing.Tracing.
type Tracer interface {
	// Query begins to follow work of the database: system is the engine, summary
	// says what is done and where, text is the statements without their values;
	// done is called with how it ended.
	Query(ctx context.Context, system, summary, text string) (_ context.Context, done func(error))
}

// traced is a port that is followed. There is none where nobody follows.
type traced struct {
	port
	engine string
	tracer Tracer
}

func (t traced) exec(ctx context.Context, sql string, args ...any) (n int64, err error) {
	ctx, done := t.tracer.Query(ctx, t.engine, summaryOf(sql), sql)
	defer func() { done(err) }()
	return t.port.exec(ctx, sql, args...)
}

func (t traced) query(ctx context.Context, scan func(row) error, sql string, args ...any) (err error) {
	ctx, done := t.tracer.Query(ctx, t.engine, summaryOf(sql), sql)
	defer func() { done(err) }()
	return t.port.query(ctx, scan, sql, args...)
}

func (t traced) batch(ctx context.Context, statements []statement) (_ []int64, err error) {
	var summaries, texts []string
	for _, s := range statements {
		if summary := summaryOf(s.sql); !slices.Contains(summaries, summary) {
			summaries, texts = append(summaries, summary), append(texts, s.sql)
		}
	}
	ctx, done := t.tracer.Query(ctx, t.engine, "BATCH "+strings.Join(summaries, ", "), strings.Join(texts, ";\n"))
	defer func() { done(err) }()
	return t.port.batch(ctx, statements)
}

func (t traced) inTx(ctx context.Context, f func(querier) error) (err error) {
	ctx, done := t.tracer.Query(ctx, t.engine, "TRANSACTION", "")
	defer func() { done(err) }()
	return t.port.inTx(ctx, func(q querier) error { return f(tracedTx{q, t, ctx}) })
}

// tracedTx is a transaction whose statements are followed as parts of it.
type tracedTx struct {
	querier
	traced traced
	within context.Context // of the transaction, which lives as long
}

func (t tracedTx) exec(_ context.Context, sql string, args ...any) (n int64, err error) {
	ctx, done := t.traced.tracer.Query(t.within, t.traced.engine, summaryOf(sql), sql)
	defer func() { done(err) }()
	return t.querier.exec(ctx, sql, args...)
}

func (t tracedTx) query(_ context.Context, scan func(row) error, sql string, args ...any) (err error) {
	ctx, done := t.traced.tracer.Query(t.within, t.traced.engine, summaryOf(sql), sql)
	defer func() { done(err) }()
	return t.querier.query(ctx, scan, sql, args...)
}

// summaryOf says what a statement does and to which table: "UPDATE grants".
func summaryOf(sql string) string {
	words := strings.Fields(sql)
	if len(words) == 0 {
		return ""
	}
	before := "FROM"
	switch words[0] {
	case "INSERT":
		before = "INTO"
	case "UPDATE":
		before = "UPDATE"
	}
	if i := slices.Index(words, before) + 1; i > 0 && i < len(words) {
		if table, _, _ := strings.Cut(strings.TrimRight(words[i], ",;)"), "("); table != "" {
			return words[0] + " " + table
		}
	}
	return words[0]
}
