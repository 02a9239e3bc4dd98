package catalog

import (
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cutAfter is how long a peer may stay silent to what was sent before the connection counts as lost. It is above what the keepalive takes.
const cutAfter = 14 * time.Second

// dialer makes connections that notice when the network between is cut: probes while we wait, a limit on what is not acknowledged.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3},
		Control: func(network, _ string, raw syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			var set error
			err := raw.Control(func(fd uintptr) {
				set = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(cutAfter.Milliseconds()))
			})
			return errors.Join(err, set)
		},
	}
}
