package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is the record of a background process. A pid alone says little, as
// the kernel reuses it: together with the time of its start, counted since
// this boot, it names one process for good.
type Process struct {
	PID   int      `json:"pid"`
	Start string   `json:"start"`
	Boot  string   `json:"boot"`
	Args  []string `json:"args"`
}

// spec is a process to start.
type spec struct {
	name    string
	program string
	args    []string
	env     []string   // besides the caller's
	files   []*os.File // become descriptors 3, 4, …
	onHost  bool       // in the machine's network instead of the cluster's
	record  string     // where the record goes; below run/ by default
}

func (c *Cluster) recordPath(name string) string { return c.Path("run", name+".json") }

// launch starts a process in the background and records it.
func (c *Cluster) launch(s spec) (Process, error) {
	if s.record == "" {
		s.record = c.recordPath(s.name)
	}
	for _, dir := range []string{filepath.Dir(s.record), c.Path("logs")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return Process{}, err
		}
	}
	log, err := os.OpenFile(c.Log(s.name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return Process{}, err
	}
	defer log.Close()
	cmd := exec.Command(s.program, s.args...)
	cmd.Dir = c.State
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = s.files
	// A session of its own: Ctrl-C in the terminal that ran "up" must not stop the cluster.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.onHost {
		err = cmd.Start()
	} else {
		err = startIn(c.NetNSPath(), cmd)
	}
	if err != nil {
		return Process{}, fmt.Errorf("start %s: %w", s.name, err)
	}
	p := Process{PID: cmd.Process.Pid, Boot: bootID(), Args: cmd.Args}
	p.Start, err = startTime(p.PID)
	if err == nil {
		err = writeJSON(s.record, p)
	}
	if err != nil {
		// Unrecorded, nobody could stop it later.
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return Process{}, fmt.Errorf("record %s: %w", s.name, err)
	}
	go func() { _ = cmd.Wait() }() // reap it, should it end while we wait for it to become ready
	return p, nil
}

// Alive tells whether this very process still runs.
func (p Process) Alive() bool {
	if p.PID <= 0 || p.Boot != bootID() {
		return false
	}
	start, err := startTime(p.PID)
	return err == nil && start == p.Start
}

// Stop ends the process: politely, then after the grace period by force.
// A process that merely inherited the pid is not touched.
func (p Process) Stop(grace time.Duration) error {
	handle, err := os.FindProcess(p.PID) // a pidfd: from here on the pid cannot be reused under us
	if err != nil {
		return err
	}
	defer func() { _ = handle.Release() }()
	for _, s := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, 10 * time.Second}} {
		if !p.Alive() {
			return nil
		}
		if err := handle.Signal(s.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return err
		}
		for deadline := time.Now().Add(s.wait); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if !p.Alive() {
				return nil
			}
		}
	}
	return fmt.Errorf("process %d (%s) does not end, not even when killed", p.PID, filepath.Base(p.Args[0]))
}

// readProcess returns fs.ErrNotExist when there is no record.
func readProcess(record string) (p Process, err error) {
	data, err := os.ReadFile(record)
	if err != nil {
		return p, err
	}
	return p, json.Unmarshal(data, &p)
}

// stopRecorded stops the process of a record, and forgets it.
func stopRecorded(record string, grace time.Duration) error {
	p, err := readProcess(record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", record, err)
	}
	if err := p.Stop(grace); err != nil {
		return err
	}
	return os.Remove(record)
}

// running tells whether the named process of the cluster is alive.
func (c *Cluster) running(name string) bool {
	p, err := readProcess(c.recordPath(name))
	return err == nil && p.Alive()
}

// startTime reads when a process was started, in clock ticks since boot. A
// zombie counts as gone: it only waits for its parent to take notice.
func startTime(pid int) (string, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return "", err
	}
	return parseStartTime(string(stat))
}

func parseStartTime(stat string) (string, error) {
	// "pid (name) state ppid …": the name may contain spaces and parentheses
	// itself, so count from the last one.
	_, rest, ok := cutLast(stat, ")")
	fields := strings.Fields(rest)
	const state, start = 0, 19 // fields 3 and 22 of proc(5)
	if !ok || len(fields) <= start {
		return "", fmt.Errorf("unexpected process status %q", stat)
	}
	if fields[state] == "Z" || fields[state] == "X" {
		return "", os.ErrProcessDone
	}
	return fields[start], nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

func bootID() string {
	id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(id))
}
