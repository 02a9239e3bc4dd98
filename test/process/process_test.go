package process_test

import (
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/process"
)

// A program outlives the thread on which its start was asked for: threads come and go while a test runs.
func TestOutlivesThread(t *testing.T) {
	started := make(chan *process.Process)
	go func() {
		runtime.LockOSThread() // ends the thread with the goroutine
		p, err := process.Start(exec.Command("sleep", "60"), syscall.SIGKILL)
		if err != nil {
			t.Error(err)
		}
		started <- p
	}()
	p := <-started
	select {
	case <-p.Ended():
		t.Fatal("it ended with the thread")
	case <-time.After(200 * time.Millisecond):
	}
	if err := p.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(time.Minute); err == nil || err.Error() != "signal: killed" {
		t.Error(err)
	}
}

func TestEndedByItself(t *testing.T) {
	p, err := process.Start(exec.Command("sh", "-c", "echo why; exit 3"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
	if err := p.Signal(syscall.SIGTERM); err == nil || !strings.Contains(err.Error(), "exit status 3\nwhy") {
		t.Error(err)
	}
}

// Both outputs are kept, in their order, and forgotten when they are told to be.
func TestLogs(t *testing.T) {
	p, err := process.Start(exec.Command("sh", "-c", "echo one; echo two >&2; read wait; echo three"), syscall.SIGKILL)
	if err != nil {
		t.Fatal(err)
	}
	<-p.Ended()
	if got := p.Logs(); got != "one\ntwo\nthree\n" {
		t.Errorf("%q", got)
	}
	if err := p.ForgetLogs(); err != nil || p.Logs() != "" {
		t.Errorf("%v %q", err, p.Logs())
	}
}
