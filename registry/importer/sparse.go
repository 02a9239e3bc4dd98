package importer

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/index"
)

// Sparse is any registry with a sparse index.
type Sparse struct {
	Index string   // base of the index, as in sparse+https://crates.example.com/index/, without "sparse+" or with it
	Token string   // for reading; may be empty
	Names []string // crates to bring; empty: all that its search lists
	HTTP  *http.Client
}

// config is the config.json of the index.
type config struct {
	DL  string `json:"dl"`
	API string `json:"api"`
}

// Crates reads the index of each crate.
func (s Sparse) Crates(ctx context.Context) iter.Seq2[Crate, error] {
	return func(yield func(Crate, error) bool) {
		base := strings.TrimSuffix(strings.TrimPrefix(s.Index, "sparse+"), "/") + "/"
		var c config
		if err := s.json(ctx, base+"config.json", &c); err != nil {
			yield(Crate{}, err)
			return
		}
		if c.DL == "" {
			yield(Crate{}, fmt.Errorf("%sconfig.json names no dl: is this the base of a sparse index?", base))
			return
		}
		none := true
		for name, err := range s.names(ctx, c) {
			if err != nil {
				yield(Crate{}, err)
				return
			}
			none = false
			found, err := s.crate(ctx, base, c, name)
			if !yield(found, err) || ctx.Err() != nil {
				return
			}
		}
		if none {
			yield(Crate{}, fmt.Errorf("the registry's search lists no crates: is %s the index that you mean, and may its token, --source-token-file, see them? Else name them with --crate", base))
		}
	}
}

// names gives the crates to bring. Those of a whole registry come from its search, which all have in crates.io's shape.
func (s Sparse) names(ctx context.Context, c config) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for _, name := range s.Names {
			if !yield(name, nil) {
				return
			}
		}
		if len(s.Names) > 0 {
			return
		}
		if c.API == "" {
			yield("", fmt.Errorf("the registry has no web API to ask which crates it has; name them with --crate"))
			return
		}
		const perPage = 100
		seen := map[string]bool{}
		for page := 1; ; page++ {
			var found struct {
				Crates []struct{ Name string }
				Meta   struct{ Total int }
			}
			if err := s.json(ctx, fmt.Sprintf("%s/api/v1/crates?q=&sort=alpha&per_page=%d&page=%d", strings.TrimSuffix(c.API, "/"), perPage, page), &found); err != nil {
				yield("", fmt.Errorf("ask which crates there are (or name them with --crate): %w", err))
				return
			}
			fresh := false
			for _, k := range found.Crates {
				if seen[k.Name] {
					continue
				}
				seen[k.Name], fresh = true, true
				if !yield(k.Name, nil) {
					return
				}
			}
			if !fresh || len(seen) >= found.Meta.Total { // some know no pages, and give the first for ever
				return
			}
		}
	}
}

func (s Sparse) crate(ctx context.Context, base string, c config, name string) (Crate, error) {
	file, err := s.get(ctx, base+index.Path(name), maxIndexFile)
	if err != nil {
		return Crate{Name: name}, err
	}
	real, versions, err := parseIndex(file)
	if err != nil {
		return Crate{Name: name}, err
	}
	for i, v := range versions {
		address := download(c.DL, real, v)
		versions[i].Open = func(ctx context.Context) (io.ReadCloser, error) { return s.open(ctx, address) }
	}
	return Crate{Name: real, Versions: versions}, nil
}

// maxIndexFile bounds an index file; the largest of crates.io has some 10 MB.
const maxIndexFile = 64 << 20

// download makes the address of an archive, by the cargo book's rules for "dl".
func download(dl, name string, v Version) string {
	prefix := strings.TrimSuffix(index.Path(name), "/"+strings.ToLower(name))
	lower := strings.ToLower(prefix)
	if len(name) > 3 {
		prefix = name[:2] + "/" + name[2:4]
	}
	filled := strings.NewReplacer("{crate}", name, "{version}", v.Vers, "{prefix}", prefix, "{lowerprefix}", lower, "{sha256-checksum}", v.SHA256).Replace(dl)
	if filled != dl {
		return filled
	}
	return strings.TrimSuffix(dl, "/") + "/" + name + "/" + url.PathEscape(v.Vers) + "/download"
}

func (s Sparse) json(ctx context.Context, address string, out any) error {
	data, err := s.get(ctx, address, maxIndexFile)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, out); err != nil {
		return fmt.Errorf("%s: %w", address, err)
	}
	return nil
}

func (s Sparse) get(ctx context.Context, address string, most int64) ([]byte, error) {
	body, err := s.open(ctx, address)
	if err != nil {
		return nil, err
	}
	defer func() { _ = body.Close() }() // it was read only
	data, err := io.ReadAll(io.LimitReader(body, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: more than %d bytes", address, most)
	}
	return data, err
}

// tries is how often a request is made that the other registry cannot answer just now.
const tries = 4

// open makes a request, again after a while when the other side asks for that or is away. A token goes to the host of the index
// only; net/http leaves it out when a redirect leads elsewhere.
func (s Sparse) open(ctx context.Context, address string) (io.ReadCloser, error) {
	wait := time.Second
	for try := 1; ; try++ {
		body, after, err := s.once(ctx, address)
		if err == nil || after < 0 || try == tries {
			return body, err
		}
		select {
		case <-time.After(max(wait, after)):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		wait *= 2
	}
}

// once makes a request. after is negative when another try would end the same way.
func (s Sparse) once(ctx context.Context, address string) (_ io.ReadCloser, after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, -1, err
	}
	req.Header.Set("User-Agent", "crateyard import")
	if index, err := url.Parse(strings.TrimPrefix(s.Index, "sparse+")); s.Token != "" && err == nil && index.Host == req.URL.Host {
		req.Header.Set("Authorization", s.Token)
	}
	resp, err := s.HTTP.Do(req)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, 0, nil
	}
	_ = resp.Body.Close() // what it says is for programs
	err = fmt.Errorf("%s: %s", address, resp.Status)
	switch {
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden:
		return nil, -1, fmt.Errorf("%w: give a token that may read, with --source-token-file", err)
	case resp.StatusCode == http.StatusTooManyRequests, resp.StatusCode >= 500:
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0: it does not say
		return nil, time.Duration(min(max(seconds, 0), 60)) * time.Second, err
	}
	return nil, -1, err
}
