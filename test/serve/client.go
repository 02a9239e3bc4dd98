package serve

import (
	"bytes"
	"io"
	"net/http"
	"time"
)

// Client asks one server, as one principal. It knows nothing of what it asks for.
type Client struct {
	URL, Token string // Token may be empty
	http       *http.Client
}

// NewClient makes a client that keeps its connections.
func NewClient(url, token string) *Client {
	return &Client{URL: url, Token: token, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 2 * time.Minute}}
}

// Do gives the whole answer, or an error when there was none, or only a part of one.
func (c *Client) Do(method, path string, body []byte) (status int, text []byte, err error) {
	req, err := http.NewRequest(method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	if c.Token != "" {
		req.Header.Set("Authorization", c.Token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	text, err = io.ReadAll(resp.Body)
	return resp.StatusCode, text, err
}

// Close closes the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }
