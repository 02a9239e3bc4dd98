// Package process runs the programs that tests and benchmarks stand on: each ends with the process that started it, however that ends.
package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// Process is a program that was started.
type Process struct {
	Pid int

	cmd   *exec.Cmd
	logs  *os.File
	ended chan struct{} // closed at its end
	err   error         // how it ended
}

// Start starts a program, whose output goes to Logs unless it goes elsewhere. last is the signal that it gets should this process end first.
func Start(cmd *exec.Cmd, last syscall.Signal) (*Process, error) {
	logs, err := logFile()
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, logs: logs, ended: make(chan struct{})}
	if cmd.Stdout == nil {
		cmd.Stdout, cmd.Stderr = p.logs, p.logs
	}
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = last
	started := make(chan error)
	go func() {
		// The kernel sends the signal when the thread ends that started the program, not when the process does. So this thread
		// stays, and starts nothing else: it ends with the goroutine, which does not unlock it.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, errors.Join(err, logs.Close())
	}
	p.Pid = cmd.Process.Pid
	return p, nil
}

// logFile makes a file without a name, to be appended to. A server that is measured writes to it by itself; to read its log from a pipe would take a
// good part of a processor from it.
func logFile() (*os.File, error) {
	dir, err := os.MkdirTemp("", "crateyard-log-")
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "log"), os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	return f, errors.Join(err, os.RemoveAll(dir))
}

// Logs gives what the program printed.
func (p *Process) Logs() string {
	data, err := io.ReadAll(io.NewSectionReader(p.logs, 0, math.MaxInt64))
	if err != nil {
		return fmt.Sprintf("%s\n(its output cannot be read: %v)", data, err)
	}
	return string(data)
}

// ForgetLogs drops what the program has printed.
func (p *Process) ForgetLogs() error { return p.logs.Truncate(0) }

// Ended is closed once the program has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Signal sends a signal and does not wait. A program that has ended by itself is an error, which holds what it printed.
func (p *Process) Signal(sig os.Signal) error {
	err := p.cmd.Process.Signal(sig)
	if errors.Is(err, os.ErrProcessDone) {
		<-p.ended
		return fmt.Errorf("%s had ended before: %w\n%s", p.cmd.Path, p.how(), p.Logs())
	}
	return err
}

// Wait waits for the program's end, and tells how it ended.
func (p *Process) Wait(most time.Duration) error {
	select {
	case <-p.ended:
		return p.err
	case <-time.After(most):
		return fmt.Errorf("%s did not end within %s\n%s", p.cmd.Path, most, p.Logs())
	}
}

func (p *Process) how() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// Log takes what is printed while others read it.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String gives all that was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}
