//go:build !linux

package storage

// canSyncAll: see batch_linux.go.
const canSyncAll = false

func (f *Filesystem) syncAll() error { return nil }
