package conn

import (
	"errors"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// awaitEnd waits until the client ends the connection, or for the read deadline. What the client sends meanwhile stays where it is.
func awaitEnd(c *net.TCPConn, _ []byte) (n int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var ended error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		for {
			n, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_PEEK)
			switch {
			case errors.Is(err, unix.EINTR):
				continue
			case err == nil && n == 0:
				ended = io.EOF
			case err != nil && !errors.Is(err, unix.EAGAIN):
				ended = err
			}
			return ended != nil // a request is there already, or nothing yet: the end would come behind it
		}
	})
	if ended != nil {
		return 0, ended
	}
	return 0, err // the deadline's, by which the server ends the wait
}
