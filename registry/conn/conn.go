// Package conn is the connections of the public address, below net/http's server: answers of two writes leave in one system call and one packet
// (gather.go), and the requests that a registry gets most, those for index files and small archives, are answered where they arrive (arrive.go). A server that dies resets
// its connections, so that cargo asks another (reset.go).
package conn

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// Listener gives a server its connections.
type Listener struct {
	net.Listener
	server *http.Server

	arrivals atomic.Pointer[arrivals]
	stopped  atomic.Bool
	inFlight atomic.Int64 // answers that are under way
	clock    clock
}

// Listen gives a server the connections of l. It takes the server's hooks ConnContext and ConnState. Before the server shuts down, call Stop and Drain.
func Listen(l net.Listener, server *http.Server) *Listener {
	server.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }
	server.ConnState = func(c net.Conn, state http.ConnState) {
		if own, ok := c.(*Conn); ok && state == http.StateIdle && own.state == busy {
			own.state, own.deadline = idle, time.Time{} // the server has set deadlines of its own
		}
	}
	return &Listener{Listener: l, server: server}
}

// Accept waits for a connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return c, err
	}
	_ = resetAtDeath(tcp) // it fails where the client is gone already, which the server sees
	return &Conn{TCPConn: tcp, listener: l}, err
}

// arrivals are the requests that are answered where they arrive.
type arrivals struct {
	are     func(path string) bool
	handler http.Handler
}

// Answer has a handler answer plain GET requests for the paths that are says, from now on, without the server. The contexts of these requests do not
// end when the client goes away, and its time to take the answer is the server's WriteTimeout, so they must be such as the handler answers soon, and in short. It
// says a body's type, sets headers before the status, and none with 204 and 304 that speak of a body; it flushes nothing. are waits for nobody. The path that it
// is given may have a query behind it.
func (l *Listener) Answer(are func(path string) bool, h http.Handler) {
	l.arrivals.Store(&arrivals{are, h})
}

// Stop has the server answer all requests that arrive from now on.
func (l *Listener) Stop() { l.stopped.Store(true) }

// Drain waits, after Stop, for the answers under way: the server knows nothing of them when it closes idle connections.
func (l *Listener) Drain(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for l.inFlight.Load() > 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("clients did not take the index files and small archives that they had asked for")
		}
	}
	return nil
}

// Conn is a connection. It embeds the TCP connection, so that files still go out with sendfile(2). One goroutine at a time reads, and one writes the
// writes of one answer, so the fields need no lock.
type Conn struct {
	*net.TCPConn
	listener *Listener

	gathering bool
	held      []byte

	state    state
	remote   string    // the other end
	deadline time.Time // when we set the deadlines last; zero: they are the server's
}

type connKey struct{}

// state is what the server has of a connection.
type state int

const (
	fresh state = iota // nothing yet; without a first request the server would take it for unused, and hold up its own end for it
	busy               // one whole request
	idle               // nothing: it has answered what it got, and waits for the next request
	left               // something else: it is the server's for good
)
