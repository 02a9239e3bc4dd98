package client

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// IndexLine is what counts of a line of the index.
type IndexLine struct {
	Vers   string `json:"vers"`
	Cksum  string `json:"cksum"` // SHA-256 of the archive, in hex
	Yanked bool   `json:"yanked"`
}

// IndexLines gives the lines of a crate in the index; none when there is no such crate.
func (c *Client) IndexLines(ctx context.Context, crate string) (lines []IndexLine, err error) {
	req, err := c.request(ctx, http.MethodGet, strings.TrimSuffix(c.base, "/api/v1"), "/index/"+index.Path(crate), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, withoutUserinfo(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode == http.StatusNotFound:
		return nil, nil
	case resp.StatusCode != http.StatusOK:
		return nil, newError(resp, text)
	}
	for line := range strings.Lines(string(text)) {
		var l IndexLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			return nil, fmt.Errorf("index of %s: %w", crate, err)
		}
		lines = append(lines, l)
	}
	return lines, nil
}

// ImportedVersion is a version of another registry.
type ImportedVersion struct {
	Metadata    []byte // JSON as cargo sends it
	Archive     []byte
	Yanked      bool
	PublishedAt time.Time // zero: now
}

// ImportVersion stores a version as it was in another registry.
func (c *Client) ImportVersion(ctx context.Context, v ImportedVersion) error {
	q := url.Values{}
	if v.Yanked {
		q.Set("yanked", "true")
	}
	if !v.PublishedAt.IsZero() {
		q.Set("published_at", v.PublishedAt.UTC().Format(time.RFC3339))
	}
	frame := binary.LittleEndian.AppendUint32(nil, uint32(len(v.Metadata)))
	frame = binary.LittleEndian.AppendUint32(append(frame, v.Metadata...), uint32(len(v.Archive)))
	body := io.MultiReader(bytes.NewReader(frame), bytes.NewReader(v.Archive))
	return c.upload(ctx, http.MethodPut, "/import"+query(q), "application/octet-stream", body, int64(len(frame)+len(v.Archive)), nil)
}

// IsUnreachable reports whether there was no answer at all, or one that says that there is none just now.
func IsUnreachable(err error) bool {
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	return hasStatus(err, http.StatusServiceUnavailable)
}
