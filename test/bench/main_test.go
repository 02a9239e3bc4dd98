package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	good := result{work: "reads", missed: misses(atLeast("the ratio", 0.55, 0.55), atMost("memory", 40, 40))}
	bad := result{work: "writes", missed: misses(atLeast("the ratio", 0.4996, 0.5), atMost("memory", 5.5, 5))}
	if err := verdict([]result{good}); err != nil {
		t.Errorf("limits that are kept: %v", err)
	}
	err := verdict([]result{good, bad})
	if err == nil || !strings.HasPrefix(err.Error(), "2 figures miss") || strings.Contains(err.Error(), "reads") ||
		!strings.Contains(err.Error(), "writes: the ratio is 0.4996, and should be at least 0.5\n") || !strings.Contains(err.Error(), "writes: memory is 5.5, and should be at most 5") {
		t.Errorf("got %v", err)
	}
}

func TestReplace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "performance.md")
	if err := os.WriteFile(file, []byte("before\n"+begin+"old\n"+end+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := replace(file, "new\n"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "before\n"+begin+"new\n"+end+"after\n" {
		t.Errorf("%q, %v", got, err)
	}
	if err := replace(filepath.Join(t.TempDir(), "none"), ""); err == nil {
		t.Error("a file that is not there")
	}
}
