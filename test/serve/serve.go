// Package serve starts the real `crateyard serve` as a process of its own, for tests and benchmarks that need a server
// behind them. It builds the program once for all that ask.
package serve

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/crateyard/crateyard/test/process"
	"github.com/crateyard/crateyard/test/program"
)

// Binary builds the program and gives its path.
var Binary = sync.OnceValues(func() (string, error) {
	root, err := program.Root()
	if err != nil {
		return "", err
	}
	out := filepath.Join(root, "bin", "crateyard")
	// One after the other: who builds second finds it done, and does not write the file that others start meanwhile.
	unlock, err := program.Lock(out + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	cmd := exec.Command("go", "build", "-o", out, ".")
	cmd.Dir = root
	if msg, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, msg)
	}
	return out, nil
})

// Server is a running server.
type Server struct {
	URL, OpsURL, Data string
	AdminToken        string
	Pid               int

	process *process.Process
}

// startWait bounds how long a start may take; it takes some 50 ms on an idle machine.
const startWait = 2 * time.Minute

// Options are what a server is started with.
type Options struct {
	Data  string
	Flags []string
	Env   []string // beside this process's own
	// AdminToken is the admin's. Empty: the server makes one in its folder.
	AdminToken string
}

// Command prepares another command of the program for the registry of a server, such as check.
func (o Options) Command(args ...string) (*exec.Cmd, error) {
	bin, err := Binary()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, append(append(args, "--data", o.Data), o.Flags...)...)
	cmd.Env = append(os.Environ(), o.Env...)
	return cmd, nil
}

// Start starts a server on free ports over folder data, with more flags, and waits until it serves.
func Start(data string, flags ...string) (*Server, error) {
	return StartWith(Options{Data: data, Flags: flags})
}

// StartWith is Start with all that can be said.
func StartWith(o Options) (*Server, error) {
	bin, err := Binary()
	if err != nil {
		return nil, err
	}
	// Later flags win, so a test may choose its own addresses.
	cmd := exec.Command(bin, append([]string{"serve", "--data", o.Data, "--listen", "127.0.0.1:0", "--ops-listen", "127.0.0.1:0"}, o.Flags...)...)
	cmd.Env = append(os.Environ(), o.Env...)
	if o.AdminToken != "" {
		cmd.Env = append(cmd.Env, "CRATEYARD_ADMIN_TOKEN="+o.AdminToken)
	}
	p, err := process.Start(cmd, syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	s := &Server{Data: o.Data, AdminToken: o.AdminToken, Pid: p.Pid, process: p}
	for end := time.Now().Add(startWait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.Ended():
			return nil, fmt.Errorf("crateyard serve ended: %w\n%s", s.Wait(), s.Logs())
		default:
		}
		if s.URL, s.OpsURL = s.addresses(); s.URL != "" {
			if s.AdminToken != "" {
				return s, nil
			}
			token, err := os.ReadFile(filepath.Join(o.Data, "admin-token"))
			if err != nil {
				return nil, err
			}
			s.AdminToken = strings.TrimSpace(string(token))
			return s, nil
		}
	}
	return nil, fmt.Errorf("crateyard serve did not start in %s\n%s", startWait, s.Logs())
}

var serving = regexp.MustCompile(`Serving\W+url\W+(http[^\s"]+)\W+listen\W+[^\s"]+\W+ops\W+([^\s"]+)`) // in text and in JSON

func (s *Server) addresses() (url, ops string) {
	for sc := bufio.NewScanner(strings.NewReader(s.Logs())); sc.Scan(); {
		if m := serving.FindStringSubmatch(sc.Text()); m != nil {
			return m[1], "http://" + m[2]
		}
	}
	return "", ""
}

// Logs gives what the server printed.
func (s *Server) Logs() string { return s.process.Logs() }

// ForgetLogs drops what the server has printed, which under load is much.
func (s *Server) ForgetLogs() error { return s.process.ForgetLogs() }

// Stop asks the server to stop, as Kubernetes would, and reports an end that was not clean.
func (s *Server) Stop() error {
	if err := s.process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return s.Wait()
}

// Signal sends a signal and does not wait.
func (s *Server) Signal(sig os.Signal) error { return s.process.Signal(sig) }

// Wait waits for the server's end.
func (s *Server) Wait() error { return s.process.Wait(2 * time.Minute) }

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() error {
	if err := s.process.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_ = s.Wait() // "signal: killed"
	return nil
}
