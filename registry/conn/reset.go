package conn

import "net"

// A server that is killed, or whose memory is over, ends no connection itself: its kernel does. By default that is an orderly end, and cargo takes an
// orderly end without an answer for the answer (curl's error 52), and fails; a reset (56) it takes for the mishap that it is, and asks again, of
// another replica. So a connection is one that its kernel resets, until the server ends it.

// resetAtDeath has the kernel reset a connection that nobody ends.
func resetAtDeath(c *net.TCPConn) error { return c.SetLinger(0) }

// Close ends the connection in order: what is written arrives.
func (c *Conn) Close() error {
	_ = c.SetLinger(-1) // it fails where the connection is closed already, as Close does
	return c.TCPConn.Close()
}
