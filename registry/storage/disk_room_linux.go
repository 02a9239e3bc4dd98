package storage

import (
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// diskRoom gives how many bytes are free on the disk of a folder, and how many a cache must leave: a tenth of the disk, and a gibibyte
// at most. Where that is not known there is room.
func diskRoom(root *os.Root) (free, reserve int64) {
	d, err := root.Open(".")
	if err != nil {
		return math.MaxInt64, 0
	}
	defer func() { _ = d.Close() }() // it was read only
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(d.Fd()), &st); err != nil {
		return math.MaxInt64, 0
	}
	block := int64(st.Bsize) //nolint:unconvert // it has 32 bits on some machines
	return int64(st.Bavail) * block, min(int64(st.Blocks)*block/10, 1<<30)
}
