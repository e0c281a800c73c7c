package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// healthcheckCommand asks a running server on this machine whether it is
// ready: the health check of a container image without a shell.
func (a *app) healthcheckCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask the server on this machine whether it is ready",
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(a.sources(cmd))
			if err != nil {
				return err
			}
			if cfg.ManagementListen == "off" {
				return withCode(exitConfiguration, errors.New("management_listen is off: there is nothing to ask"))
			}
			client := http.Client{Timeout: 4 * time.Second, Transport: &http.Transport{
				DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					return dialListener(ctx, cfg.ManagementListen)
				},
			}}
			request, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, "http://localhost/readyz", nil)
			if err != nil {
				return err
			}
			response, err := client.Do(request)
			if err != nil {
				return withCode(exitUnavailable, fmt.Errorf("no server answers on %s: is idp serve running, with this management_listen?", cfg.ManagementListen))
			}
			response.Body.Close()
			if response.StatusCode != http.StatusOK {
				return withCode(exitUnavailable, fmt.Errorf("the server is not ready (%s)", response.Status))
			}
			fmt.Fprintln(a.Stdout, "ready")
			return nil
		},
	}
	c.Flags().String("management-listen", "", "management listener of the server (default 127.0.0.1:9100)")
	return c
}

// dialListener connects to a listener of this machine by the address that it
// was told to listen on.
func dialListener(ctx context.Context, address string) (net.Conn, error) {
	var dialer net.Dialer
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return dialer.DialContext(ctx, "unix", path)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return dialer.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
}
