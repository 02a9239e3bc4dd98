package registry_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
)

func TestBackupFolder(t *testing.T) {
	dir := t.TempDir()
	c := registry.DefaultConfig()
	c.Data, c.Storage.Folder = filepath.Join(dir, "data"), filepath.Join(dir, "crates")
	if err := os.MkdirAll(filepath.Join(c.Data, "bk"), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(c.Data, "bk"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	for folder, bad := range map[string]bool{
		"": false, dir: false, "database": false, filepath.Join(dir, "data2", "x"): false, filepath.Join(dir, "none", "x"): false, "data/..bk": true,
		c.Data: true, "data": true, "data/bk": true, "./data/not/there/yet": true, filepath.Join(dir, "x", "..", "data", "bk"): true, "crates/bk": true, "link": true, "link/more": true,
	} {
		err := c.CheckBackupFolder(folder)
		if (err != nil) != bad || err != nil && !strings.Contains(err.Error(), "would be lost together with the registry") {
			t.Errorf("%q: %v", folder, err)
		}
	}
	// A server refuses it where it is to back up by itself.
	opens(t, c.Data, "backup.folder: backups to", func(c *registry.Config) {
		c.Backup.Folder, c.Backup.Schedule = filepath.Join(c.Data, "bk"), "0 3 * * *"
	})
	opens(t, c.Data, "", func(c *registry.Config) { c.Backup.Folder = filepath.Join(c.Data, "bk") })
}
