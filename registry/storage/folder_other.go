//go:build !linux

package storage

import "os"

// identify tells no folder from another of its name here.
func identify(*os.File, string) folderID { return folderID{} }
