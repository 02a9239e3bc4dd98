//go:build !linux

package conn

import "net"

// writeMore writes p. Only Linux can be told that more follows.
func writeMore(c *net.TCPConn, p []byte) error {
	_, err := c.Write(p)
	return err
}
