package postgres

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
)

// oldest is the oldest PostgreSQL that the catalog supports; it is the one that tests run on where it is there.
const oldest = 15

// programs finds the folder of the server's programs and installs them where there are none.
var programs = sync.OnceValues(func() (string, error) {
	if dir := installed(); dir != "" {
		return dir, nil
	}
	if os.Getuid() != 0 {
		return "", fmt.Errorf("PostgreSQL %d is not on this machine: apt-get install postgresql-%d", oldest, oldest)
	}
	if err := install(); err != nil {
		return "", err
	}
	if dir := installed(); dir != "" {
		return dir, nil
	}
	return "", errors.New("apt-get installed no PostgreSQL")
})

func installed() string {
	for version := oldest; version < oldest+10; version++ {
		dir := filepath.Join("/usr/lib/postgresql", strconv.Itoa(version), "bin")
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err == nil {
			return dir
		}
	}
	return ""
}

func install() error {
	// Debian would make a cluster of its own and start it.
	conf := "/etc/postgresql-common/createcluster.d"
	if err := os.MkdirAll(conf, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(conf, "crateyard.conf"), []byte("create_main_cluster = false\n"), 0o644); err != nil {
		return err
	}
	if err := run("apt-get", "update", "-qq"); err != nil {
		return err
	}
	if err := run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql-"+strconv.Itoa(oldest)); err != nil {
		return errors.Join(err, run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql")) // a newer Debian
	}
	return nil
}

func run(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %q: %w\n%s", name, args, err, out)
	}
	return nil
}
