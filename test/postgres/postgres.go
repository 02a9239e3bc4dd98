// Package postgres runs a private PostgreSQL server for tests and benchmarks: a new cluster in a folder of its own, on a free port of
// 127.0.0.1, with passwords checked and every commit durable. It can be stopped, killed and started again on the same port.
//
// The programs are Debian's. Where they are missing they are installed, which asks for root. PostgreSQL refuses to run as root, so
// root starts it as user postgres.
package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/process"
)

// Password is that of the server's only user; tests look for it where no password may stand.
const Password = "pass-w0rd/of:the@test"

const (
	userName = "crateyard"
	// startWait bounds how long a start may take, recovery after a kill included; it takes some 200 ms on an idle machine.
	startWait = 2 * time.Minute
)

// Options say how a server runs.
type Options struct {
	NoSync   bool              // commits are not durable: faster
	TLS      bool              // connections may be encrypted; see CA
	Settings map[string]string // of postgresql.conf
}

// Server is a server that runs or can run again.
type Server struct {
	dir, bin  string
	port      int
	release   func() // of the port
	settings  map[string]string
	cred      *syscall.Credential
	process   *process.Process // nil while it is stopped
	databases atomic.Int64
}

// Start makes a cluster and starts its server.
func Start(o Options) (_ *Server, err error) {
	s := &Server{settings: map[string]string{
		"listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "200", "jit": "off", "fsync": "on",
	}}
	if o.NoSync {
		s.settings["fsync"], s.settings["synchronous_commit"] = "off", "off"
	}
	for k, v := range o.Settings {
		s.settings[k] = v
	}
	if s.bin, err = programs(); err != nil {
		return nil, err
	}
	if s.cred, err = credential(); err != nil {
		return nil, err
	}
	if s.port, s.release, err = port.Reserve(); err != nil {
		return nil, err
	}
	removeLeftovers()
	if s.dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", folderPrefix, os.Getpid())); err != nil {
		return nil, err
	}
	err = s.initialise()
	if err == nil && o.TLS {
		err = s.encrypt()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	if err := s.Up(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Server) initialise() error {
	passwords := filepath.Join(s.dir, "password")
	if err := os.WriteFile(passwords, []byte(Password), 0o600); err != nil {
		return err
	}
	if s.cred != nil {
		for _, p := range []string{s.dir, passwords} {
			if err := os.Chown(p, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
				return err
			}
		}
	}
	// Its collation is none of the catalog's, so that a query that leans on it shows.
	cmd := s.command("initdb", "--no-sync", "--auth=scram-sha-256", "--username="+userName, "--pwfile="+passwords, "--encoding=UTF8",
		"--locale-provider=icu", "--icu-locale=en-US", "--locale=C.UTF-8", s.data())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

func (s *Server) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(s.bin, program), args...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	return cmd
}

// Up starts the server again after Stop or Kill, on the same port and data, and waits until it answers.
func (s *Server) Up() error {
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for k, v := range s.settings {
		args = append(args, "-c", k+"="+v)
	}
	logs, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = logs.Close() }() // the process has its own
	cmd := s.command("postgres", args...)
	cmd.Stdout, cmd.Stderr = logs, logs
	s.process, err = process.Start(cmd, syscall.SIGQUIT) // PostgreSQL's "at once"
	if err != nil {
		return err
	}
	for end := time.Now().Add(startWait); ; time.Sleep(10 * time.Millisecond) {
		ctx, cancel := context.WithDeadline(context.Background(), end)
		conn, err := pgx.Connect(ctx, s.URI("postgres"))
		if err == nil {
			err = conn.Close(ctx)
		}
		cancel()
		if err == nil {
			return nil
		}
		select {
		case <-s.process.Ended():
			return fmt.Errorf("postgres ended\n%s", s.Logs())
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("postgres did not start in %s: %w\n%s", startWait, err, s.Logs())
		}
	}
}

// Stop ends the server in order; connections are cut.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends the server at once, as a crash would; the next start recovers from its log.
func (s *Server) Kill() error { return s.end(syscall.SIGQUIT) }

func (s *Server) end(sig syscall.Signal) error {
	if s.process == nil {
		return nil
	}
	p := s.process
	s.process = nil
	err := p.Signal(sig)
	if err == nil {
		select {
		case <-p.Ended(): // how is in its log
		case <-time.After(startWait):
			err = fmt.Errorf("postgres did not stop in %s", startWait)
		}
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, s.Logs())
	}
	return err
}

// Close ends the server and removes its data.
func (s *Server) Close() error {
	defer s.release()
	return errors.Join(s.Kill(), os.RemoveAll(s.dir))
}

// URI is the address of a database, user and password included.
func (s *Server) URI(database string) string {
	return (&url.URL{Scheme: "postgres", User: url.UserPassword(userName, Password), Host: "127.0.0.1:" + strconv.Itoa(s.port), Path: "/" + database,
		RawQuery: "sslmode=disable"}).String()
}

// Addr is the server's host and port.
func (s *Server) Addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// NewDatabase makes an empty database and gives its address.
func (s *Server) NewDatabase() (uri string, err error) {
	name := "test" + strconv.FormatInt(s.databases.Add(1), 10)
	return s.URI(name), s.Exec("CREATE DATABASE " + name)
}

// Exec runs a statement in the database postgres.
func (s *Server) Exec(statement string) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), startWait)
	defer cancel()
	conn, err := pgx.Connect(ctx, s.URI("postgres"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// Logs gives what the server printed.
func (s *Server) Logs() string {
	data, err := os.ReadFile(filepath.Join(s.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(data))
}

// Bin is the folder of the programs: pgbench, psql.
func (s *Server) Bin() string { return s.bin }

// credential is whom root runs the server as; nil: whoever we are.
func credential() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, err
		}
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

const folderPrefix = "crateyard-postgres-"

// removeLeftovers removes the folders of processes that ended without Close.
func removeLeftovers() {
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), folderPrefix+"*-*")) // the pattern is right
	for _, dir := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), folderPrefix), "-")
		n, err := strconv.Atoi(pid)
		if err == nil && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			_ = os.RemoveAll(dir) // another's, perhaps
		}
	}
}
