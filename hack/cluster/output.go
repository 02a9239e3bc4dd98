package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
)

// Progress goes to standard error: standard output carries only what scripts
// ask for (a path, an address).

func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// step prints a line for a finished piece of work and how long it took.
func step(start time.Time, what string) {
	note("  %-46s %6.1fs", what, time.Since(start).Seconds())
}

// tail is the end of a log, for error messages.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return "(no log: " + err.Error() + ")"
	}
	all := strings.Split(string(bytes.TrimRight(data, "\n")), "\n")
	if len(all) > lines {
		all = all[len(all)-lines:]
	}
	return strings.Join(all, "\n")
}
