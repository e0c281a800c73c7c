package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"idp/internal/server"
)

// A server on free ports that answers one endpoint, and stops when its context
// ends.
func Example() {
	logger := slog.New(slog.DiscardHandler)
	public, err := server.Listen("--listen", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	management, err := server.Listen("--management-listen", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	handler, err := server.NewHandler(server.HandlerConfig{
		Issuer: "http://" + public.Addr().String(),
		Handlers: server.Handlers{Home: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "hello")
		})},
		Logger: logger,
		Now:    time.Now,
	})
	if err != nil {
		panic(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stopped := make(chan error, 1)
	go func() {
		stopped <- server.New(server.Config{
			Public: public, Handler: handler,
			Management: management,
			ManagementAPI: server.NewManagement(server.ManagementConfig{
				Ready:  func(context.Context) error { return nil },
				Logger: logger,
			}),
			Logger: logger,
		}).Run(ctx)
	}()

	for _, address := range []string{public.Addr().String() + "/", management.Addr().String() + "/readyz"} {
		response, err := http.Get("http://" + address)
		if err != nil {
			panic(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		fmt.Println(response.StatusCode, string(body))
	}
	cancel()
	fmt.Println(<-stopped)
	// Output:
	// 200 hello
	// 200 server ready
	//
	// <nil>
}
