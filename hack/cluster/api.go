package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

// API is a client of the API server for the few objects that this program
// handles. client-go would take minutes to compile before the first cluster.
type API struct {
	base string
	http *http.Client
}

// StatusError is an answer other than success.
type StatusError struct {
	Code    int
	Message string
}

func (e *StatusError) Error() string { return e.Message }

// adminAPI dials inside the namespace, as administrator.
func (c *Cluster) adminAPI(port int) (*API, error) {
	ca, err := os.ReadFile(c.cert("ca"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	cert, err := tls.LoadX509KeyPair(c.cert("admin"), c.key("admin"))
	if err != nil {
		return nil, err
	}
	return &API{
		base: fmt.Sprintf("https://%s:%d", nodeIP, port),
		http: &http.Client{Transport: &http.Transport{
			DialContext:     c.dialContext,
			TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}},
			IdleConnTimeout: time.Minute,
		}},
	}, nil
}

// API is the client of the cluster as it is recorded.
func (c *Cluster) API() (*API, error) {
	s, err := c.ReadState()
	if err != nil {
		return nil, fmt.Errorf("the cluster %q is not up: %w", c.Name, err)
	}
	return c.adminAPI(s.Port)
}

func (c *Cluster) dialContext(ctx context.Context, _, address string) (net.Conn, error) {
	return dialIn(ctx, c.NetNSPath(), address)
}

// Get reads an object or a list into out, unless that is nil.
func (a *API) Get(ctx context.Context, path string, out any) error {
	return a.do(ctx, http.MethodGet, path, "", nil, out)
}

// Create makes an object.
func (a *API) Create(ctx context.Context, path string, object any) error {
	return a.do(ctx, http.MethodPost, path, "application/json", object, nil)
}

// Patch merges fields into an object.
func (a *API) Patch(ctx context.Context, path string, fields any) error {
	return a.do(ctx, http.MethodPatch, path, "application/merge-patch+json", fields, nil)
}

// Delete deletes an object, which may be gone already.
func (a *API) Delete(ctx context.Context, path string, options any) error {
	err := a.do(ctx, http.MethodDelete, path, "application/json", options, nil)
	if isStatus(err, http.StatusNotFound) {
		return nil
	}
	return err
}

func isStatus(err error, code int) bool {
	status, ok := err.(*StatusError)
	return ok && status.Code == code
}

func (a *API) do(ctx context.Context, method, path, contentType string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	res, err := a.send(ctx, method, path, contentType, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, res.Body) // or the connection could not be used again
		return err
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// Watch calls changed whenever anything happens to the objects of a list,
// until the API server ends the watch, as it does every few minutes.
func (a *API) Watch(ctx context.Context, path string, changed func()) error {
	res, err := a.send(ctx, http.MethodGet, path+"?watch=1", "", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	for events := json.NewDecoder(res.Body); ; {
		var event struct{ Type string }
		if err := events.Decode(&event); err != nil {
			return err
		}
		changed()
	}
}

func (a *API) send(ctx context.Context, method, path, contentType string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, body)
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	res, err := a.http.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode < 300 {
		return res, nil
	}
	defer res.Body.Close()
	var status struct{ Message string }
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if json.Unmarshal(text, &status) != nil || status.Message == "" {
		status.Message = string(text)
	}
	return nil, &StatusError{res.StatusCode, fmt.Sprintf("%s %s: %s: %s", method, path, res.Status, status.Message)}
}
