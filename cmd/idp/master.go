package main

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"idp/internal/tokens"
)

const (
	masterKeyName = "master.key"
	// masterCheckSetting names the setting that tells a wrong master key.
	masterCheckSetting = "master_key_check"
)

var errNoMasterKey = errors.New("a master key is needed and is not made up silently, because every node needs the same one: " +
	"run idp key generate-master --out master.key once, keep a copy apart from the database's backups, and set IDP_MASTER_KEY_FILE=master.key")

// errMasterKeyFormat does not repeat what was read.
var errMasterKeyFormat = errors.New("must be at least 32 random bytes in base64 or hex: idp key generate-master makes one")

// readMasterKeyFile reads a master key from a file that not everybody on the
// machine can read.
func readMasterKeyFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, errors.New("cannot be read: " + fileReason(err))
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("can be read by everybody on this machine: run chmod 600 %s (in Kubernetes: defaultMode: 0400)", path)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, errors.New("cannot be read: " + fileReason(err))
	}
	key, err := tokens.ParseMasterKey(string(raw))
	if err != nil {
		return nil, errMasterKeyFormat
	}
	return key, nil
}

// writeSecretFile creates a file that only its owner can read, whole or not at
// all. An existing one is an error.
func writeSecretFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(content)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	return os.Link(file.Name(), path)
}

// configuredMasterKey returns the master key that the configuration gives, the
// one beside the embedded database, or nil when there is none yet.
func configuredMasterKey(cfg *Config) ([]byte, error) {
	if cfg.MasterKey != "" {
		return tokens.ParseMasterKey(cfg.MasterKey.Reveal())
	}
	path := cfg.MasterKeyFile
	if path == "" && cfg.Embedded() {
		path = filepath.Join(cfg.DataDir, masterKeyName)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
	}
	if path == "" {
		return nil, nil
	}
	key, err := readMasterKeyFile(path)
	if err != nil {
		return nil, withCode(exitConfiguration, fmt.Errorf("master key %s: %w", path, err))
	}
	return key, nil
}

// checkMasterKey refuses a master key that is not the one the database was
// made with. Stored is the database's check value, nil for a database that has
// none yet; derived is that of the key at hand, nil without a key.
func checkMasterKey(cfg *Config, stored, derived []byte) error {
	switch {
	case stored == nil:
		return nil
	case derived == nil && cfg.Embedded():
		return withCode(exitConfiguration, fmt.Errorf("the database was made with a master key that is missing: put it back at %s, or name it with IDP_MASTER_KEY_FILE", filepath.Join(cfg.DataDir, masterKeyName)))
	case derived == nil:
		return withCode(exitConfiguration, errors.New("the database was made with a master key that is missing: name it with IDP_MASTER_KEY_FILE"))
	case subtle.ConstantTimeCompare(stored, derived) != 1:
		return withCode(exitConfiguration, errors.New("wrong master key: the database was made with another one; nothing was changed. Set IDP_MASTER_KEY_FILE to the key of this database"))
	}
	return nil
}
