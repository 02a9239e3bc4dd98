package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// stateFile marks a directory as ours. down refuses to remove one without it.
const stateFile = "cluster.json"

// State is what must be remembered between commands.
type State struct {
	Name string `json:"name"`
	// Port of the API server. The same inside the namespace and, through the
	// forwarder, on the host's 127.0.0.1, so that one kubeconfig serves in both.
	Port int `json:"port"`
}

// ReadState returns fs.ErrNotExist when there is no cluster.
func (c *Cluster) ReadState() (State, error) {
	var s State
	data, err := os.ReadFile(c.Path(stateFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s: %w", c.Path(stateFile), err)
	}
	if s.Name != c.Name {
		return s, fmt.Errorf("%s belongs to the cluster %q, not %q: use another --state or --name", c.State, s.Name, c.Name)
	}
	return s, nil
}

// WriteState records the state.
func (c *Cluster) WriteState(s State) error { return writeJSON(c.Path(stateFile), s) }

// Lock keeps two commands from changing one cluster at a time. The returned
// function unlocks.
func (c *Cluster) Lock() (func(), error) {
	path := c.Path("lock")
	for told := false; ; {
		if err := os.MkdirAll(c.State, 0o755); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // closed on exec, so no daemon inherits the lock
		if err != nil {
			return nil, err
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && sameFile(f, path) {
			return func() { _ = f.Close() }, nil
		}
		_ = f.Close()
		if err == nil {
			continue // down removed the file while we waited for it
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			note("another command is changing this cluster; waiting for it")
			told = true
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func sameFile(f *os.File, path string) bool {
	a, errA := f.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// writeFile makes the directory too, and replaces the file in one step, so that
// a command that is killed half-way leaves the old one.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, mode); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

func writeJSON(path string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(data, '\n'), 0o644)
}
