package mirror

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/crateyard/crateyard/registry/wire"
)

const (
	configFor = time.Hour // how long upstream's config.json is believed
	maxConfig = 64 << 10
)

// registryConfig is what counts of upstream's config.json.
type registryConfig struct {
	Download     string `json:"dl"`
	AuthRequired bool   `json:"auth-required"`
}

// registry gives upstream's config.json.
func (u *upstream) registry(ctx context.Context) (*registryConfig, error) {
	u.mu.Lock()
	c, fresh := u.config, time.Since(u.read) < configFor
	u.mu.Unlock()
	if fresh {
		return c, nil
	}
	now, err := u.ask(ctx)
	if err != nil && c != nil {
		return c, nil // addresses of files hold for ever
	}
	return now, err
}

// ask asks for upstream's config.json, whatever is known of it.
func (u *upstream) ask(ctx context.Context) (*registryConfig, error) {
	v, err, _ := u.configs.Do("", func() (any, error) { return u.readConfig(ctx) })
	if err != nil {
		return nil, err
	}
	return v.(*registryConfig), nil
}

func (u *upstream) readConfig(ctx context.Context) (*registryConfig, error) {
	header := http.Header{"Accept": {"application/json"}}
	u.authorize(header, true)
	resp, err := u.get(ctx, "config", u.base+"config.json", header, http.StatusOK, http.StatusNotFound)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == http.StatusNotFound {
		_ = resp.Body.Close() // it is of no use
		return nil, u.failed(errors.New("it has no config.json: is it a sparse index?"))
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxConfig))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, u.failed(err)
	}
	var c registryConfig
	dl, perr := url.Parse("")
	if err = json.Unmarshal(data, &c); err == nil {
		dl, perr = url.Parse(c.Download)
	}
	if err != nil {
		return nil, u.failed(errors.New("its config.json is not the JSON of a registry: is it a sparse index?"))
	}
	if err = perr; err != nil || dl.Scheme != "http" && dl.Scheme != "https" || dl.Host == "" {
		return nil, u.failed(cmp.Or(err, errors.New("its config.json names no address of downloads: is it a sparse index?")))
	}
	if err = u.comesBack(ctx, c.Download, resp.Header.Get(wire.UpstreamHeader)); err != nil {
		u.circle.Store(&err)
		return nil, u.failed(err)
	}
	u.circle.Store(nil)
	u.answers()
	u.mu.Lock()
	defer u.mu.Unlock()
	u.config, u.read = &c, time.Now()
	return &c, nil
}
