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

// createNew makes a file below the open folder root, for writing. It is errors.ErrUnsupported where that takes more than one call.
func createNew(root *os.File, name string) (*os.File, error) {
	var file *os.File
	err := below(root, func(fd int) error {
		for {
			n, err := unix.Openat(fd, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o640)
			if err == nil {
				file = os.NewFile(uintptr(n), name)
			}
			if err != unix.EINTR {
				return err
			}
		}
	})
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: name, Err: err}
	}
	return file, nil
}

// makeFolder makes a folder below the open folder root.
func makeFolder(root *os.File, dir string) error {
	return below(root, func(fd int) error { return unix.Mkdirat(fd, dir, 0o750) })
}

// mayWrite asks whether this user may make files in a folder below the open folder root.
func mayWrite(root *os.File, dir string) error {
	return below(root, func(fd int) error { return unix.Faccessat(fd, dir, unix.W_OK|unix.X_OK, 0) })
}

func below(root *os.File, f func(fd int) error) (err error) {
	raw, err := root.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// renameNew gives a file below the open folder root another name, which nothing has yet; else the error is fs.ErrExist. It is errors.ErrUnsupported
// where the filesystem cannot hold to that.
func renameNew(root *os.File, from, to string) error {
	err := below(root, func(fd int) error { return unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE) })
	switch err {
	case unix.EINVAL, unix.EOPNOTSUPP, // NFS, for one
		unix.ENOSYS, unix.EPERM: // old kernels, and sandboxes that know no such call
		return errors.ErrUnsupported
	}
	return err
}
