package postgres

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// shared is the one server of a test binary: a start takes a second, a new database some 30 ms.
var shared struct {
	sync.Mutex
	server *Server
}

// Main runs the tests of a package and ends the server that they shared: func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "PostgreSQL:", err)
			return max(code, 1)
		}
	}
	return code
}

// Database gives the address of an empty database on the server that all tests of the binary share. A test that stops a server
// starts its own.
func Database(t testing.TB) string {
	t.Helper()
	shared.Lock()
	defer shared.Unlock()
	if shared.server == nil {
		s, err := Start(Options{})
		if err != nil {
			t.Fatal(err)
		}
		shared.server = s
	}
	uri, err := shared.server.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// StartTest starts a server for one test.
func StartTest(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Start(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
