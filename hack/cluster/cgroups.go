package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const cgroupMount = "/sys/fs/cgroup"

// cgroupDirs are the directories of the cluster's cgroup: one when the machine
// has the unified hierarchy, one for each controller when it has the old ones.
func (c *Cluster) cgroupDirs() []string {
	if unifiedCgroups() {
		return []string{filepath.Join(cgroupMount, c.CgroupRoot())}
	}
	entries, _ := os.ReadDir(cgroupMount)
	var dirs []string
	for _, e := range entries {
		// A symbolic link ("cpu" to "cpu,cpuacct") leads to one that is listed anyway.
		if e.IsDir() {
			dirs = append(dirs, filepath.Join(cgroupMount, e.Name(), c.CgroupRoot()))
		}
	}
	return dirs
}

func unifiedCgroups() bool {
	_, err := os.Stat(cgroupMount + "/cgroup.controllers")
	return err == nil
}

// createCgroups makes the cgroup that the kubelet is given as its root. It
// refuses to start when that does not exist.
func (c *Cluster) createCgroups() error {
	for _, dir := range c.cgroupDirs() {
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		parent := filepath.Dir(dir)
		// A new cpuset allows no CPU and no memory until it is told, which bars every process.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			if allowed, err := os.ReadFile(filepath.Join(parent, file)); err == nil && !unifiedCgroups() {
				if err := os.WriteFile(filepath.Join(dir, file), allowed, 0); err != nil {
					return err
				}
			}
		}
		if unifiedCgroups() {
			if err := delegateControllers(parent); err != nil {
				return err
			}
			if err := delegateControllers(dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// delegateControllers lets the children of a cgroup use all its controllers.
func delegateControllers(dir string) error {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	want := "+" + strings.Join(strings.Fields(string(controllers)), " +")
	if want == "+" {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(want), 0)
}

// cgroupPIDs lists what runs in the cluster's cgroup: containers, even those
// that lost their shim.
func (c *Cluster) cgroupPIDs() map[int]bool {
	pids := map[int]bool{}
	for _, root := range c.cgroupDirs() {
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.Name() != "cgroup.procs" {
				return nil
			}
			list, _ := os.ReadFile(path)
			for _, field := range strings.Fields(string(list)) {
				if pid, err := strconv.Atoi(field); err == nil {
					pids[pid] = true
				}
			}
			return nil
		})
	}
	return pids
}

// deleteCgroups removes the cgroup with everything below. All its processes
// have ended; the kernel may take a moment longer to notice.
func (c *Cluster) deleteCgroups() error {
	var last error
	for _, root := range c.cgroupDirs() {
		var dirs []string
		_ = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				dirs = append(dirs, path)
			}
			return nil
		})
		slices.Reverse(dirs) // children first
		for _, dir := range dirs {
			for try := 0; try < 40; try++ {
				if last = os.Remove(dir); last == nil || errors.Is(last, fs.ErrNotExist) {
					last = nil
					break
				}
				time.Sleep(25 * time.Millisecond)
			}
			if last != nil {
				return last
			}
		}
	}
	return nil
}
