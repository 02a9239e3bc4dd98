//go:build !linux

package catalog

import (
	"net"
	"time"
)

// dialer makes connections that notice when the network between is cut.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 3 * time.Second, Count: 3},
	}
}
