package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/crateyard/crateyard/test/serve"
)

// uploads is a connection that publishes one version after the other, and costs next to nothing itself: where both cores are idle, each hand-over between
// goroutines takes some tens of µs, and net/http's client has four of them a request.
type uploads struct {
	conn    net.Conn
	answers *bufio.Reader
	head    string // of a request, but for the length of its body
	buf     []byte
}

func newUploads(ctx context.Context, to *serve.Server) (*uploads, error) {
	host := strings.TrimPrefix(to.URL, "http://")
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", host)
	if err != nil {
		return nil, err
	}
	return &uploads{conn: conn, answers: bufio.NewReader(conn), head: "PUT /api/v1/crates/new HTTP/1.1\r\nHost: " + host + "\r\nAuthorization: " + to.AdminToken}, nil
}

// send publishes an upload.
func (u *uploads) send(frame []byte) error {
	u.buf = append(fmt.Appendf(u.buf[:0], "%s\r\nContent-Length: %d\r\n\r\n", u.head, len(frame)), frame...)
	if _, err := u.conn.Write(u.buf); err != nil {
		return err
	}
	resp, err := http.ReadResponse(u.answers, nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("publish: %s: %s", resp.Status, text)
	}
	return err
}

func (u *uploads) close() error { return u.conn.Close() }
