package disk

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// Fault is a way in which a Faulty makes a call of the kernel fail.
type Fault string

// The faults. What a call was to do is done only where that is said.
const (
	Error      Fault = "error"       // EIO
	Full       Fault = "full"        // ENOSPC
	LostAnswer Fault = "answer lost" // it is done, and EIO is said
	Slow       Fault = "slow"        // 20 ms late, done
	Gone       Fault = "gone"        // EIO, and so it goes on until the next Fail: the disk was pulled out
)

// Faults are all of them.
var Faults = []Fault{Error, Full, LostAnswer, Slow, Gone}

// late is how late a slow call is.
const late = 20 * time.Millisecond

// Faulty is a disk whose calls can be made to fail: a real filesystem (FUSE) before a folder, served by a process of its own, since a process that
// waited for itself inside the kernel might wait for ever.
type Faulty struct {
	Dir string // where it is mounted

	t    *testing.T
	mu   sync.Mutex
	cmd  *exec.Cmd
	ask  io.WriteCloser
	says *bufio.Scanner
}

// inFuse is set in a process that serves such a disk: the folder behind it, and where to mount it.
const inFuse = "CRATEYARD_TEST_FUSE"

func init() {
	if what := os.Getenv(inFuse); what != "" {
		behind, dir, _ := strings.Cut(what, "\n")
		if err := serveFaulty(behind, dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// NewFaulty mounts a disk; the test runs in a process of its own (see Own).
func NewFaulty(t *testing.T) *Faulty {
	t.Helper()
	f := &Faulty{Dir: t.TempDir(), t: t}
	f.cmd = exec.Command(os.Args[0])
	f.cmd.Env = append(os.Environ(), inFuse+"="+t.TempDir()+"\n"+f.Dir)
	f.cmd.Stderr = os.Stderr
	ask, err := f.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.ask = ask
	says, err := f.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	f.says = bufio.NewScanner(says)
	if err := f.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(f.Dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
		_ = f.ask.Close() // it may have ended
		if err := f.cmd.Wait(); err != nil {
			t.Errorf("the faulty disk: %v", err)
		}
	})
	f.hear()
	return f
}

func (f *Faulty) hear() string {
	f.t.Helper()
	if !f.says.Scan() {
		f.t.Fatal("the faulty disk ended. It needs /dev/fuse, and root or a user namespace to mount it")
	}
	return f.says.Text()
}

// Fail makes the nth call from now on fail; an empty fault lets all through. It counts from 0 again.
func (f *Faulty) Fail(nth int, fault Fault) { f.tell(fmt.Sprintf("%d %s", nth, fault)) }

// Calls is how many calls came since Fail.
func (f *Faulty) Calls() (n int) {
	f.t.Helper()
	if _, err := fmt.Sscan(f.tell("calls"), &n); err != nil {
		f.t.Fatal(err)
	}
	return n
}

func (f *Faulty) tell(what string) string {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := fmt.Fprintln(f.ask, what); err != nil {
		f.t.Fatal(err)
	}
	return f.hear()
}

// serveFaulty is the other process. It reads what is wanted of it, a line each, and answers with one.
func serveFaulty(behind, dir string) error {
	root, err := fs.NewLoopbackRoot(behind)
	if err != nil {
		return err
	}
	disk := &faulty{RawFileSystem: fs.NewNodeFS(root, &fs.Options{})}
	server, err := fuse.NewServer(disk, dir, &fuse.MountOptions{DirectMountStrict: true, FsName: "faulty", Name: "faulty",
		DisabledCapabilities: fuse.CAP_PASSTHROUGH}) // or the kernel would read and write without us
	if err != nil {
		return fmt.Errorf("mount a faulty disk, which needs /dev/fuse, and root or a user namespace: %w", err)
	}
	go server.Serve()
	if err := server.WaitMount(); err != nil {
		return err
	}
	fmt.Println("mounted")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if in.Text() == "calls" {
			fmt.Println(disk.counted())
			continue
		}
		nth, fault, _ := strings.Cut(in.Text(), " ")
		n := 0
		if _, err := fmt.Sscan(nth, &n); err != nil {
			return err
		}
		disk.fail(n, Fault(fault))
		fmt.Println("ok")
	}
	return nil
}

// faulty stands before a filesystem. What only asks for the size of the disk, forgets or closes is let through.
type faulty struct {
	fuse.RawFileSystem

	mu    sync.Mutex
	calls int
	nth   int
	fault Fault
}

func (f *faulty) fail(nth int, fault Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.nth, f.fault = 0, nth, fault
}

func (f *faulty) counted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

func (f *faulty) due() Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.calls == f.nth || f.fault == Gone && f.calls > f.nth {
		return f.fault
	}
	return ""
}

func (f *faulty) call(do func() fuse.Status) fuse.Status {
	switch f.due() {
	case Error, Gone:
		return fuse.EIO
	case Full:
		return fuse.Status(syscall.ENOSPC)
	case LostAnswer:
		_ = do() // nobody hears of it
		return fuse.EIO
	case Slow:
		time.Sleep(late)
	}
	return do()
}

func (f *faulty) Lookup(c <-chan struct{}, h *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Lookup(c, h, name, out) })
}

func (f *faulty) GetAttr(c <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.GetAttr(c, in, out) })
}

func (f *faulty) SetAttr(c <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.SetAttr(c, in, out) })
}

func (f *faulty) Mkdir(c <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Mkdir(c, in, name, out) })
}

func (f *faulty) Unlink(c <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Unlink(c, h, name) })
}

func (f *faulty) Rmdir(c <-chan struct{}, h *fuse.InHeader, name string) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Rmdir(c, h, name) })
}

func (f *faulty) Rename(c <-chan struct{}, in *fuse.RenameIn, from, to string) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Rename(c, in, from, to) })
}

func (f *faulty) Link(c <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Link(c, in, name, out) })
}

func (f *faulty) Create(c <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Create(c, in, name, out) })
}

func (f *faulty) Open(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Open(c, in, out) })
}

func (f *faulty) Read(c <-chan struct{}, in *fuse.ReadIn, buf []byte) (r fuse.ReadResult, _ fuse.Status) {
	status := f.call(func() (s fuse.Status) { r, s = f.RawFileSystem.Read(c, in, buf); return s })
	return r, status
}

func (f *faulty) Write(c <-chan struct{}, in *fuse.WriteIn, data []byte) (n uint32, _ fuse.Status) {
	status := f.call(func() (s fuse.Status) { n, s = f.RawFileSystem.Write(c, in, data); return s })
	return n, status
}

func (f *faulty) Writev(c <-chan struct{}, in *fuse.WriteIn, data [][]byte) (n uint32, _ fuse.Status) {
	status := f.call(func() (s fuse.Status) { n, s = f.RawFileSystem.Writev(c, in, data); return s })
	return n, status
}

func (f *faulty) Fsync(c <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Fsync(c, in) })
}

func (f *faulty) Fallocate(c <-chan struct{}, in *fuse.FallocateIn) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.Fallocate(c, in) })
}

func (f *faulty) OpenDir(c <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.OpenDir(c, in, out) })
}

func (f *faulty) ReadDir(c <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.ReadDir(c, in, out) })
}

func (f *faulty) ReadDirPlus(c <-chan struct{}, in *fuse.ReadIn, out *fuse.DirEntryList) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.ReadDirPlus(c, in, out) })
}

func (f *faulty) FsyncDir(c <-chan struct{}, in *fuse.FsyncIn) fuse.Status {
	return f.call(func() fuse.Status { return f.RawFileSystem.FsyncDir(c, in) })
}
