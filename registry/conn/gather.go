package conn

import (
	"context"
	"io"
	"net"
)

// net/http writes an answer through a buffer of 4 KiB: headers and the beginning of the body in one system call, the rest of
// the body in another. For files, which leave with sendfile(2), a packet of its own for the headers costs half of the throughput: there the headers
// wait in the kernel for the file's first bytes. A body from memory goes together with its headers, in one writev(2).

// ServerBuffer is the size of net/http's write buffer. An answer with a longer body is at least two writes.
const ServerBuffer = 4 << 10

// Gather has the connection of a request hold its next write back until the one after it. Only for an answer that is at least two writes
// (see ServerBuffer), or the first would stay: the caller must be about to write a longer body, and not to HEAD.
func Gather(ctx context.Context) {
	if c, ok := ctx.Value(connKey{}).(*Conn); ok {
		c.gathering = true
	}
}

// ReadFrom sends the file that r reads from, and what was held back in front of it.
func (c *Conn) ReadFrom(r io.Reader) (int64, error) {
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
func (c *Conn) Write(p []byte) (int, error) {
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
