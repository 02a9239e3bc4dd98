package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// down removes the state directory with all that it holds, so this program
// makes sure that the directory is the cluster's. Two things say so: the state
// file in it, and the owner file in the run directory, which is still there
// when somebody has removed the state of a running cluster by hand.

func (c *Cluster) ownerFile() string { return c.RunDir() + "/owner" }

func (c *Cluster) writeOwner() error {
	if err := os.MkdirAll(c.RunDir(), 0o711); err != nil {
		return err
	}
	return writeFile(c.ownerFile(), []byte(c.State+"\n"), 0o644)
}

// claim reads the state, or begins a fresh one in a directory that is free.
func (c *Cluster) claim() (s State, fresh bool, err error) {
	owner, err := os.ReadFile(c.ownerFile())
	dir := strings.TrimSpace(string(owner))
	switch {
	case err == nil && dir != c.State:
		return s, false, fmt.Errorf("the cluster %q runs with the state directory %s: say --state %s, or choose another --name", c.Name, dir, dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return s, false, err
	}
	s, err = c.ReadState()
	if !errors.Is(err, fs.ErrNotExist) {
		return s, false, err
	}
	s = State{Name: c.Name, Port: preferredPort}
	if dir == c.State {
		return s, true, nil // what is left in the directory is ours
	}
	strangers, err := c.stateEntries()
	if err == nil && len(strangers) > 0 {
		err = fmt.Errorf("%s is not empty and not a cluster's: choose another --state", c.State)
	}
	return s, true, err
}

// emptyStateDir removes the remains of a state that lost its state file.
func (c *Cluster) emptyStateDir() error {
	entries, err := c.stateEntries()
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := removeTree(c.Path(e)); err != nil {
			return err
		}
	}
	return nil
}

// stateEntries lists the state directory without the lock, which we hold.
func (c *Cluster) stateEntries() (names []string, err error) {
	entries, err := os.ReadDir(c.State)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if e.Name() != "lock" {
			names = append(names, e.Name())
		}
	}
	return names, err
}
