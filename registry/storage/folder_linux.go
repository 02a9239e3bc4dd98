package storage

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// identify tells a folder from one that is made later under the same name, by its inode and, since inodes are used again, the time at which it
// was made. It gives the zero folderID where the filesystem keeps no such time, and where there is no such folder. root is the
// open folder that dir is below.
func identify(root *os.File, dir string) folderID {
	raw, err := root.SyscallConn()
	if err != nil {
		return folderID{}
	}
	var st unix.Statx_t
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.Statx(int(fd), dir, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &st)
	}); err != nil || failed != nil || st.Mask&(unix.STATX_INO|unix.STATX_BTIME) != unix.STATX_INO|unix.STATX_BTIME {
		return folderID{}
	}
	return folderID{device: uint64(st.Dev_major)<<32 | uint64(st.Dev_minor), inode: st.Ino, second: st.Btime.Sec, nano: st.Btime.Nsec}
}

// renameNew gives a file below the open folder root another name, which nothing has yet; else the error is fs.ErrExist. It is errors.ErrUnsupported
// where the filesystem cannot hold to that.
func renameNew(root *os.File, from, to string) error {
	raw, err := root.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	if err := raw.Control(func(fd uintptr) {
		failed = unix.Renameat2(int(fd), from, int(fd), to, unix.RENAME_NOREPLACE)
	}); err != nil {
		return err
	}
	switch failed {
	case unix.EINVAL, unix.EOPNOTSUPP, // NFS, for one
		unix.ENOSYS, unix.EPERM: // old kernels, and sandboxes that know no such call
		return errors.ErrUnsupported
	}
	return failed
}
