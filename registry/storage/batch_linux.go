package storage

import "golang.org/x/sys/unix"

// canSyncAll says whether a whole filesystem can be synced, and tells of what went wrong: Linux does both, since 5.8.
const canSyncAll = true

func (f *Filesystem) syncAll() error {
	return below(f.self, unix.Syncfs) // by a file that is open all the time, for it hears of errors since it was opened
}
