// Package port gives tests ports for servers that are started later, or end and start again on the same one.
//
// A port that the kernel chose and that was closed again is anybody's: until the server listens there the kernel may give it to the next who asks for
// any, of whom there are many while other packages' tests run. So those of this package are none that the kernel chooses, and whoever asks here gets
// one that nobody else has who asked here, in any process of the machine.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

const (
	lowest  = 10_000 // below are ports that well-known servers have
	highest = 29_999 // above are those of a Kubernetes cluster's services
	tries   = 1_000
)

// Reserve gives a port of 127.0.0.1 on which nobody listens. It is the caller's until release is called, or the process ends.
func Reserve() (number int, release func(), err error) {
	end := min(highest+1, firstEphemeral())
	for range tries {
		if end <= lowest { // the kernel chooses among all
			return chosen()
		}
		number = lowest + rand.IntN(end-lowest)
		// A name of a socket that lies nowhere, and goes with the process: who has it has the port.
		held, err := net.Listen("unix", fmt.Sprint("@crateyard-test-port-", number))
		if errors.Is(err, syscall.EADDRINUSE) {
			continue
		} else if err != nil {
			return 0, nil, err
		}
		l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", number))
		if err == nil {
			err = l.Close()
		}
		if err == nil {
			return number, sync.OnceFunc(func() { _ = held.Close() }), nil // it was only held
		}
		if err := held.Close(); err != nil {
			return 0, nil, err
		}
	}
	return 0, nil, fmt.Errorf("no port from %d to %d is free", lowest, end-1)
}

// chosen gives a port that the kernel chooses, and nobody holds.
func chosen() (number int, release func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, nil, err
	}
	return l.Addr().(*net.TCPAddr).Port, func() {}, l.Close()
}

// firstEphemeral is the first port of those that the kernel chooses among.
func firstEphemeral() (first int) {
	data, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err == nil {
		_, err = fmt.Sscan(strings.TrimSpace(string(data)), &first)
	}
	if err != nil {
		return 32_768 // Linux's own default
	}
	return first
}

// TB is what Address needs of a *testing.T or *testing.B.
type TB interface {
	Helper()
	Cleanup(func())
	Fatal(args ...any)
}

// Address gives an address of this machine, such as 127.0.0.1:12345, on which nobody listens but who is told of it, until the test ends.
func Address(t TB) string {
	t.Helper()
	number, release, err := Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return fmt.Sprint("127.0.0.1:", number)
}
