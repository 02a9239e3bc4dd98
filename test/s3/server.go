package s3

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/process"
)

// Server is an S3 server on 127.0.0.1. Buckets are addressed by path.
type Server struct {
	Endpoint             string // http://127.0.0.1:PORT, the same after a Stop and a Resume
	AccessKey, SecretKey string // of the one user, who may do everything
	Region               string
	Dir                  string   // objects lie in Dir/BUCKET/KEY
	Flags                []string // more of the program's, from the next Resume on
	Pid                  int

	process *process.Process // nil while it is stopped
	release func()           // of the port
	buckets int
}

// startWait bounds how long a start may take; it takes some 100 ms on an idle machine.
const startWait = 2 * time.Minute

// Start starts a server over folder dir, which must exist.
func Start(dir string) (*Server, error) {
	s := &Server{AccessKey: "crateyard-test", SecretKey: "test-secret-of-crateyard", Region: "us-east-1", Dir: dir}
	number, release, err := port.Reserve()
	if err != nil {
		return nil, err
	}
	s.Endpoint, s.release = fmt.Sprint("http://127.0.0.1:", number), release
	return s, s.Resume()
}

// TB is what New needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Fatal(args ...any)
	Error(args ...any)
}

// New starts a server that ends with the test.
func New(t TB) *Server {
	t.Helper()
	s, err := Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
		s.release()
	})
	return s
}

// Resume starts a server that was stopped, on the same port, over the same folder.
func (s *Server) Resume() error {
	if s.process != nil {
		return errors.New("the S3 server runs already")
	}
	bin, err := Program()
	if err != nil {
		return err
	}
	addr := strings.TrimPrefix(s.Endpoint, "http://")
	args := append([]string{"--port", addr, "--access", s.AccessKey, "--secret", s.SecretKey, "--region", s.Region, "--dir", s.Dir}, s.Flags...)
	s.process, err = process.Start(exec.Command(bin, args...), syscall.SIGKILL)
	if err != nil {
		return err
	}
	s.Pid = s.process.Pid
	for end := time.Now().Add(startWait); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		select {
		case <-s.process.Ended():
			return s.Stop()
		default:
		}
		if c, err := net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
	}
	return errors.Join(fmt.Errorf("versitygw did not start in %s\n%s", startWait, s.Logs()), s.Stop())
}

// Stop ends the server at once; what it has acknowledged stays in its folder. To stop a stopped one does nothing.
func (s *Server) Stop() error {
	if s.process == nil {
		return nil
	}
	p := s.process
	s.process = nil
	if err := p.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	_ = p.Wait(startWait) // "signal: killed"
	return nil
}

// Logs gives what the server, which runs, printed since it was started last.
func (s *Server) Logs() string { return s.process.Logs() }

// Client is the SDK's client, for what a test does beside the code under test.
func (s *Server) Client() *sdk.Client {
	return sdk.New(sdk.Options{Region: s.Region, BaseEndpoint: aws.String(s.Endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKey, s.SecretKey, "")})
}

// Bucket makes one more bucket and gives its name.
func (s *Server) Bucket(ctx context.Context) (string, error) {
	s.buckets++
	name := fmt.Sprintf("crateyard-%d", s.buckets)
	_, err := s.Client().CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: &name})
	return name, err
}

// WriteCredentials writes the keys into folder dir, a file each, as Kubernetes mounts a Secret.
func (s *Server) WriteCredentials(dir string) error {
	return errors.Join(
		os.WriteFile(filepath.Join(dir, "AWS_ACCESS_KEY_ID"), []byte(s.AccessKey), 0o600),
		os.WriteFile(filepath.Join(dir, "AWS_SECRET_ACCESS_KEY"), []byte(s.SecretKey), 0o600))
}
