package server

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"syscall"
)

// Listen opens the address that setting (a flag or a variable, for the error)
// names: "host:port", where port 0 takes a free one, or "unix:/path". A socket
// file that a dead process left behind is replaced.
func Listen(setting, addr string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return listenUnix(setting, path)
	}
	l, err := net.Listen("tcp", addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("%s %s: the port is taken by another process; name another one, or port 0 for any that is free: %w", setting, addr, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", setting, addr, err)
	}
	return l, nil
}

func listenUnix(setting, path string) (net.Listener, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() == fs.ModeSocket {
		conn, err := net.Dial("unix", path)
		switch {
		case err == nil:
			_ = conn.Close()
			return nil, fmt.Errorf("%s unix:%s: another process listens there", setting, path)
		case errors.Is(err, syscall.ECONNREFUSED):
			if err := os.Remove(path); err != nil {
				return nil, fmt.Errorf("%s unix:%s: %w", setting, path, err)
			}
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("%s unix:%s: %w", setting, path, err)
	}
	// Whoever may write to the socket is believed to be the proxy.
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, errors.Join(fmt.Errorf("%s unix:%s: %w", setting, path, err), l.Close())
	}
	return l, nil
}
