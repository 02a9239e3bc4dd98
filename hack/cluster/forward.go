package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"
)

// selfName is the copy of this program in the state directory. Background
// processes run from there, since go run deletes its own binary at its end.
const selfName = "crateyard-cluster"

func (c *Cluster) self() string { return c.Path("bin", selfName) }

// installSelf makes the copy that background processes run from.
func (c *Cluster) installSelf() error {
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return err
	}
	return writeFile(c.self(), program, 0o755)
}

// Forward makes an address of the host lead into the cluster, replacing what
// that address led to before. It returns the address, with the port that the
// kernel chose when the given one is 0.
func (c *Cluster) Forward(ctx context.Context, listen string, to target) (string, error) {
	unlock, err := c.Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	if !c.running("kube-apiserver") {
		return "", errNotUp(c)
	}
	// Each connection looks the Service up again. This first time is for the
	// error message: a typing mistake should not end up in a log.
	if _, _, err := (&forwarder{cluster: c, to: to}).resolve(ctx); err != nil {
		return "", err
	}
	if err := c.installSelf(); err != nil {
		return "", err
	}
	if err := stopRecorded(c.forwardRecord(listen), time.Second); err != nil {
		return "", err
	}
	// The listener is opened here and handed down: an address in use is
	// reported at once, and connections are accepted from now on.
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return "", err
	}
	defer l.Close()
	address := l.Addr().String()
	return address, c.launchForwarder("forward", c.forwardRecord(address), l, to)
}

// Expose is the other way round: it makes an address of the cluster's network
// lead to one of the host, such as a database that tests run there.
func (c *Cluster) Expose(listen, to string) error {
	unlock, err := c.Lock()
	if err != nil {
		return err
	}
	defer unlock()
	if !c.running("kube-apiserver") {
		return errNotUp(c)
	}
	if err := c.installSelf(); err != nil {
		return err
	}
	record := c.forwardRecord(listen)
	if err := stopRecorded(record, time.Second); err != nil {
		return err
	}
	var l net.Listener
	if err := inNetNS(c.NetNSPath(), func() (err error) {
		l, err = net.Listen("tcp", listen)
		return err
	}); err != nil {
		return err
	}
	defer l.Close()
	return c.launchForwarder("expose", record, l, target{host: to})
}

// StopForward is fine when there is none.
func (c *Cluster) StopForward(listen string) error {
	return stopRecorded(c.forwardRecord(listen), time.Second)
}

func (c *Cluster) forwardRecord(listen string) string {
	return c.Path("forwards", filepath.Base(listen)+".json")
}

func (c *Cluster) stopForwards() error {
	records, _ := filepath.Glob(c.Path("forwards", "*.json"))
	for _, r := range records {
		if err := stopRecorded(r, time.Second); err != nil {
			return err
		}
	}
	return nil
}

// startAPIForwarder lets the host reach the API server.
func (c *Cluster) startAPIForwarder(port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer l.Close()
	return c.launchForwarder("api-forwarder", c.recordPath("api-forwarder"), l, target{address: fmt.Sprintf("%s:%d", nodeIP, port)})
}

func (c *Cluster) launchForwarder(name, record string, l net.Listener, to target) error {
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = c.launch(spec{
		name: name, program: c.self(), record: record, onHost: true, files: []*os.File{f},
		args: append([]string{"run-forwarder", "--name", c.Name, "--state", c.State}, to.args()...),
	})
	return err
}

// freePort prefers the given port. The listener is closed again, so somebody
// else could take the port; then starting the forwarder says so.
func freePort(ctx context.Context, preferred int) (int, error) {
	var lc net.ListenConfig
	for _, port := range []int{preferred, 0} {
		l, err := lc.Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			port = l.Addr().(*net.TCPAddr).Port
			return port, l.Close()
		}
	}
	return 0, fmt.Errorf("no free port on 127.0.0.1")
}
