package main

import (
	"log/slog"

	"github.com/coreos/go-systemd/v22/daemon"
)

// tellManager tells systemd, or whatever set NOTIFY_SOCKET, what the process is
// doing (sd_notify(3)). Where nobody asked to be told it does nothing.
func tellManager(logger *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		logger.Warn("the service manager was not told", "state", state, "cause", err)
	}
}
