package main

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// processesWithArgs finds processes by their program and two adjacent
// arguments that only ours have.
func processesWithArgs(program, flag, value string) (found []Process, err error) {
	return scanProcesses(func(pid int, args []string) bool {
		if !strings.HasPrefix(filepath.Base(args[0]), program) {
			return false
		}
		i := slices.Index(args, flag)
		return i >= 0 && i+1 < len(args) && args[i+1] == value
	})
}

// childrenOf lists the processes that a process has started.
func childrenOf(parent int) []Process {
	children, _ := scanProcesses(func(pid int, _ []string) bool {
		stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil {
			return false
		}
		_, rest, _ := cutLast(string(stat), ")")
		fields := strings.Fields(rest) // state, ppid, …
		return len(fields) > 1 && fields[1] == strconv.Itoa(parent)
	})
	return children
}

// scanProcesses goes through /proc. The start time is read before the
// arguments, so that a pid reused in between cannot pass for the one we saw.
func scanProcesses(match func(pid int, args []string) bool) (found []Process, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		start, err := startTime(pid)
		if err != nil {
			continue
		}
		cmdline, err := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		if err != nil || len(cmdline) == 0 {
			continue // a kernel thread, or gone
		}
		args := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
		if match(pid, args) {
			found = append(found, Process{PID: pid, Start: start, Boot: bootID(), Args: args})
		}
	}
	return found, nil
}
