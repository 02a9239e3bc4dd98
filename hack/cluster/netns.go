package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The whole node lives in one network namespace without a way out: addresses,
// bridge and iptables rules cannot meet the machine's own, and vanish with it.

// createNetNS makes the namespace with loopback, the pods' bridge and forwarding.
func (c *Cluster) createNetNS(ctx context.Context) error {
	ns := c.NetNS()
	for _, args := range [][]string{
		{"netns", "add", ns},
		{"-n", ns, "link", "set", "lo", "up"},
		{"-n", ns, "link", "add", bridge, "type", "bridge"},
		{"-n", ns, "addr", "add", nodeIP + "/16", "dev", bridge},
		{"-n", ns, "link", "set", bridge, "up"},
		// There is no default route, and a packet needs some route before iptables
		// gets to see that it is for a Service.
		{"-n", ns, "route", "add", serviceCIDR, "dev", bridge},
	} {
		if _, err := command(ctx, "ip", args...); err != nil {
			return err
		}
	}
	return inNetNS(c.NetNSPath(), func() error {
		return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)
	})
}

// bridgedTrafficMeetsIptables tells whether br_netfilter is there. Without it
// the answer of one pod to another takes the short way over the bridge, past
// the address translation of Services.
func (c *Cluster) bridgedTrafficMeetsIptables() bool {
	met := false
	_ = inNetNS(c.NetNSPath(), func() error {
		data, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
		met = err == nil && strings.TrimSpace(string(data)) == "1"
		return err
	})
	return met
}

// deleteNetNS is fine when there is none.
func (c *Cluster) deleteNetNS(ctx context.Context) error {
	if _, err := os.Stat(c.NetNSPath()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := command(ctx, "ip", "netns", "del", c.NetNS()); err != nil {
		return err
	}
	// ip mounts the directory onto itself, and leaves it so. Others may use it
	// too: it goes when it is empty.
	dir := filepath.Dir(c.NetNSPath())
	if left, err := os.ReadDir(dir); err == nil && len(left) == 0 {
		_ = unix.Unmount(dir, unix.MNT_DETACH)
		_ = os.Remove(dir)
	}
	return nil
}

// inNetNS runs f in the namespace. Namespaces belong to threads: f gets one of
// its own, which is never unlocked, so that the runtime discards it afterwards
// instead of running other goroutines in the wrong network.
func inNetNS(path string, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		ns, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			result <- fmt.Errorf("network namespace %s: %w (is the cluster up?)", path, err)
			return
		}
		defer unix.Close(ns)
		if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
			result <- fmt.Errorf("enter network namespace %s: %w", path, err)
			return
		}
		result <- f()
	}()
	return <-result
}

// dialIn connects to an address inside the namespace. The namespace is opened
// for each connection, so this outlives a restart of the cluster. The address
// must be an IP: a name would be looked up by other threads, outside.
func dialIn(ctx context.Context, netns, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if net.ParseIP(host) == nil {
		return nil, fmt.Errorf("%q is not an IP address", host)
	}
	var conn net.Conn
	err = inNetNS(netns, func() (err error) {
		d := net.Dialer{Timeout: 10 * time.Second}
		conn, err = d.DialContext(ctx, "tcp", address)
		return err
	})
	return conn, err
}

// startIn starts a command in the namespace; a child inherits the namespace of
// the thread that forks it.
func startIn(netns string, cmd *exec.Cmd) error { return inNetNS(netns, cmd.Start) }
