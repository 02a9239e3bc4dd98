//go:build !linux

package storage

import (
	"errors"
	"os"
)

// identify tells no folder from another of its name here.
func identify(*os.File, string) folderID { return folderID{} }

// createNew does not exist here.
func createNew(*os.File, string) (*os.File, error) { return nil, errors.ErrUnsupported }

// makeFolder does not exist here.
func makeFolder(*os.File, string) error { return errors.ErrUnsupported }

// renameNew does not exist here.
func renameNew(*os.File, string, string) error { return errors.ErrUnsupported }

// mayWrite does not exist here.
func mayWrite(*os.File, string) error { return errors.ErrUnsupported }

// openBelow does not exist here.
func openBelow(*os.File, string) (*os.File, error) { return nil, errors.ErrUnsupported }
