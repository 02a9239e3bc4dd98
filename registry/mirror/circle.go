package mirror

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
)

// A mirror may be its own upstream: by another host name, through a proxy, or by way of other mirrors that are upstreams of each other. Whoever asks it for
// what is not cached would wait for an answer that waits for itself. That is seen in config.json, which a mirror answers for without asking anybody: its
// addresses of archives are its own, and a header names its upstream.

var (
	errItself = fmt.Errorf("%w: it is this mirror itself, by its config.json: give the mirror another upstream", errNoUse)
	errCircle = fmt.Errorf("%w: it is a mirror whose own upstream is this mirror, directly or by way of others: give one of them another upstream", errNoUse)
)

const (
	circleMost = 5               // mirrors of mirrors that are looked at
	circleWait = 3 * time.Second // for all of them: an archive may wait for the first look at config.json
)

// comesBack gives an error where upstream is the mirror itself, or one that mirrors it. downloads and next are what upstream's config.json said: where its
// archives lie, and the index that it is a mirror of itself, if it is one. What cannot be found out is none.
func (u *upstream) comesBack(ctx context.Context, downloads, next string) error {
	if downloads == u.own {
		return errItself
	}
	ctx, cancel := context.WithTimeout(ctx, circleWait)
	defer cancel()
	for range circleMost {
		next = strings.TrimPrefix(next, "sparse+")
		switch {
		case !strings.Contains(next, "/mirrors/"): // only mirrors are asked: what they mirror in the end may be out of reach from here
			return nil
		case next+"crates" == u.own:
			return errCircle
		}
		if downloads, next = u.mirrorAt(ctx, next); downloads == u.own {
			return errCircle
		}
	}
	return nil
}

// mirrorAt reads the config.json of another mirror. It gives nothing where that cannot be read: nobody has a token for it.
func (u *upstream) mirrorAt(ctx context.Context, index string) (downloads, next string) {
	resp, err := u.once(ctx, "config", index+"config.json", http.Header{"Accept": {"application/json"}}, []int{http.StatusOK})
	if err != nil {
		return "", ""
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	var c registryConfig
	if json.NewDecoder(io.LimitReader(resp.Body, maxConfig)).Decode(&c) != nil {
		return "", ""
	}
	return c.Download, resp.Header.Get(wire.UpstreamHeader)
}
