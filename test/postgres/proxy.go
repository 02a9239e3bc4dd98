package postgres

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Fault is a way in which a Proxy makes a message from the client fail.
type Fault string

// The faults.
const (
	Slow       Fault = "slow"        // 50 ms late
	Cut        Fault = "cut off"     // the connection ends before it
	LostAnswer Fault = "answer lost" // the server gets it, and the connection ends before its answer
)

// late is how late a slow message is.
const late = 50 * time.Millisecond

// Proxy stands before a database, and sees what clients send as messages: what they write at a time, which is a query, or several of a batch.
type Proxy struct {
	URI string // of the database, through the proxy

	listener net.Listener
	to       string

	mu       sync.Mutex
	messages int
	nth      int
	fault    Fault
	conns    map[net.Conn]bool
}

// NewProxy starts a proxy before the database of a URI, that ends with the test.
func NewProxy(t testing.TB, uri string) *Proxy {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, to: u.Host, conns: map[net.Conn]bool{}}
	u.Host = l.Addr().String()
	p.URI = u.String()
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // it accepts no more
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close() // so that its copying ends
		}
		p.mu.Unlock()
		work.Wait()
	})
	return p
}

// Fail makes the nth message from now on fail; an empty fault lets all through. It counts from 0 again.
func (p *Proxy) Fail(nth int, fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.messages, p.nth, p.fault = 0, nth, fault
}

// Messages is how many came since Fail.
func (p *Proxy) Messages() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.messages
}

func (p *Proxy) due() Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.messages++; p.messages == p.nth {
		return p.fault
	}
	return ""
}

func (p *Proxy) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
}

func (p *Proxy) end(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	_ = c.Close() // it may be closed
}

func (p *Proxy) serve(client net.Conn) {
	p.keep(client)
	defer p.end(client)
	server, err := net.Dial("tcp", p.to)
	if err != nil {
		return
	}
	p.keep(server)
	defer p.end(server)
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(client, server) // until one of them ends
		_ = client.Close()
	})
	defer answers.Wait()
	defer func() { _ = server.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 && p.pass(client, server, buf[:n]) != nil || err != nil {
			return
		}
	}
}

var errCut = errors.New("cut off")

// pass brings a message to the server.
func (p *Proxy) pass(client, server net.Conn, message []byte) error {
	switch p.due() {
	case Slow:
		time.Sleep(late)
	case Cut:
		return errors.Join(errCut, client.Close())
	case LostAnswer:
		_ = client.Close() // nobody hears of what the server says
		_, err := server.Write(message)
		time.Sleep(late) // in which the server does it
		return errors.Join(errCut, err)
	}
	_, err := server.Write(message)
	return err
}
