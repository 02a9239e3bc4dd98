package mirror

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// crowded is a store whose disk fills up: bytes do not go in, or are not there after all.
type crowded struct {
	storage.Store
	fullNow, fullLater atomic.Bool
}

var errFull = fault.New(fault.Unavailable, "the registry's disk is full; make room there")

func (c *crowded) Create(ctx context.Context) (storage.Writer, error) {
	w, err := c.Store.Create(ctx)
	return &crowdedWriter{w, c}, err
}

type crowdedWriter struct {
	storage.Writer
	c *crowded
}

func (w *crowdedWriter) Write(p []byte) (int, error) {
	if w.c.fullNow.Load() {
		return 0, errFull
	}
	return w.Writer.Write(p)
}

func (w *crowdedWriter) Commit(ctx context.Context, key string) (func() error, error) {
	durable, err := w.Writer.Commit(ctx, key)
	if w.c.fullLater.Load() {
		return func() error { return errFull }, err
	}
	return durable, err
}

// On a full disk an import tells of nothing that is not kept, and no more does who has one version cached; with room both go well.
func TestImportOnAFullDisk(t *testing.T) {
	m := started(t)
	disk := &crowded{Store: m.Store}
	m.Store = disk
	index := registryOf(t, map[string]string{"a": "1", "b": "2"})
	for _, name := range []string{"from", "to"} {
		if _, _, err := m.Put(t.Context(), catalog.Actor{}, name, wire.MirrorChange{Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: index}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"a", "b"} {
		if _, err := m.Cache(t.Context(), "from", name, "1.0.0"); err != nil {
			t.Fatal(err)
		}
	}
	var bundle bytes.Buffer
	if err := m.Export(t.Context(), "from", &bundle); err != nil {
		t.Fatal(err)
	}
	load := func() (wire.MirrorImport, error) {
		return m.Import(t.Context(), catalog.Actor{}, "to", bytes.NewReader(bundle.Bytes()))
	}
	for what, full := range map[string]*atomic.Bool{"a disk that takes no bytes": &disk.fullNow, "a disk that loses them": &disk.fullLater} {
		full.Store(true)
		if got, err := load(); fault.KindOf(err) != fault.Unavailable || got != (wire.MirrorImport{}) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		if got, err := m.Cache(t.Context(), "to", "a", "1.0.0"); fault.KindOf(err) != fault.Unavailable || got.Fetched {
			t.Errorf("%s: cached %+v, %v", what, got, err)
		}
		full.Store(false)
		if list, err := m.Stored(t.Context(), "to", "a"); err != nil || len(list) != 0 {
			t.Errorf("%s: there is %+v, %v", what, list, err)
		}
	}
	if got, err := load(); err != nil || got.Crates != 2 {
		t.Errorf("with room: %+v, %v", got, err)
	}
	if got, err := load(); err != nil || got.Crates != 0 || got.Present < 2 {
		t.Errorf("again: %+v, %v", got, err)
	}
}

// A bundle that has a file twice is refused: of two files under one name, the list of digests speaks of one.
func TestImportOfAFileTwice(t *testing.T) {
	m := started(t)
	for _, name := range []string{"from", "to"} {
		spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: registryOf(t, map[string]string{"acme": "1"})}}
		if name == "to" {
			spec = m.Mirror("from").Spec
		}
		if _, _, err := m.Put(t.Context(), catalog.Actor{}, name, wire.MirrorChange{Spec: spec}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Cache(t.Context(), "from", "acme", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	var bundle bytes.Buffer
	if err := m.Export(t.Context(), "from", &bundle); err != nil {
		t.Fatal(err)
	}
	for _, prefix := range []string{"index/", "crates/"} {
		var twice bytes.Buffer
		tr, tw := tar.NewReader(bytes.NewReader(bundle.Bytes())), tar.NewWriter(&twice)
		for {
			h, err := tr.Next()
			if err != nil {
				break
			}
			data, err := io.ReadAll(tr)
			if err != nil {
				t.Fatal(err)
			}
			for n := 0; n == 0 || n == 1 && strings.HasPrefix(h.Name, prefix); n++ {
				err := tw.WriteHeader(h)
				_, werr := tw.Write(data)
				if err := errors.Join(err, werr); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		if got, err := m.Import(t.Context(), catalog.Actor{}, "to", &twice); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "twice") {
			t.Errorf("%s: %+v, %v", prefix, got, err)
		}
	}
	if got, err := m.Import(t.Context(), catalog.Actor{}, "to", &bundle); err != nil || got.Crates != 1 {
		t.Errorf("as it was: %+v, %v", got, err)
	}
}

// A later bundle tells what was yanked since, and one from before does not take it back.
func TestImportOfALaterBundle(t *testing.T) {
	o := openOddly(t)
	spec := o.mirror().Spec
	spec.Mode = Pinned
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "to", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Cache(t.Context(), "m", "acme", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	export := func() []byte {
		t.Helper()
		var bundle bytes.Buffer
		if err := o.Export(t.Context(), "m", &bundle); err != nil {
			t.Fatal(err)
		}
		return bundle.Bytes()
	}
	yanked := func(bundle []byte) bool {
		t.Helper()
		if _, err := o.Import(t.Context(), catalog.Actor{}, "to", bytes.NewReader(bundle)); err != nil {
			t.Fatal(err)
		}
		row, err := o.Catalog.MirrorIndexFile(t.Context(), o.Mirror("to").Row.ID, "acme")
		if err != nil || row == nil {
			t.Fatal(row, err)
		}
		file, err := decompress(row.File)
		if err != nil {
			t.Fatal(err)
		}
		return bytes.Contains(file, []byte(`"yanked":true`))
	}
	before := export()
	if yanked(before) {
		t.Error("it is yanked from the beginning")
	}
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/index/ac/me/acme" {
			return false
		}
		sum := sha256.Sum256(*o.file.Load())
		_, _ = fmt.Fprintf(w, `{"name":"acme","vers":"1.0.0","deps":[],"cksum":"%x","features":{},"yanked":true}`+"\n", sum)
		return true
	})
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	later := export()
	for _, bundle := range [][]byte{later, before, later} {
		if !yanked(bundle) {
			t.Error("it is not yanked")
		}
	}
}

// What no index file of the bundle lists, such as what was cached while it was written, is left out of it: who imports it would refuse it.
func TestExportOfWhatNoIndexFileLists(t *testing.T) {
	o := openOddly(t)
	if _, err := o.Cache(t.Context(), "m", "acme", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	o.writer.settled(t.Context())
	if err := o.Catalog.ForgetMirrorIndex(t.Context(), catalog.Actor{}, "m", "acme", nil); err != nil {
		t.Fatal(err)
	}
	var bundle bytes.Buffer
	if err := o.Export(t.Context(), "m", &bundle); err != nil {
		t.Fatal(err)
	}
	if got, err := o.Import(t.Context(), catalog.Actor{}, "m", &bundle); err != nil || got != (wire.MirrorImport{}) {
		t.Errorf("%+v, %v", got, err)
	}
}
