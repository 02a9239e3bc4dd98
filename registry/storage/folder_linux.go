package storage

import (
	"errors"
	"os"
	"path/filepath"

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
	// Another filesystem that is mounted below is none that syncAll syncs, nor one into which a file can be renamed.
	return open(root, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW, 0o640, unix.RESOLVE_NO_XDEV)
}

// openBelow opens a file below the open folder root, for reading. It is errors.ErrUnsupported where that takes more than one call.
func openBelow(root *os.File, name string) (*os.File, error) {
	return open(root, name, unix.O_RDONLY, 0, 0)
}

// open is openat2 with what an os.Root promises: no name and no link leads out of root. Old kernels do not know it (before 5.6), some sandboxes refuse it.
func open(root *os.File, name string, flags int, mode, resolve uint64) (*os.File, error) {
	how := unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC | unix.O_LARGEFILE, Mode: mode, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS | resolve}
	path := filepath.Join(root.Name(), name)
	var file *os.File
	err := below(root, func(fd int) error {
		for {
			n, err := unix.Openat2(fd, name, &how)
			if err == nil {
				file = os.NewFile(uintptr(n), path)
			}
			if err != unix.EINTR {
				return err
			}
		}
	})
	switch err {
	case nil:
		return file, nil
	case unix.ENOSYS, unix.EPERM, unix.EAGAIN, // the last when somebody moves folders about
		unix.EXDEV: // an os.Root has better words for it
		return nil, errors.ErrUnsupported
	}
	return nil, &os.PathError{Op: "open", Path: path, Err: err}
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
