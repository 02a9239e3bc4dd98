package catalog

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The log of a catalog whose file was lost is kept, for who finds the file again.
func TestLostFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.RegistryID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir() // as a server leaves it that was killed
	lost := filepath.Join(dir, "catalog.db")
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(lost+suffix, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for _, lose := range []func() error{
		func() error { return os.Rename(lost, lost+".found") },
		func() error { return os.WriteFile(lost, nil, 0o600) },
	} {
		if err := lose(); err != nil {
			t.Fatal(err)
		}
		if c, err := Open(t.Context(), lost); err == nil || !strings.Contains(err.Error(), "its log "+lost+"-wal is there") {
			t.Errorf("%v", err)
			if err == nil {
				_ = c.Close() // it should not have been opened
			}
		}
	}
	if err := errors.Join(os.Remove(lost), os.Rename(lost+".found", lost)); err != nil {
		t.Fatal(err)
	}
	if c, err = Open(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	if got, err := c.RegistryID(t.Context()); err != nil || got != id {
		t.Errorf("%q, %v; want %q", got, err, id)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
