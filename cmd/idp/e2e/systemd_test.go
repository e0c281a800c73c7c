package e2e

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// manager is a service manager as a node sees it: a socket that it is told at.
type manager struct {
	conn *net.UnixConn
	name string // NOTIFY_SOCKET
}

func newManager(t *testing.T, name string) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &manager{conn, name}
}

// told returns the next message.
func (m *manager) told(t *testing.T) string {
	t.Helper()
	if err := m.conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var message [4096]byte
	size, err := m.conn.Read(message[:])
	if err != nil {
		t.Fatalf("told nothing: %v", err)
	}
	return string(message[:size])
}

// A service manager hears when the node is ready, reloads and stops (sd_notify),
// and hands its secrets over as credentials.
func TestServiceManager(t *testing.T) {
	t.Parallel()
	for kind, socket := range map[string]string{
		"path":     filepath.Join(t.TempDir(), "notify"),
		"abstract": "@" + unique("idp-notify-"+fmt.Sprint(os.Getpid())),
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			inst := Install(t, "sqlite", map[string]string{"IDP_DRAIN_DELAY": "500ms"})
			delete(inst.env, "IDP_MASTER_KEY")
			delete(inst.env, "IDP_DATABASE_URL")
			credentials := t.TempDir()
			for name, secret := range map[string]string{"master_key": MasterKey, "database_url": inst.DatabaseURL} {
				if err := os.WriteFile(filepath.Join(credentials, name), []byte(secret+"\n"), 0o400); err != nil {
					t.Fatal(err)
				}
			}
			m := newManager(t, socket)
			n := inst.Launch(t, map[string]string{"NOTIFY_SOCKET": m.name, "CREDENTIALS_DIRECTORY": credentials})
			if got := m.told(t); got != "READY=1" {
				t.Fatalf("told %q", got)
			}
			// Ready is ready: nobody has to try again.
			res, err := http.Get(n.Management + "/readyz")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("told that it is ready, and says %d", res.StatusCode)
			}
			if _, err := os.Stat(filepath.Join(inst.DataDir, "master.key")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the master key is not the credential: %v", err)
			}

			if err := n.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			if got := m.told(t); !strings.HasPrefix(got, "RELOADING=1\nMONOTONIC_USEC=") {
				t.Errorf("told %q at a reload", got)
			}
			if got := m.told(t); got != "READY=1" {
				t.Errorf("told %q after a reload", got)
			}
			n.waitForLog(t, "reloaded log level")

			if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if got := m.told(t); got != "STOPPING=1" {
				t.Errorf("told %q at a stop", got)
			}
			if code := n.Exit(t); code != 0 {
				t.Errorf("exit %d", code)
			}
			n.wantQuiet(t, MasterKey)
		})
	}
}

// With a watchdog, it also hears that the node answers itself, whatever the
// listener is.
func TestWatchdog(t *testing.T) {
	t.Parallel()
	inst := Install(t, "sqlite", map[string]string{"WATCHDOG_USEC": "300000"})
	m := newManager(t, filepath.Join(t.TempDir(), "notify"))
	socket := filepath.Join(t.TempDir(), "idp.sock")
	inst.Launch(t, map[string]string{"NOTIFY_SOCKET": m.name, "IDP_LISTEN": "unix:" + socket})
	heard := map[string]int{}
	for heard["READY=1"] < 1 || heard["WATCHDOG=1"] < 3 {
		heard[m.told(t)]++
	}
}
