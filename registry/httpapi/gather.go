package httpapi

import (
	"context"
	"io"
	"net"
)

// net/http writes an answer through a buffer of 4 KiB: headers and the beginning of the body in one system call, the rest of
// the body in another. For index files, which are mostly a little larger, that second call and packet cost a fifth of
// the throughput. A gatheringConn sends both with one writev(2). For archives, which leave with sendfile(2), a packet of its
// own for the headers costs half of the throughput: there the headers wait in the kernel for the file's first bytes.

// GatherListener has its connections gather the two writes of an answer where a handler asks for it. Use ConnContext with it.
type GatherListener struct{ net.Listener }

// Accept waits for a connection.
func (l GatherListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		return &gatheringConn{TCPConn: tcp}, err
	}
	return c, err
}

type connKey struct{}

// ConnContext lets handlers find their connection; it is for http.Server.ConnContext.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// serverBuffer is the size of net/http's write buffer. An answer with a longer body is at least two writes.
const serverBuffer = 4 << 10

// gather has the connection hold the next write back until the one after it. Only for an answer that is at least two writes
// (see serverBuffer), or the first would stay: the caller must be about to write a longer body, and not to HEAD.
func gather(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*gatheringConn); ok {
		c.gathering = true
	}
}

// gatheringConn embeds the TCP connection, so that files still go out with sendfile(2). Writes of one answer come from one
// goroutine at a time, so the fields need no lock.
type gatheringConn struct {
	*net.TCPConn
	gathering bool
	held      []byte
}

// ReadFrom sends the file that r reads from, and what was held back in front of it.
func (c *gatheringConn) ReadFrom(r io.Reader) (int64, error) {
	c.gathering = false
	if len(c.held) > 0 {
		err := writeMore(c.TCPConn, c.held)
		c.held = c.held[:0]
		if err != nil {
			return 0, err
		}
	}
	return c.TCPConn.ReadFrom(r)
}

// Write sends p, together with what was held back, or holds it back.
func (c *gatheringConn) Write(p []byte) (int, error) {
	if c.gathering {
		c.gathering = false
		c.held = append(c.held[:0], p...)
		return len(p), nil
	}
	if len(c.held) == 0 {
		return c.TCPConn.Write(p)
	}
	both := net.Buffers{c.held, p}
	n, err := both.WriteTo(c.TCPConn)
	held := len(c.held)
	c.held = c.held[:0]
	return max(0, int(n)-held), err
}
