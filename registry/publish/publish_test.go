package publish

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/test/upload"
)

// asked is a catalog that notes what it is asked, and finds what it is told to.
type asked struct {
	calls   []string
	isNew   bool
	taken   error
	missing []string
}

func (a *asked) find(allow func(catalog.Standing) error) error {
	if err := allow(catalog.Standing{Exists: !a.isNew, Owner: true, InPerson: true, Visible: true}); err != nil {
		return err
	}
	return a.taken
}

func (a *asked) CheckPublish(_ context.Context, _ catalog.Publication, allow func(catalog.Standing) error) error {
	a.calls = append(a.calls, "check")
	return a.find(allow)
}

func (a *asked) MissingDependencies(context.Context, catalog.Publication) ([]string, error) {
	return a.missing, nil
}

func (a *asked) Publish(_ context.Context, p catalog.Publication, allow func(catalog.Standing) error) error {
	a.calls = append(a.calls, "publish")
	if err := a.find(allow); err != nil {
		return err
	}
	if len(a.missing) > 0 {
		return fault.New(fault.Invalid, "%s", strings.Join(a.missing, "\n"))
	}
	for range 2 { // as a transaction that is tried again
		if err := errors.Join(p.Store(), p.Durable()); err != nil {
			return err
		}
	}
	return nil
}

// The catalog is asked before about uploads that are large or not good, and about new crates; a small one that it refuses leaves nothing in the
// store, takes nothing of what its user may publish, and hears of all that is wrong.
func TestAsksBefore(t *testing.T) {
	noise := make([]byte, 2*smallArchive)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	small, large := upload.New("a", "1.0.0", nil), upload.New("a", "1.0.0", noise)
	bad := upload.Crate{Frame: upload.Frame(`{"name":"a","vers":"1.0.0","deps":[],"features":{}}`, []byte("no gzip"))}
	conflict := fault.New(fault.Conflict, "taken")
	for name, tc := range map[string]struct {
		crate   upload.Crate
		catalog asked
		calls   string
		refused string // parts of the error
		blobs   int
		admits  string // of new crates or not, and what is given back
	}{
		"small":                    {small, asked{}, "publish", "", 1, "false"},
		"small, new":               {small, asked{isNew: true}, "publish check publish", "", 1, "true"},
		"small, taken":             {small, asked{taken: conflict}, "publish check", "taken", 0, "false back"},
		"small, missing and taken": {small, asked{taken: conflict, missing: []string{"deps: b"}}, "publish check", "taken|deps: b", 0, "false back"},
		"small, missing":           {small, asked{missing: []string{"deps: b"}}, "publish check", "deps: b", 0, "false back"},
		"small, forbidden":         {small, asked{taken: fault.New(fault.Forbidden, "not yours")}, "publish", "not yours", 0, "false back"},
		"small, bad":               {bad, asked{taken: conflict, missing: []string{"deps: b"}}, "check", "taken|deps: b|no gzip", 0, ""},
		"large":                    {large, asked{}, "check publish", "", 1, "false"},
		"large, taken":             {large, asked{taken: conflict}, "check", "taken", 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := storage.OpenFilesystem(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = store.Close() }()
			var admits []string
			who := Uploader{Principal: &auth.Principal{UserID: 1, User: "u", Role: auth.Publisher}, Admit: func(isNew bool) (func(), error) {
				admits = append(admits, fmt.Sprint(isNew))
				return func() { admits = append(admits, "back") }, nil
			}}
			p := Publisher{Catalog: &tc.catalog, Store: store, Limits: crate.DefaultLimits, URL: "https://own"}
			_, err = p.Publish(t.Context(), who, bytes.NewReader(tc.crate.Frame))
			if (err == nil) != (tc.refused == "") {
				t.Errorf("%v, want %q", err, tc.refused)
			}
			for part := range strings.SplitSeq(tc.refused, "|") {
				if err != nil && !strings.Contains(err.Error(), part) {
					t.Errorf("%v does not say %q", err, part)
				}
			}
			blobs := 0
			for _, err := range store.List(t.Context(), "", "") {
				if blobs++; err != nil {
					t.Error(err)
				}
			}
			if calls := strings.Join(tc.catalog.calls, " "); calls != tc.calls || blobs != tc.blobs {
				t.Errorf("calls %q, want %q; %d blobs, want %d", calls, tc.calls, blobs, tc.blobs)
			}
			if got := strings.Join(admits, " "); got != tc.admits {
				t.Errorf("admitted %q, want %q", got, tc.admits)
			}
		})
	}
}
