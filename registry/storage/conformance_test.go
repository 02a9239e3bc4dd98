package storage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestConformance holds every backend against what Store promises.
func TestConformance(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			for name, test := range map[string]func(*testing.T, Store){
				"commit, cancel, visibility": testCommit, "sizes": testSizes, "seeks": testSeeks, "ranges over HTTP": testRanges,
				"same key twice": testTwice, "same key at once": testAtOnce, "list": testList, "list of many": testListMany,
				"delete": testDelete, "missing": testMissing, "invalid keys": testInvalidKeys, "claim": testClaim,
			} {
				t.Run(name, func(t *testing.T) { test(t, b.open(t)) })
			}
		})
	}
}

// blobOf makes bytes that do not compress, and the key that they have.
func blobOf(name, version string, size int) (key string, data []byte) {
	data = make([]byte, size)
	r := rand.NewChaCha8(sha256.Sum256([]byte(name + version)))
	_, _ = r.Read(data) // it never fails
	sum := sha256.Sum256(data)
	return CrateKey(name, version, hex.EncodeToString(sum[:])), data
}

// store stores a blob and waits until it is durable.
func store(ctx context.Context, s Store, key string, data []byte) error {
	w, err := s.Create(ctx)
	if err != nil {
		return err
	}
	for piece := range slices.Chunk(data, 30_000) {
		if _, err := w.Write(piece); err != nil {
			return errors.Join(err, w.Cancel())
		}
	}
	durable, err := w.Commit(ctx, key)
	if err != nil {
		return errors.Join(err, w.Cancel())
	}
	return durable()
}

func read(ctx context.Context, s Store, key string) ([]byte, error) {
	b, err := s.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(b)
	return data, errors.Join(err, b.Close())
}

func mustStore(t *testing.T, s Store, key string, data []byte) {
	t.Helper()
	if err := store(t.Context(), s, key, data); err != nil {
		t.Fatal(err)
	}
}

func mustHold(t *testing.T, s Store, key string, want []byte) {
	t.Helper()
	got, err := read(t.Context(), s, key)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes, want %d, %v", key, len(got), len(want), err)
	}
}

func keys(t *testing.T, s Store, prefix, after string) (keys []string) {
	t.Helper()
	for info, err := range s.List(t.Context(), prefix, after) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

func testCommit(t *testing.T, s Store) {
	key, data := blobOf("demo", "1.0.0+build.1", 20_000)
	w, err := s.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("visible before its commit: %v", err)
	}
	durable, err := w.Commit(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // a second wait is answered, too
		if err := durable(); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Cancel(); err != nil {
		t.Errorf("cancel after commit: %v", err)
	}
	mustHold(t, s, key, data)
	if w, err = s.Create(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("cancelled"), 100_000)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Cancel(); err != nil {
			t.Fatal(err)
		}
	}
	if got := keys(t, s, "", ""); !slices.Equal(got, []string{key}) {
		t.Errorf("%q", got)
	}
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got := keys(t, s, "", ""); !slices.Equal(got, []string{key}) {
		t.Errorf("after a check: %q", got)
	}
}

func testSizes(t *testing.T, s Store) {
	for _, size := range []int{0, 1, spoolMemory - 1, spoolMemory, spoolMemory + 1, 10 << 20} {
		key, data := blobOf("sizes", fmt.Sprint(size), size)
		before := time.Now()
		mustStore(t, s, key, data)
		mustHold(t, s, key, data)
		info, err := s.Stat(t.Context(), key)
		if err != nil || info.Key != key || info.Size != int64(size) || info.Modified.Before(before.Add(-5*time.Second)) || info.Modified.After(time.Now().Add(5*time.Second)) {
			t.Errorf("%d: %+v %v", size, info, err)
		}
		b, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := b.Stat(); err != nil || info.Size() != int64(size) || info.ModTime().IsZero() || info.IsDir() {
			t.Errorf("%d: %+v %v", size, info, err)
		}
		var copied bytes.Buffer
		if n, err := io.Copy(&copied, b); err != nil || n != int64(size) || !bytes.Equal(copied.Bytes(), data) {
			t.Errorf("%d: copied %d %v", size, n, err)
		}
		if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
			t.Errorf("%d: after the end: %d %v", size, n, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

func testSeeks(t *testing.T, s Store) {
	const size = 1 << 20
	key, data := blobOf("seeks", "1.0.0", size)
	mustStore(t, s, key, data)
	b, err := s.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	r := rand.New(rand.NewPCG(1, 2))
	at := int64(0)
	for range 60 {
		offset, whence := int64(r.IntN(size)), io.SeekStart
		want := offset
		switch r.IntN(4) {
		case 0:
			offset, whence = -int64(r.IntN(size)), io.SeekEnd
			want = size + offset
		case 1:
			offset, whence, want = 0, io.SeekCurrent, at
		}
		if got, err := b.Seek(offset, whence); err != nil || got != want {
			t.Fatalf("seek %d %d: %d %v, want %d", offset, whence, got, err, want)
		}
		piece := make([]byte, min(int64(1+r.IntN(100_000)), size-want))
		if _, err := io.ReadFull(b, piece); err != nil || !bytes.Equal(piece, data[want:want+int64(len(piece))]) {
			t.Fatalf("%d bytes at %d: %v", len(piece), want, err)
		}
		at = want + int64(len(piece))
	}
	if _, err := b.Seek(-1, io.SeekStart); err == nil {
		t.Error("a seek before the begin went well")
	}
	if at, err := b.Seek(5, io.SeekEnd); err != nil || at != size+5 {
		t.Errorf("%d %v", at, err)
	}
	if n, err := b.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("behind the end: %d %v", n, err)
	}
}

func testRanges(t *testing.T, s Store) {
	key, data := blobOf("ranges", "1.0.0", 100_000)
	mustStore(t, s, key, data)
	for _, c := range []struct {
		method, header string
		status         int
		want           []byte
	}{
		{"GET", "", 200, data},
		{"HEAD", "", 200, nil},
		{"GET", "bytes=0-0", 206, data[:1]},
		{"GET", "bytes=70000-", 206, data[70_000:]},
		{"GET", "bytes=-10", 206, data[len(data)-10:]},
		{"GET", "bytes=10-20000", 206, data[10:20_001]},
		{"GET", "bytes=100000-", 416, []byte("invalid range: failed to overlap\n")},
	} {
		b, err := s.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		info, err := b.Stat()
		if err != nil {
			t.Fatal(err)
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest(c.method, "/", nil)
		r.Header.Set("Range", c.header)
		w.Header().Set("Content-Type", "application/gzip")
		http.ServeContent(w, r, "", info.ModTime(), b)
		if w.Code != c.status || !bytes.Equal(w.Body.Bytes(), c.want) {
			t.Errorf("%s %q: %d, %d bytes", c.method, c.header, w.Code, w.Body.Len())
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What is stored under a key is whole after each commit, also when half of it lay there before.
func testTwice(t *testing.T, s Store) {
	key, data := blobOf("twice", "1.0.0", 300_000)
	for _, d := range [][]byte{data[:100], data, data} {
		mustStore(t, s, key, d)
		mustHold(t, s, key, d)
	}
}

func testAtOnce(t *testing.T, s Store) {
	key, data := blobOf("at-once", "1.0.0", 300_000)
	var g errgroup.Group
	for range 20 {
		g.Go(func() error { return store(t.Context(), s, key, data) })
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	mustHold(t, s, key, data)
}

func testList(t *testing.T, s Store) {
	all := []string{"crates/foo-bar/1-a", "crates/foo.bar/1-a", "crates/foo/1+b-a", "crates/foo/1-a", "crates/foo/2-a", "crates/foo0/1-a", "crates/foo_bar/1-a", "mirrors/m/x-1"}
	slices.Sort(all)
	for _, i := range rand.Perm(len(all)) {
		mustStore(t, s, all[i], []byte(all[i]))
	}
	if err := Claim(t.Context(), s, "id", false); err != nil { // what lies there is no blob
		t.Fatal(err)
	}
	if got := keys(t, s, "", ""); !slices.Equal(got, all) {
		t.Errorf("all: %q", got)
	}
	for i, after := range all {
		if got := keys(t, s, "", after); !slices.Equal(got, all[i+1:]) {
			t.Errorf("after %s: %q", after, got)
		}
	}
	for _, c := range []struct {
		prefix, after string
		want          []string
	}{
		{"crates/foo/", "", []string{"crates/foo/1+b-a", "crates/foo/1-a", "crates/foo/2-a"}},
		{"crates/foo/", "crates/foo/1-", []string{"crates/foo/1-a", "crates/foo/2-a"}},
		{"crates/foo/", "crates/foo0", nil},
		{"crates/foo/", "a", []string{"crates/foo/1+b-a", "crates/foo/1-a", "crates/foo/2-a"}},
		{"mirrors/", "", []string{"mirrors/m/x-1"}},
		{"nothing/", "", nil},
	} {
		if got := keys(t, s, c.prefix, c.after); !slices.Equal(got, c.want) {
			t.Errorf("%q after %q: %q", c.prefix, c.after, got)
		}
	}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil || info.Size != int64(len(info.Key)) || info.Modified.IsZero() {
			t.Errorf("%+v %v", info, err)
		}
		break // and it can be left
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, err := range s.List(ctx, "", "") {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("canceled: %v", err)
		}
	}
}

// testListMany stores more than one page of S3 has.
func testListMany(t *testing.T, s Store) {
	const many = 1_150
	var all []string
	var g errgroup.Group
	g.SetLimit(16)
	for i := range many {
		key := CrateKey(fmt.Sprintf("crate-%d", i%40), fmt.Sprintf("1.%d.0", i), "00ff")
		all = append(all, key)
		g.Go(func() error { return store(t.Context(), s, key, []byte("x")) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	if got := keys(t, s, "", ""); !slices.Equal(got, all) {
		t.Errorf("%d keys, in order: %v", len(got), slices.IsSorted(got))
	}
	if got := keys(t, s, "crates/", all[75]); !slices.Equal(got, all[76:]) {
		t.Errorf("%d keys after the 76th", len(got))
	}
}

func testDelete(t *testing.T, s Store) {
	key, data := blobOf("delete", "1.0.0+b", 1000)
	other, otherData := blobOf("delete", "1.0.1", 1000)
	mustStore(t, s, key, data)
	mustStore(t, s, other, otherData)
	for range 2 { // one that is not there is no error
		if err := s.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
	mustHold(t, s, other, otherData)
	if err := s.Delete(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	if got := keys(t, s, "", ""); len(got) > 0 {
		t.Errorf("%q", got)
	}
	mustStore(t, s, key, data)
	mustHold(t, s, key, data)
}

func testMissing(t *testing.T, s Store) {
	mustStore(t, s, "crates/there/1-a", []byte("x"))
	for _, key := range []string{"crates/demo/1.0.0-00ff.crate", "crates/there", "crates/there/1-a/below", "other"} {
		if _, err := s.Open(t.Context(), key); key != "crates/there" && key != "crates/there/1-a/below" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("open %s: %v", key, err)
		}
		if _, err := s.Stat(t.Context(), key); err == nil {
			t.Errorf("stat %s went well", key)
		}
	}
}

func testInvalidKeys(t *testing.T, s Store) {
	for _, key := range []string{"", ".", "../outside", "crates/../../outside", "/etc/passwd", "crates//x", "crates/"} {
		if err := store(t.Context(), s, key, []byte("x")); err == nil {
			t.Errorf("%q can be written", key)
		}
		if b, err := s.Open(t.Context(), key); err == nil && key != "." && key != "crates/" {
			t.Errorf("%q can be read: %v", key, b)
		}
	}
}

func testClaim(t *testing.T, s Store) {
	var g errgroup.Group
	for range 5 { // replicas that start together
		g.Go(func() error { return Claim(t.Context(), s, "ours", false) })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	var foreign *ForeignError
	if err := Claim(t.Context(), s, "theirs", false); !errors.As(err, &foreign) || foreign.Owner != "ours" {
		t.Errorf("claimed by two: %v", err)
	}
	if err := Claim(t.Context(), s, "theirs", true); err != nil {
		t.Errorf("take over: %v", err)
	}
	if err := Claim(t.Context(), s, "ours", false); !errors.As(err, &foreign) || foreign.Owner != "theirs" {
		t.Errorf("after a take-over: %v", err)
	}
	if id, err := ID(t.Context(), s); err != nil || id != "" {
		t.Errorf("nobody gave it a name: %q %v", id, err)
	}
	names := make([]string, 5)
	for i := range names {
		g.Go(func() (err error) {
			names[i], err = Identify(t.Context(), s, NewID())
			return err
		})
	}
	if err := g.Wait(); err != nil || names[0] == "" || len(slices.Compact(names)) != 1 {
		t.Errorf("names %q, %v", names, err)
	}
	if id, err := ID(t.Context(), s); err != nil || id != names[0] {
		t.Errorf("%q %v", id, err)
	}
	for _, id := range []string{"", " x", string(make([]byte, ownerMost+1))} {
		if err := Claim(t.Context(), s, id, true); err == nil {
			t.Errorf("id %q was taken", id)
		}
	}
}

// Marks that were emptied, as by a disk that lost what it was given, are made anew: there is nobody whose they could be.
func TestEmptyMarks(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			s := b.open(t)
			marks, err := asClaimable(s)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []string{ownerKey, idKey} {
				if err := marks.setMark(t.Context(), key, "", false); err != nil {
					t.Fatal(err)
				}
			}
			if err := Claim(t.Context(), s, "ours", false); err != nil {
				t.Error(err)
			}
			if owner, err := Owner(t.Context(), s); err != nil || owner != "ours" {
				t.Errorf("the owner is %q, %v", owner, err)
			}
			if name, err := Identify(t.Context(), s, "name"); err != nil || name != "name" {
				t.Errorf("the name is %q, %v", name, err)
			}
		})
	}
}

// Of registries that claim one store at the same time, one gets it.
func TestClaimRace(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			s := b.open(t)
			var mu sync.Mutex
			won := 0
			var g errgroup.Group
			for i := range 10 {
				g.Go(func() error {
					err := Claim(t.Context(), s, fmt.Sprint("registry-", i), false)
					var foreign *ForeignError
					if err == nil {
						mu.Lock()
						won++
						mu.Unlock()
						return nil
					}
					if errors.As(err, &foreign) {
						return nil
					}
					return err
				})
			}
			if err := g.Wait(); err != nil || won != 1 {
				t.Errorf("%d won, %v", won, err)
			}
		})
	}
}
