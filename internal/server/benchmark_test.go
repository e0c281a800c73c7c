package server_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"idp/internal/server"
)

// What the public listener adds to a handler, with nobody who counts or follows.
func BenchmarkRequest(b *testing.B) {
	handler, err := server.NewHandler(server.HandlerConfig{
		Issuer:   "https://id.example.com",
		Handlers: server.Handlers{JWKS: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})},
		Logger:   slog.New(slog.DiscardHandler),
		Now:      time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "https://id.example.com/.well-known/jwks.json", nil)
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(httptest.NewRecorder(), r)
	}
}
