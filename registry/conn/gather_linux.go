package conn

import (
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// writeMore writes p and tells the kernel that more follows at once: p leaves in one packet with what is written next, or
// after 200 ms (see MSG_MORE in send(2)).
func writeMore(c *net.TCPConn, p []byte) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		for len(p) > 0 {
			n, err := unix.SendmsgN(int(fd), p, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch {
			case errors.Is(err, unix.EINTR):
			case errors.Is(err, unix.EAGAIN):
				return false // until the connection takes more
			case err != nil:
				failed = err
				return true
			default:
				p = p[n:]
			}
		}
		return true
	})
	return errors.Join(err, failed)
}
