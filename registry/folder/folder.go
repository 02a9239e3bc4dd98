// Package folder puts into words why the system refuses the data folder, or something in it, and what to do: that it belongs to another user, that its
// disk is full, read-only or fails. The words are for who runs the server; what clients may read is their callers' to say.
package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Explain explains an error of the system about a data folder, or a file in it; another error stays as it is.
func Explain(dir string, err error) error {
	if abs, aerr := filepath.Abs(dir); aerr == nil {
		dir = abs
	}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("the disk of the data folder %s is full: make room on it, or enlarge it, and remove no file of the registry by hand: %w", dir, err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("the disk of the data folder %s is read-only, and a registry must write there even to read: look at how it is mounted, "+
			"and at the system's log for errors of the disk: %w", dir, err)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		return fmt.Errorf("the disk of the data folder %s fails: look at the system's log: %w", dir, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w", refused(dir, err), err)
	}
	return err
}

// refused says whose the file is that was refused, and to whom.
func refused(dir string, err error) string {
	path := dir
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		path = pe.Path
	}
	me := os.Geteuid()
	for at := path; ; at = filepath.Dir(at) {
		info, serr := os.Stat(at)
		if serr != nil && at != filepath.Dir(at) { // it is not there, or not to be seen: what it is in refuses
			continue
		}
		if serr != nil {
			return fmt.Sprintf("user %s may not use the data folder %s", name(me), dir)
		}
		owner, known := info.Sys().(*syscall.Stat_t)
		if known && int(owner.Uid) != me {
			return fmt.Sprintf("%s belongs to user %s, and this runs as user %s: run it as the user whose the registry is, or give this one the data folder %s with all that is in it",
				at, name(int(owner.Uid)), name(me), dir)
		}
		return fmt.Sprintf("user %s may not use %s, whose mode is %s: let its owner read and write all of the data folder %s", name(me), at, info.Mode(), dir)
	}
}

// name is how a user is called, or else the number.
func name(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return u.Username
	}
	return id
}

// Probe finds out why nothing can be written into a folder, by writing: whoever wrote knows no more than that it failed. nil: it can.
func Probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, probeBytes))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}

// probeBytes is more than SQLite's files need to be opened.
const probeBytes = 128 << 10
