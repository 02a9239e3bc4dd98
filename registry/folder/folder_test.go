package folder

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Each refusal of the system is told as what it is, and what to do; what is none stays as it is.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	own, others := filepath.Join(dir, "own"), filepath.Join(dir, "others")
	for _, file := range []string{own, others} {
		if err := os.WriteFile(file, nil, 0o400); err != nil {
			t.Fatal(err)
		}
	}
	whose := "12345"
	if os.Geteuid() == 0 {
		if err := os.Chown(others, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	} else { // nobody else can give a file away
		others, whose = "/etc", "root"
	}
	refused := func(path string, number syscall.Errno) error {
		return &fs.PathError{Op: "open", Path: path, Err: number}
	}
	for _, tc := range []struct {
		err  error
		says []string
	}{
		{refused(own, syscall.ENOSPC), []string{"the disk of the data folder " + dir + " is full", "make room"}},
		{refused(own, syscall.EDQUOT), []string{"is full"}},
		{refused(own, syscall.EROFS), []string{"is read-only", "how it is mounted"}},
		{refused(own, syscall.EIO), []string{"fails", "system's log"}},
		{refused(own, syscall.EACCES), []string{own + ", whose mode is -r--------", "let its owner read and write"}},
		{refused(others, syscall.EACCES), []string{others + " belongs to user " + whose, "run it as the user whose the registry is, or give this one the data folder " + dir}},
		{refused(filepath.Join(others, "below", "it"), syscall.EPERM), []string{others + " belongs to user " + whose}},
	} {
		err := Explain(dir, tc.err)
		for _, text := range tc.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%v: %v; want %q", tc.err, err, text)
			}
		}
		if !errors.Is(err, tc.err) {
			t.Errorf("%v is lost: %v", tc.err, err)
		}
	}
	if err := Explain(dir, io.EOF); err != io.EOF {
		t.Errorf("%v", err)
	}
	if err := Probe(dir); err != nil {
		t.Error(err)
	}
	if err := Probe(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}
