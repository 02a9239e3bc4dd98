package registry

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// CheckBackupFolder refuses a folder of backups that lies in the data folder or in the folder of archives: what takes those takes it along, and a server may
// remove what it finds in its own folders. Empty: none.
func (c *Config) CheckBackupFolder(folder string) error {
	if folder == "" {
		return nil
	}
	to := resolved(folder)
	own := []string{c.Data}
	if c.Storage.S3 == nil {
		own = append(own, c.StorageFolder())
	}
	for _, dir := range own {
		if dir == "" {
			continue
		}
		if rel, err := filepath.Rel(resolved(dir), to); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
			return fmt.Errorf("backups to %s would be lost together with the registry, whose folder %s it is in: choose one elsewhere, best on another disk, or a bucket", folder, dir)
		}
	}
	return nil
}

// resolved is the absolute path of a folder that need not be there, without symbolic links.
func resolved(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for dir, rest := path, ""; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		real, err := filepath.EvalSymlinks(dir)
		if err == nil {
			return filepath.Join(real, rest)
		}
		if !os.IsNotExist(err) || dir == filepath.Dir(dir) {
			return path
		}
	}
}
