package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// target is where a forwarder leads: an address inside the namespace, a
// Service, or an address of the host.
type target struct {
	address, host            string
	namespace, service, port string
}

// parseService reads NAMESPACE/NAME:PORT, where the port is a number or a name.
func parseService(s string) (target, error) {
	namespace, rest, ok := strings.Cut(s, "/")
	name, port, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 || namespace == "" || name == "" || port == "" || strings.ContainsAny(name+port, "/:") {
		return target{}, fmt.Errorf("service %q: write NAMESPACE/NAME:PORT, such as default/acme:80", s)
	}
	return target{namespace: namespace, service: name, port: port}, nil
}

func (t target) args() []string {
	if t.host != "" {
		return []string{"--to-host", t.host}
	}
	if t.address != "" {
		return []string{"--to", t.address}
	}
	return []string{"--service", t.namespace + "/" + t.service + ":" + t.port}
}

// forwarder accepts connections on the host and dials inside the namespace,
// or the other way round; its listener is where it was opened.
type forwarder struct {
	cluster *Cluster
	to      target

	mu       sync.Mutex
	resolved string
	until    time.Time
}

// Serve forwards until the context ends.
func (f *forwarder) Serve(ctx context.Context, l net.Listener) error {
	context.AfterFunc(ctx, func() { _ = l.Close() })
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			log.Print(err) // out of file descriptors, most likely; others will close theirs
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go f.forward(ctx, conn.(*net.TCPConn))
	}
}

func (f *forwarder) forward(ctx context.Context, client *net.TCPConn) {
	defer client.Close()
	conn, err := f.dial(ctx)
	if err != nil {
		log.Print(err)
		_ = client.SetLinger(0) // a reset, which the client sees as the refusal that it is
		return
	}
	server := conn.(*net.TCPConn)
	defer server.Close()
	var wg sync.WaitGroup
	wg.Go(func() { pipe(server, client) })
	wg.Go(func() { pipe(client, server) })
	wg.Wait()
}

// pipe passes on the end of the data too: the other direction may still be needed. A reset stays a reset: clients ask again after one, and not after an end.
func pipe(to, from *net.TCPConn) {
	_, err := io.Copy(to, from)
	if err != nil {
		for _, c := range []*net.TCPConn{to, from} {
			_ = c.SetLinger(0)
			_ = c.Close() // or the other direction would wait for ever
		}
		return
	}
	_ = to.CloseWrite()
}

// dial tries a second time with a fresh address, for a Service that was made anew.
func (f *forwarder) dial(ctx context.Context) (net.Conn, error) {
	if f.to.host != "" {
		d := net.Dialer{Timeout: 10 * time.Second}
		return d.DialContext(ctx, "tcp", f.to.host)
	}
	address, fresh, err := f.resolve(ctx)
	if err != nil {
		return nil, err
	}
	conn, err := dialIn(ctx, f.cluster.NetNSPath(), address)
	if err == nil || fresh {
		return conn, err
	}
	f.forget()
	if address, _, err = f.resolve(ctx); err != nil {
		return nil, err
	}
	return dialIn(ctx, f.cluster.NetNSPath(), address)
}

// resolve finds the Service's address, and remembers it for a moment, so that
// a load test does not load the API server.
func (f *forwarder) resolve(ctx context.Context) (address string, fresh bool, err error) {
	if f.to.address != "" {
		return f.to.address, true, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.resolved != "" && time.Now().Before(f.until) {
		return f.resolved, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	api, err := f.cluster.API() // read anew: after a restart the port may be another
	if err != nil {
		return "", false, err
	}
	defer api.http.CloseIdleConnections()
	address, err = f.to.resolve(ctx, api)
	if err == nil {
		f.resolved, f.until = address, time.Now().Add(time.Second)
	}
	return address, true, err
}

func (f *forwarder) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.resolved = ""
}

func (t target) resolve(ctx context.Context, api *API) (string, error) {
	var s service
	if err := api.Get(ctx, "/api/v1/namespaces/"+t.namespace+"/services/"+t.service, &s); err != nil {
		return "", err
	}
	if s.Spec.ClusterIP == "" || s.Spec.ClusterIP == "None" {
		return "", fmt.Errorf("the Service %s/%s is headless: it has no address to forward to", t.namespace, t.service)
	}
	var has []string
	for _, p := range s.Spec.Ports {
		if p.Name == t.port || strconv.Itoa(p.Port) == t.port {
			return net.JoinHostPort(s.Spec.ClusterIP, strconv.Itoa(p.Port)), nil
		}
		has = append(has, strings.TrimPrefix(p.Name+"/"+strconv.Itoa(p.Port), "/"))
	}
	return "", fmt.Errorf("the Service %s/%s has no port %s, only %s", t.namespace, t.service, t.port, strings.Join(has, ", "))
}

// inheritedListener is the one that launchForwarder handed down.
func inheritedListener() (net.Listener, error) {
	f := os.NewFile(3, "listener")
	defer f.Close()
	return net.FileListener(f)
}
