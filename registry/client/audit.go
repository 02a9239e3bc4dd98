package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
)

// AuditQuery chooses records of the audit. Empty fields choose all.
type AuditQuery struct {
	User    string // who made the change
	Crate   string // in any spelling
	Version string
	Action  string // such as crate.publish
	Subject string // user, group or token (user/name) that was changed
	Token   string // name of the token that the change was made with
	TokenID int64  // its number
	Address string // of the client
	Since   time.Time
	Until   time.Time // not included
	Before  int64     // id; only older records
	Limit   int       // of Audit: records of a page, 1 to 1000; 0: 100
}

func (a AuditQuery) values() url.Values {
	q := url.Values{}
	for name, value := range map[string]string{"user": a.User, "crate": a.Crate, "version": a.Version, "action": a.Action, "subject": a.Subject, "token": a.Token,
		"address": a.Address} {
		if value != "" {
			q.Set(name, value)
		}
	}
	for name, at := range map[string]time.Time{"since": a.Since, "until": a.Until} {
		if !at.IsZero() {
			q.Set(name, at.UTC().Format(time.RFC3339))
		}
	}
	for name, id := range map[string]int64{"before_id": a.Before, "token_id": a.TokenID} {
		if id != 0 {
			q.Set(name, strconv.FormatInt(id, 10))
		}
	}
	return q
}

// Audit gives one page of the audit, the newest record first. Next of the answer is the Before of the page behind it.
func (c *Client) Audit(ctx context.Context, a AuditQuery) (wire.Audit, error) {
	q := a.values()
	if a.Limit != 0 {
		q.Set("limit", strconv.Itoa(a.Limit))
	}
	var page wire.Audit
	err := c.do(ctx, http.MethodGet, "/audit"+query(q), nil, &page)
	return page, err
}

// maxLine is the longest line of the audit that is read. The longest that a server writes names 1000 members of a group before
// and after, at 253 bytes each.
const maxLine = 1 << 20

// AuditLines gives all records that a chooses, the newest first, while they arrive: it holds one at a time. Limit does not
// count. An answer that is cut off, or that stands still for Timeout, ends in an error.
func (c *Client) AuditLines(ctx context.Context, a AuditQuery) iter.Seq2[wire.AuditRecord, error] {
	return func(yield func(wire.AuditRecord, error) bool) {
		ctx, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		stall := time.AfterFunc(Timeout, func() { cancel(fmt.Errorf("the audit stood still for %s", Timeout)) })
		defer stall.Stop()
		fail := func(err error) {
			if cause := context.Cause(ctx); cause != nil && errors.Is(err, context.Canceled) {
				err = cause
			}
			yield(wire.AuditRecord{}, err)
		}
		slow := *c.http
		slow.Timeout = 0 // of the whole answer; stall bounds each line instead
		resp, err := c.send(ctx, &slow, http.MethodGet, "/audit"+query(a.values()), "application/x-ndjson", nil)
		if err != nil {
			fail(err)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			answer, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status says enough where the text is cut
			fail(newError(resp, answer))
			return
		}
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, maxLine)
		for lines.Scan() {
			stall.Stop() // the reader may take its time
			var r wire.AuditRecord
			if err := json.Unmarshal(lines.Bytes(), &r); err != nil || r.ID == 0 {
				fail(errors.New("the audit has a line that is no record; is this a Crateyard registry?"))
				return
			}
			if !yield(r, nil) {
				return
			}
			stall.Reset(Timeout)
		}
		if err := lines.Err(); err != nil {
			fail(fmt.Errorf("reading the audit: %w", err))
		}
	}
}
