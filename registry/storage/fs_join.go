package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// abandoned is the age at which a file in incoming belongs to nobody any more: no upload and no copy of one blob takes so long.
const abandoned = 24 * time.Hour

// JoinFilesystem opens the store in folder dir beside other processes that have it open, such as a server: unlike OpenFilesystem, it
// leaves alone what they are writing. It makes the folder when create is set; otherwise a missing one is an error.
func JoinFilesystem(dir string, create bool) (*Filesystem, error) {
	if create {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			return nil, err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	f := &Filesystem{root: root}
	if err := root.Mkdir(incoming, 0o750); err != nil && !errors.Is(err, fs.ErrExist) {
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EROFS) { // who only reads needs none
			return nil, errors.Join(fmt.Errorf("folder %s: %w", dir, err), root.Close())
		}
		return f, nil
	}
	if err := f.removeAbandoned(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return f, nil
}

// removeAbandoned removes what writers left that died.
func (f *Filesystem) removeAbandoned() error {
	d, err := f.root.Open(incoming)
	if err != nil {
		return err
	}
	entries, err := d.ReadDir(-1)
	err = errors.Join(err, d.Close())
	for _, e := range entries {
		if info, ierr := e.Info(); ierr == nil && time.Since(info.ModTime()) > abandoned {
			_ = f.root.Remove(incoming + "/" + e.Name()) // the next one removes what stays
		}
	}
	return err
}
