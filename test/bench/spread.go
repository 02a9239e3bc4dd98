package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// topDirectory is ext4's flag of a folder whose folders need not lie near each other (chattr +T).
const topDirectory = 0x20000

// spread has the filesystem, where that is ext4, put each folder that is made in dir somewhere else on the disk. Among files that were deleted within the last
// minutes, as by tests, ext4 makes a new one only after it has looked at each of them, which takes it ten times as long, and a folder that lies there is measured
// and not the program that writes to it.
func spread(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	flags, err := unix.IoctlGetInt(int(f.Fd()), unix.FS_IOC_GETFLAGS)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(f.Fd()), unix.FS_IOC_SETFLAGS, flags|topDirectory)
	}
	return err
}
