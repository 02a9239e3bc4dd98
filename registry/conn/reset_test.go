package conn_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/crateyard/crateyard/registry/conn"
)

// silent is set for a process that is a server whose handler says on standard output that it has a request, and never answers.
const silent = "CRATEYARD_TEST_SILENT_SERVER"

// A server that is killed leaves its clients a reset, after which cargo asks again, and not an orderly end, after which it does not.
func TestDeathResets(t *testing.T) {
	if os.Getenv(silent) != "" {
		serveSilently(t)
	}
	child := exec.Command(os.Args[0], "-test.run=^TestDeathResets$")
	child.Env = append(os.Environ(), silent+"=1")
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = child.Process.Kill()
		_ = child.Wait() // it was killed
	})
	said := bufio.NewScanner(out)
	said.Scan()
	c := (&server{addr: said.Text()}).dial(t)
	if _, err := io.WriteString(c.c, get("/other")); err != nil {
		t.Fatal(err)
	}
	if said.Scan(); said.Text() != "asked" {
		t.Fatal(said.Text(), said.Err())
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client of a killed server sees %v, want a reset", err)
	}
}

func serveSilently(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(l.Addr())
	hs := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		fmt.Println("asked")
		select {}
	})}
	t.Fatal(hs.Serve(conn.Listen(l, hs)))
}

// What a server has written before it ends a connection itself arrives, and then an orderly end.
func TestEndIsOrderly(t *testing.T) {
	body := strings.Repeat("b", 4<<20) // more than lies in the buffers of a connection while its client waits
	s := serve(t, true, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, body)
	}))
	c := s.dial(t)
	if _, err := io.WriteString(c.c, get("/other")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != body {
		t.Errorf("%d bytes of %d: %v", len(got), len(body), err)
	}
	if _, err := c.in.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %v, want the end", err)
	}
}
