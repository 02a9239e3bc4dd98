package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// behind is a store that counts what is opened, and that can be away, slow or broken.
type behind struct {
	Store
	opens atomic.Int64
	away  atomic.Bool
	wrap  func(Blob) Blob
}

var errAway = errors.New("away")

func (b *behind) Open(ctx context.Context, key string) (Blob, error) {
	b.opens.Add(1)
	if b.away.Load() {
		return nil, errAway
	}
	blob, err := b.Store.Open(ctx, key)
	if err == nil && b.wrap != nil {
		blob = b.wrap(blob)
	}
	return blob, err
}

// steps gives a blob only as far as it is let.
type steps struct {
	Blob
	more chan int // bytes; closed: fails
	left int
}

func (s *steps) Read(p []byte) (int, error) {
	for s.left == 0 {
		n, ok := <-s.more
		if !ok {
			return 0, errAway
		}
		s.left = n
	}
	n, err := s.Blob.Read(p[:min(len(p), s.left)])
	s.left -= n
	return n, err
}

// tally is a CacheObserver.
type tally struct {
	mu           sync.Mutex
	hits, misses int
	dropped      map[string]int
	bytes        int64
}

func (o *tally) Looked(found bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if found {
		o.hits++
	} else {
		o.misses++
	}
}

func (o *tally) Dropped(why string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.dropped[why]++
}

func (o *tally) Holds(bytes int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.bytes = bytes
}

// want holds hits, misses and bytes against what they should be.
func (o *tally) want(t *testing.T, hits, misses int, bytes int64) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.hits != hits || o.misses != misses || o.bytes != bytes {
		t.Errorf("%d hits, %d misses, %d bytes; want %d, %d and %d", o.hits, o.misses, o.bytes, hits, misses, bytes)
	}
}

func openCached(t *testing.T, s Store, o CacheOptions) (*Cached, *tally) {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Size == 0 {
		o.Size = 1 << 30
	}
	if o.room == nil {
		o.room = func(*os.Root) (int64, int64) { return math.MaxInt64, 0 }
	}
	seen := &tally{dropped: map[string]int{}}
	o.Observer = seen
	c, err := NewCached(s, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
			t.Error(err)
		}
		if parts, err := filepath.Glob(filepath.Join(o.Dir, "*", "*"+partEnd)); err != nil || len(parts) > 0 {
			t.Errorf("left: %q %v", parts, err)
		}
	})
	return c, seen
}

// settle waits until nothing is being fetched.
func settle(t *testing.T, c *Cached) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		c.mu.Lock()
		n := len(c.fills)
		c.mu.Unlock()
		if n == 0 {
			return
		}
	}
	t.Fatal("a fetch does not end")
}

// copyOf is the file of a blob's copy.
func copyOf(t *testing.T, c *Cached, key string) string {
	t.Helper()
	name, ok := cacheName(key)
	if !ok {
		t.Fatal(key)
	}
	return filepath.Join(c.options.Dir, filepath.FromSlash(name))
}

func newBehind(t *testing.T) *behind { return &behind{Store: openFS(t, t.TempDir())} }

// A blob is fetched once, its copy outlives a restart and is served while the store behind is away, as a file, with the blob's time.
func TestCache(t *testing.T) {
	s, dir := newBehind(t), t.TempDir()
	c, seen := openCached(t, s, CacheOptions{Dir: dir})
	key, data := blobOf("cached", "1.0.0", 300_000)
	mirrored := MirrorKey("m", "cached", "1.0.0", key[len(key)-70:len(key)-6])
	mustStore(t, c, key, data)
	mustStore(t, c, mirrored, data)
	mustHold(t, c, key, data)
	settle(t, c)
	s.away.Store(true)
	mustHold(t, c, key, data)
	if _, err := c.Open(t.Context(), mirrored); !errors.Is(err, errAway) {
		t.Errorf("found under another key: %v", err)
	}
	seen.want(t, 1, 2, 300_000)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c, seen = openCached(t, s, CacheOptions{Dir: dir})
	b, err := c.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := b.(*os.File); !ok {
		t.Errorf("a %T cannot be sent by the kernel", b)
	}
	info, err := b.Stat()
	original, serr := c.Stat(t.Context(), key)
	if err != nil || serr != nil || !info.ModTime().Equal(original.Modified) {
		t.Errorf("time %v, stored %v, %v %v", info.ModTime(), original.Modified, err, serr)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	mustHold(t, c, key, data)
	seen.want(t, 2, 0, 300_000)
	s.away.Store(false)
	if err := c.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("after its deletion: %v", err)
	}
	seen.want(t, 2, 1, 0)
}

// Who asks for what is being fetched gets what has come so far; it is fetched once, and to its end when all have gone.
func TestCacheFillsOnce(t *testing.T) {
	s := newBehind(t)
	c, seen := openCached(t, s, CacheOptions{})
	key, data := blobOf("once", "1.0.0", 1_000_000)
	mustStore(t, c, key, data)
	more := make(chan int, 2)
	s.wrap = func(b Blob) Blob { return &steps{Blob: b, more: more} }
	more <- 10
	b, err := c.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, 10)
	if _, err := io.ReadFull(b, begin); err != nil || !bytes.Equal(begin, data[:10]) {
		t.Fatalf("the beginning of what is not there yet: %q %v", begin, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	var g errgroup.Group
	opened := make(chan struct{}, 20)
	for i := range 20 {
		g.Go(func() error {
			b, err := c.Open(t.Context(), key)
			opened <- struct{}{}
			if err != nil {
				return err
			}
			var got bytes.Buffer
			if i%2 == 0 {
				_, err = b.(Streamer).Stream(&got)
			} else {
				_, err = got.ReadFrom(b)
			}
			if err == nil && !bytes.Equal(got.Bytes(), data) {
				err = errors.New("wrong bytes")
			}
			return errors.Join(err, b.Close())
		})
	}
	for range 20 {
		<-opened
	}
	more <- len(data)
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	settle(t, c)
	mustHold(t, c, key, data)
	if n := s.opens.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	seen.want(t, 21, 1, int64(len(data)))
}

// A copy that was cut short, changed or taken away is noticed, and fetched again.
func TestCacheDamage(t *testing.T) {
	s, dir := newBehind(t), t.TempDir()
	c, seen := openCached(t, s, CacheOptions{Dir: dir})
	key, data := blobOf("damaged", "1.0.0", 100_000)
	mustStore(t, c, key, data)
	mustHold(t, c, key, data)
	settle(t, c)
	file := copyOf(t, c, key)
	changed := bytes.Clone(data)
	changed[50_000]++
	for i, damage := range []func() error{
		func() error { return os.Truncate(file, 50_000) },
		func() error { return os.Remove(file) },
		func() error { c.options.check = 1; return os.WriteFile(file, changed, 0o640) }, // a day is over
		func() error {
			err := errors.Join(c.Close(), os.WriteFile(file, changed, 0o640), os.WriteFile(file+".7"+partEnd, data[:10], 0o640))
			c, seen = openCached(t, s, CacheOptions{Dir: dir})
			return err
		},
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		before := s.opens.Load()
		mustHold(t, c, key, data)
		settle(t, c)
		if n := s.opens.Load() - before; n != 1 {
			t.Errorf("damage %d: fetched %d times", i, n)
		}
		if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, data) {
			t.Errorf("damage %d: the copy has %d bytes, %v", i, len(got), err)
		}
	}
	if seen.dropped["damaged"] != 1 {
		t.Errorf("%v", seen.dropped)
	}
	seen.want(t, 0, 1, 100_000)
}

// What does not have the digest in its key is given as it is, and not kept.
func TestCacheKeepsNoWrongBytes(t *testing.T) {
	s := newBehind(t)
	c, seen := openCached(t, s, CacheOptions{})
	key, data := blobOf("wrong", "1.0.0", 1000)
	mustStore(t, s, key, data[:999])
	for range 2 {
		mustHold(t, c, key, data[:999])
		settle(t, c)
	}
	seen.want(t, 0, 2, 0)
}

// When a fetch fails on its way, for the storage or for the disk, its readers go on without it.
func TestCacheBrokenFill(t *testing.T) {
	s := newBehind(t)
	c, _ := openCached(t, s, CacheOptions{})
	key, data := blobOf("broken", "1.0.0", 200_000)
	mustStore(t, c, key, data)
	for _, streamed := range []bool{false, true} {
		more := make(chan int, 1)
		s.wrap = func(b Blob) Blob { return &steps{Blob: b, more: more} }
		more <- 70_000
		b, err := c.Open(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		got := bytes.NewBuffer(make([]byte, 1000))
		if _, err := io.ReadFull(b, got.Bytes()); err != nil {
			t.Fatal(err)
		}
		s.wrap = nil
		close(more)
		if streamed {
			_, err = b.(Streamer).Stream(got)
		} else {
			_, err = io.Copy(got, b)
		}
		if err != nil || !bytes.Equal(got.Bytes(), data) {
			t.Errorf("%d bytes, %v", got.Len(), err)
		}
		if at, err := b.Seek(100, io.SeekStart); err != nil || at != 100 {
			t.Error(at, err)
		}
		piece := make([]byte, 10)
		if _, err := io.ReadFull(b, piece); err != nil || !bytes.Equal(piece, data[100:110]) {
			t.Errorf("%q %v", piece, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		settle(t, c)
	}
	if err := os.RemoveAll(c.options.Dir); err != nil { // a disk that takes nothing
		t.Fatal(err)
	}
	mustHold(t, c, key, data)
	settle(t, c)
	mustHold(t, c, key, data)
	s.away.Store(true)
	if _, err := c.Open(t.Context(), key); !errors.Is(err, errAway) {
		t.Error(err)
	}
}

// A blob that is deleted while it is fetched is not kept, and who reads it reads on.
func TestCacheDeletedMeanwhile(t *testing.T) {
	s := newBehind(t)
	c, seen := openCached(t, s, CacheOptions{})
	key, data := blobOf("deleted", "1.0.0", 5000)
	mustStore(t, c, key, data)
	more := make(chan int, 2)
	s.wrap = func(b Blob) Blob { return &steps{Blob: b, more: more} }
	more <- 10
	b, err := c.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Open(t.Context(), key); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	more <- len(data)
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := errors.Join(b.Close(), c.Close()); err != nil {
		t.Error(err)
	}
	seen.want(t, 0, 2, 0)
}

// The copies take no more than they may: those that were used least lately go, and who has one open reads on.
func TestCacheSize(t *testing.T) {
	s, dir := newBehind(t), t.TempDir()
	c, seen := openCached(t, s, CacheOptions{Dir: dir, Size: 250})
	var keys []string
	var datas [][]byte
	for _, version := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		key, data := blobOf("size", version, 100)
		mustStore(t, c, key, data)
		keys, datas = append(keys, key), append(datas, data)
	}
	hold := func(i int) {
		t.Helper()
		mustHold(t, c, keys[i], datas[i])
		settle(t, c)
	}
	hold(0)
	hold(1)
	b, err := c.Open(t.Context(), keys[1])
	if err != nil {
		t.Fatal(err)
	}
	hold(0)
	hold(2) // 1 goes
	if got, err := io.ReadAll(b); err != nil || !bytes.Equal(got, datas[1]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	seen.want(t, 2, 3, 200)
	hold(0)
	hold(2)
	hold(1)
	seen.want(t, 4, 4, 200)
	big, data := blobOf("size", "4.0.0", 251)
	mustStore(t, c, big, data)
	mustHold(t, c, big, data)
	settle(t, c)
	if opens := s.opens.Load(); opens != 5 {
		t.Errorf("opened %d times: what is not kept was fetched twice", opens)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, seen = openCached(t, s, CacheOptions{Dir: dir, Size: 10}) // it may take less from now on
	seen.want(t, 0, 0, 0)
}

// A disk that others fill is left to them.
func TestCacheLeavesRoom(t *testing.T) {
	s := newBehind(t)
	var free atomic.Int64
	free.Store(1000)
	c, seen := openCached(t, s, CacheOptions{room: func(*os.Root) (int64, int64) { return free.Load(), 500 }})
	one, oneData := blobOf("room", "1.0.0", 400)
	two, twoData := blobOf("room", "2.0.0", 300)
	mustStore(t, c, one, oneData)
	mustStore(t, c, two, twoData)
	mustHold(t, c, one, oneData)
	settle(t, c)
	seen.want(t, 0, 1, 400)
	free.Store(600)
	mustHold(t, c, two, twoData) // in the place of the other
	settle(t, c)
	seen.want(t, 0, 2, 300)
	free.Store(100)
	c.tend()
	mustHold(t, c, two, twoData)
	settle(t, c)
	seen.want(t, 0, 3, 0)
	free.Store(1000)
	c.tend()
	mustHold(t, c, two, twoData)
	settle(t, c)
	seen.want(t, 0, 4, 300)
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if free, reserve := diskRoom(root); free <= 0 || reserve < 0 || reserve > 1<<30 {
		t.Errorf("%d free, %d for others", free, reserve)
	}
	if err := root.Close(); err != nil {
		t.Error(err)
	}
}

// Keys without a digest pass.
func TestCacheNames(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for key, want := range map[string]bool{
		CrateKey("a", "1.0.0", sum): true, MirrorKey("m", "a", "1.0.0", sum): true,
		"crates/a/1.0.0-00ff.crate": false, ".crateyard/owner": false, "": false, CrateKey("a", "1.0.0", strings.ToUpper(sum)): false,
	} {
		if name, ok := cacheName(key); ok != want {
			t.Errorf("%s: %q", key, name)
		}
	}
}
