package client_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
)

// lines reads the audit to its end and gives the ids and the error that it ended in.
func lines(ctx context.Context, c *client.Client) (ids []int64, err error) {
	for r, err := range c.AuditLines(ctx, client.AuditQuery{Crate: "x"}) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, r.ID)
	}
	return ids, nil
}

func TestAuditLines(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		ids    string
		want   string // of the error; empty: none
	}{
		"records":         {200, `{"id":3,"action":"crate.yank"}` + "\n" + `{"id":2}` + "\n", "[3 2]", ""},
		"none":            {200, "", "[]", ""},
		"no end of line":  {200, `{"id":3}`, "[3]", ""},
		"something else":  {200, "<html>\n", "[]", "is this a Crateyard registry?"},
		"JSON of another": {200, `{"id":3}` + "\n{}\n", "[3]", "is this a Crateyard registry?"},
		"half a record":   {200, `{"id":3}` + "\n" + `{"id":2,"act`, "[3]", "no record"},
		"endless line":    {200, `{"id":3}` + "\n" + strings.Repeat("x", 2<<20), "[3]", "token too long"},
		"refused":         {403, `{"errors":[{"detail":"admins only"}]}`, "[]", "admins only (HTTP 403)"},
	} {
		t.Run(name, func(t *testing.T) {
			c, asked, _ := serve(t, tt.status, tt.body)
			ids, err := lines(t.Context(), c)
			if fmt.Sprint(ids) != tt.ids || (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, %v; want %s and %q", ids, err, tt.ids, tt.want)
			}
			if asked.RequestURI != "/prefix/api/v1/audit?crate=x" || asked.Header.Get("Accept") != "application/x-ndjson" {
				t.Errorf("asked %s for %s", asked.RequestURI, asked.Header.Get("Accept"))
			}
		})
	}
}

// An answer that is cut off must not pass for a whole one.
func TestAuditLinesCutOff(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"id":3}`+"\n")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}))
	defer s.Close()
	ids, err := lines(t.Context(), client.New(s.URL, token))
	if len(ids) != 1 || err == nil || !strings.Contains(err.Error(), "reading the audit") {
		t.Errorf("%v, %v", ids, err)
	}
}

// The time of a whole call does not bound a long answer, and who reads may stop, or be slow.
func TestAuditLinesGoOn(t *testing.T) {
	gone := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(gone)
		for id := 1; r.Context().Err() == nil; id++ {
			_, _ = fmt.Fprintf(w, "{\"id\":%d}\n", id)
			_ = http.NewResponseController(w).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}))
	defer s.Close()
	c := client.New(s.URL, token, client.WithHTTPClient(&http.Client{Timeout: 20 * time.Millisecond}))
	n := 0
	for r, err := range c.AuditLines(t.Context(), client.AuditQuery{}) {
		if n++; err != nil || r.ID != int64(n) {
			t.Fatalf("record %d: %+v, %v", n, r, err)
		}
		if n == 20 {
			break
		}
	}
	select {
	case <-gone:
	case <-time.After(time.Minute):
		t.Error("the server still writes after the reader stopped")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lines(ctx, c); err == nil {
		t.Error("a call that was called off ended well")
	}
}
