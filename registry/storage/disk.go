package storage

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/crateyard/crateyard/registry/fault"
)

// diskFault puts into words what a person can mend about a disk; other errors stay as they are.
func diskFault(err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %w", ErrNoWrites, err), "the registry's disk is full; make room there")
	case errors.Is(err, syscall.EROFS):
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %w", ErrNoWrites, err), "the registry's disk is read-only; look at its volume, and at the system's log for errors of the disk")
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fault.Wrap(fault.Unavailable, fmt.Errorf("%w: %w", ErrNoWrites, err), "the server may not write to the registry's folder; give the folder to the user that the server runs as")
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		return fault.Wrap(fault.Unavailable, err, "the registry's disk fails; look at the system's log")
	}
	return err
}
