package registry_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/test/disk"
)

// refusesFolder wants a data folder refused with certain words, at the start of a server and by a command beside it.
func refusesFolder(t *testing.T, data, says string) {
	t.Helper()
	c := registry.DefaultConfig()
	c.Listen, c.OpsListen, c.Data = "127.0.0.1:0", "", data
	for patience := time.Second; ; patience *= 2 { // a server waits for room; a busy machine takes its time until it says so
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		var log bytes.Buffer
		_, err := registry.Open(ctx, c, "test", &log)
		ended := ctx.Err() != nil
		cancel()
		if err != nil && strings.Contains(err.Error()+log.String(), says) {
			break
		}
		if err == nil || !ended || patience > time.Minute {
			t.Errorf("a server: %v\n%s\nwant %q", err, log.String(), says)
			break
		}
	}
	if _, err := registry.OpenBackends(t.Context(), &c, registry.BackendOptions{Beside: true, Existing: true}); err == nil || !strings.Contains(err.Error(), says) {
		t.Errorf("a command: %v; want %q", err, says)
	}
}

// A disk that is full or read-only when a server or a command begins is told as that.
func TestDiskAtStart(t *testing.T) {
	if !disk.Own(t) {
		return
	}
	small := disk.Small(t, 4<<20)
	data := filepath.Join(small, "data")
	opens(t, data, "", func(*registry.Config) {})
	disk.SetReadOnly(t, small, true)
	refusesFolder(t, data, "the disk of the data folder "+data+" is read-only")
	disk.SetReadOnly(t, small, false)
	ballast, err := os.Create(filepath.Join(small, "ballast"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil { // to the last byte
		_, err = ballast.Write(make([]byte, 4096))
	}
	if err := ballast.Close(); err != nil {
		t.Fatal(err)
	}
	refusesFolder(t, data, "the disk of the data folder "+data+" is full: make room")
	if err := os.Remove(ballast.Name()); err != nil {
		t.Fatal(err)
	}
	opens(t, data, "", func(*registry.Config) {})
}

// A catalog's file that is damaged, or something else, is told as that, with the way back.
func TestDamagedCatalogFile(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"another file":    func([]byte) []byte { return []byte(strings.Repeat("this is no database\n", 400)) },
		"its first page":  func(b []byte) []byte { return append(bytes.Repeat([]byte{0x5a}, 4096), b[4096:]...) },
		"all but a page":  func(b []byte) []byte { return append(b[:4096:4096], bytes.Repeat([]byte{0x5a}, len(b)-4096)...) },
		"cut off in half": func(b []byte) []byte { return b[:len(b)/2] },
	} {
		data := t.TempDir()
		opens(t, data, "", func(*registry.Config) {})
		path := filepath.Join(data, "catalog.db")
		was, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, damage(was), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { refusesFolder(t, data, "`crateyard restore --data NEW --from BACKUPS`") })
	}
}
