package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// watchdog tells systemd that the server lives (WatchdogSec=), for as long as it
// answers itself.
type watchdog struct {
	every time.Duration
	ask   func(ctx context.Context) error
	alive func()
	gone  func(err error) // once for each time that it begins not to answer
}

func (w watchdog) run(ctx context.Context) {
	ticker := time.NewTicker(w.every)
	defer ticker.Stop()
	answering := true
	for {
		asking, cancel := context.WithTimeout(ctx, w.every)
		err := w.ask(asking)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			w.alive()
		case answering:
			w.gone(err)
		}
		answering = err == nil
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// watchdog returns what systemd wants to be told, or false when it wants nothing.
func (n *node) watchdog() (watchdog, bool) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		n.logger.Warn("the service manager's watchdog is not understood, and not told", "cause", err)
	}
	if err != nil || within == 0 {
		return watchdog{}, false
	}
	issuer, err := url.Parse(n.cfg.Issuer)
	if err != nil {
		return watchdog{}, false // it was checked long ago
	}
	return watchdog{
		every: within / 3,
		ask:   asker(n.public.Addr(), issuer, n.certificate != nil),
		alive: func() { tellManager(n.logger, daemon.SdNotifyWatchdog) },
		gone:  func(err error) { n.logger.Error("the server does not answer itself", "cause", err) },
	}, true
}

// asker asks the listener at an address for the metadata, which needs nothing but
// this process. Any answer is one, also that there is no certificate yet.
func asker(address net.Addr, issuer *url.URL, secure bool) func(ctx context.Context) error {
	target := *issuer
	target.Scheme = "http"
	if secure {
		target.Scheme = "https"
	}
	dialer := &net.Dialer{}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, address.Network(), address.String())
		},
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // it asks itself, and believes nothing
		DisableKeepAlives: true,
	}}
	return func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodHead, target.JoinPath(".well-known", "openid-configuration").String(), nil)
		if err != nil {
			return err
		}
		request.Header.Set("User-Agent", "idp watchdog")
		response, err := client.Do(request)
		if refused, ok := errors.AsType[*net.OpError](err); ok && refused.Op == "remote error" { // an alert of TLS
			return nil
		}
		if err != nil {
			return fmt.Errorf("asking %s: %w", address, err)
		}
		return response.Body.Close()
	}
}
