package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"

	"github.com/crateyard/crateyard/registry/mirror/advisory"
)

// repository is a git repository over HTTP, and the file that keeps its newest commit.
type repository struct {
	address string
	dir     string
	prefix  string // of the file's name, one for each address: PREFIX-COMMIT.pack
	client  transport.Transport
}

const packEnd = ".pack"

func newRepository(address, dir string) (*repository, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	t := http.DefaultTransport.(*http.Transport).Clone() // with the proxy of the environment
	t.ResponseHeaderTimeout = time.Minute
	return &repository{
		address: address,
		dir:     dir,
		prefix:  fmt.Sprintf("%x", sha256.Sum256([]byte(address)))[:16],
		client:  githttp.NewClient(&http.Client{Transport: bounded{t}}),
	}, nil
}

// cached loads what was fetched before; nil where there is nothing, or nothing that can be read.
func (r *repository) cached() *state {
	names, _ := filepath.Glob(filepath.Join(r.dir, r.prefix+"-*"+packEnd)) // the pattern is no bad one
	slices.SortFunc(names, func(a, b string) int { return modTime(b).Compare(modTime(a)) })
	for _, name := range names {
		commit := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(name), r.prefix+"-"), packEnd)
		pack, err := readFile(name)
		if err != nil {
			continue
		}
		if s, err := load(pack, commit); err == nil {
			return s
		}
	}
	return nil
}

func modTime(name string) time.Time {
	info, err := os.Stat(name)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxSent))
}

// update asks for the newest commit and fetches it, unless it is the one that is known; then it gives nil.
func (r *repository) update(ctx context.Context, known string) (*state, error) {
	endpoint, err := transport.NewEndpoint(r.address)
	if err != nil {
		return nil, err
	}
	session, err := r.client.NewUploadPackSession(endpoint, nil)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	refs, err := session.AdvertisedReferencesContext(ctx)
	switch {
	case err != nil:
		return nil, err
	case refs.Head == nil:
		return nil, fmt.Errorf("the repository's HEAD names no commit")
	case refs.Head.String() == known:
		return nil, nil
	}
	pack, err := fetch(ctx, session, refs)
	if err != nil {
		return nil, err
	}
	fresh, err := load(pack, refs.Head.String())
	if err != nil {
		return nil, err
	}
	if err := r.keep(pack, fresh.commit); err != nil {
		fresh.problems = append(fresh.problems, fmt.Errorf("the database cannot be kept for the next start of the server: %w", err))
	}
	return fresh, nil
}

// fetch gets the pack of the newest commit alone.
func fetch(ctx context.Context, session transport.UploadPackSession, refs *packp.AdvRefs) ([]byte, error) {
	req := packp.NewUploadPackRequest()
	req.Wants = append(req.Wants, *refs.Head)
	req.Depth = packp.DepthCommits(1)
	if !refs.Capabilities.Supports(capability.Shallow) {
		return nil, fmt.Errorf("the git server cannot send a commit without its history (it lacks %q)", capability.Shallow)
	}
	for _, c := range []capability.Capability{capability.Shallow, capability.OFSDelta} { // none that wraps the pack
		if refs.Capabilities.Supports(c) {
			if err := req.Capabilities.Set(c); err != nil {
				return nil, err
			}
		}
	}
	res, err := session.UploadPack(ctx, req)
	if err != nil {
		return nil, err
	}
	defer res.Close()
	return io.ReadAll(res)
}

// keep writes the file for the next start, and removes those of older commits.
func (r *repository) keep(pack []byte, commit string) error {
	name := filepath.Join(r.dir, r.prefix+"-"+commit+packEnd)
	f, err := os.CreateTemp(r.dir, r.prefix+"-*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(pack)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	old, _ := filepath.Glob(filepath.Join(r.dir, r.prefix+"-*"))
	for _, other := range old {
		if other == name || !strings.HasSuffix(other, packEnd) && time.Since(modTime(other)) < staleTemp {
			continue
		}
		if err := os.Remove(other); err != nil && !errors.Is(err, fs.ErrNotExist) { // another server that shares the folder may be first
			return err
		}
	}
	return nil
}

// staleTemp is the age at which a file that is being written belongs to nobody any more.
const staleTemp = time.Hour

// load reads a pack that holds a commit with a database.
func load(pack []byte, commit string) (*state, error) {
	files, err := unpack(pack, commit)
	if err != nil {
		return nil, fmt.Errorf("commit %s: %w", commit, err)
	}
	db, problems := advisory.LoadFiles(files)
	if db == nil {
		return nil, fmt.Errorf("commit %s: %w", commit, errors.Join(problems...))
	}
	return &state{db: db, problems: problems, commit: commit}, nil
}

// bounded lets no answer be longer than maxSent.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(req)
	if err == nil {
		res.Body = &boundedBody{ReadCloser: res.Body, left: maxSent}
	}
	return res, err
}

type boundedBody struct {
	io.ReadCloser
	left int64
}

func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the git server sends more than %d MiB", maxSent>>20)
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// oneLine makes an error fit a line of a status: go-git puts whole pages of a server into it.
func oneLine(err error) error {
	text := strings.Join(strings.Fields(strings.ToValidUTF8(err.Error(), "")), " ")
	if len(text) > 300 {
		text = strings.ToValidUTF8(text[:300], "") + "…"
	}
	return &shortError{text, err}
}

type shortError struct {
	text string
	err  error
}

func (e *shortError) Error() string { return e.text }
func (e *shortError) Unwrap() error { return e.err }
