package mirror

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// oddly is a mirror whose upstream answers as a test says at the moment; where that writes nothing, as a registry does that has one crate, acme 1.0.0.
type oddly struct {
	*Manager
	t    *testing.T
	file atomic.Pointer[[]byte] // the archive
	odd  atomic.Pointer[func(w http.ResponseWriter, r *http.Request) bool]
}

func openOddly(t *testing.T) *oddly {
	t.Helper()
	o := &oddly{Manager: started(t), t: t}
	o.Metrics = heard{unheard{}, o}
	o.publish("the archive of acme, some bytes")
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	var s *httptest.Server
	s = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		archive := *o.file.Load()
		sum := sha256.Sum256(archive)
		switch {
		case (*o.odd.Load())(w, r):
		case strings.HasSuffix(r.URL.Path, "/config.json"):
			_, _ = fmt.Fprintf(w, `{"dl":"%s/crates"}`, s.URL)
		case r.URL.Path == "/index/ac/me/acme":
			_, _ = fmt.Fprintf(w, `{"name":"acme","vers":"1.0.0","deps":[],"cksum":%q,"features":{},"yanked":false}`+"\n", hex.EncodeToString(sum[:]))
		case r.URL.Path == "/crates/acme/1.0.0/download":
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(archive))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + s.URL + "/index/", MaxAge: wire.Duration(time.Second)}}
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	return o
}

// heard is Metrics of which only the alarms count.
type heard struct {
	unheard
	o *oddly
}

func (heard) ChecksumChanged(string) {}

func (o *oddly) publish(archive string) { data := []byte(archive); o.file.Store(&data) }

func (o *oddly) be(answer func(w http.ResponseWriter, r *http.Request) bool) { o.odd.Store(&answer) }

func (o *oddly) mirror() *Mirror { return o.Mirror("m") }

// ask asks for acme's index file when what is known of it is older than anything that is believed without asking upstream.
func (o *oddly) ask() error {
	o.t.Helper()
	for {
		m := o.mirror()
		epoch := m.epoch.Load()
		e := m.cached("acme")
		if e == nil {
			var err error
			if e, err = m.load(o.t.Context(), "acme"); err != nil {
				o.t.Fatal(err)
			}
		}
		if e != nil {
			e.checked.Store(time.Now().Add(-time.Hour).UnixNano())
		}
		_, err := m.Index(o.t.Context(), "acme")
		if m.epoch.Load() == epoch {
			return err
		} // else the follower of changes has just voided what is in memory, and the file may have been read anew instead
	}
}

// archive gives the bytes of acme 1.0.0.
func (o *oddly) archive() (string, error) {
	o.t.Helper()
	a, err := o.mirror().Archive(o.t.Context(), "acme", "1.0.0", true)
	if err != nil {
		return "", err
	}
	defer func() { _ = a.Close() }() // it was read only
	var out bytes.Buffer
	if a.Fetch == nil {
		_, err = io.Copy(&out, a.Blob)
	} else if _, err = a.Fetch.Size(o.t.Context()); err == nil {
		_, err = a.Fetch.Stream(o.t.Context(), &out)
	}
	return out.String(), err
}

// stored waits until the catalog knows the archive of acme: whoever asks for it has its last byte before that.
func (o *oddly) stored() {
	o.t.Helper()
	for range time.Tick(time.Millisecond) {
		rows, err := o.Catalog.MirrorCratesOf(o.t.Context(), o.mirror().Row.ID, "acme")
		if err != nil {
			o.t.Fatal(err)
		}
		if len(rows) > 0 {
			return
		}
	}
}

func (o *oddly) unavailable(err error, says string) {
	o.t.Helper()
	if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), says) {
		o.t.Errorf("%v, want one that says %q", err, says)
	}
}

// absent is an upstream without acme.
func absent(w http.ResponseWriter, r *http.Request) bool {
	if strings.HasPrefix(r.URL.Path, "/index/ac/") {
		http.NotFound(w, r)
		return true
	}
	return false
}

// another is an upstream where acme has another version, and that one alone.
func another(w http.ResponseWriter, r *http.Request) bool {
	if r.URL.Path != "/index/ac/me/acme" {
		return false
	}
	_, _ = fmt.Fprintf(w, `{"name":"acme","vers":"2.0.0","deps":[],"cksum":"%064x","features":{},"yanked":false}`+"\n", 2)
	return true
}

// A version that goes from upstream's index and comes back with other bytes is not believed: it may be another's now. Who has found out says so.
func TestChecksumChangesByWayOfAGap(t *testing.T) {
	o := openOddly(t)
	if _, err := o.mirror().Index(t.Context(), "acme"); err != nil {
		t.Fatal(err)
	}
	was, err := o.archive()
	if err != nil {
		t.Fatal(err)
	}
	o.stored()
	o.be(another)
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	if e := o.mirror().cached("acme"); e != nil && (len(e.lines) != 1 || e.lines["2.0.0"].Vers == "") {
		t.Fatalf("it is gone, and the mirror has %v", e.lines)
	}
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	if err := o.ask(); err != nil { // the same again
		t.Fatal(err)
	}
	o.be(another)
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	o.publish("somebody else's archive")
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	for range 2 {
		if err := o.ask(); err != nil {
			t.Fatal(err)
		}
		if f, err := o.mirror().Index(t.Context(), "acme"); err != nil || !strings.Contains(string(f.Plain), "2.0.0") {
			t.Errorf("the file from before is not served: %+v, %v", f, err)
		}
	}
	if now, err := o.archive(); err != nil || now != was {
		t.Errorf("who has it in a lockfile gets %q, %v", now, err)
	}
	if p := o.mirror().problems.all(); len(p) != 1 || !strings.Contains(p[0], "changed the checksum of acme 1.0.0") {
		t.Errorf("%q", p)
	}
	if err := o.ForgetCrate(t.Context(), catalog.Actor{}, "m", "acme"); err != nil {
		t.Fatal(err)
	}
	if _, err := o.mirror().Index(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
	if now, err := o.archive(); err != nil || now != string(*o.file.Load()) {
		t.Errorf("%q, %v", now, err)
	}
}

// That there was no such crate a while ago is not told as what is so now while upstream is away.
func TestAbsenceIsForgotten(t *testing.T) {
	o := openOddly(t)
	o.be(absent)
	for range 2 {
		if _, err := o.mirror().Index(t.Context(), "acme"); fault.KindOf(err) != fault.NotFound {
			t.Fatal(err)
		}
	}
	o.be(func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(http.StatusForbidden); return true })
	o.unavailable(o.ask(), "of no help")
}

// A file with nothing in it is to cargo a crate without versions, and so it is here; where there was one before, that one is served.
func TestEmptyIndexFile(t *testing.T) {
	empty := func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/index/ac/") {
			return false
		}
		_, _ = w.Write([]byte("\n"))
		return true
	}
	o := openOddly(t)
	o.be(empty)
	if err := o.ask(); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	o.be(empty)
	if err := o.ask(); err != nil {
		t.Error(err)
	}
	if f, err := o.mirror().Index(t.Context(), "acme"); err != nil || !strings.Contains(string(f.Plain), "1.0.0") {
		t.Errorf("%+v, %v", f, err)
	}
}

// An answer that says "as before" to who has nothing is none.
func TestNotModifiedOfNothing(t *testing.T) {
	o := openOddly(t)
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/index/ac/") {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
		return false
	})
	_, err := o.mirror().Index(t.Context(), "acme")
	o.unavailable(err, "the same as before")
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	if _, err := o.mirror().Index(t.Context(), "acme"); err != nil {
		t.Error(err)
	}
}

// Who asks while upstream wants to be left alone for long is told so at once, and for how long.
func TestPauseIsTold(t *testing.T) {
	o := openOddly(t)
	o.mirror().up.pausedUntil.Store(time.Now().Add(2 * time.Minute).UnixNano())
	_, err := o.mirror().Index(t.Context(), "acme")
	o.unavailable(err, "asks to be left alone for another")
	if fe, _ := errors.AsType[*fault.Error](err); fe == nil || fe.Wait < time.Minute {
		t.Errorf("it does not say for how long: %+v", fe)
	}
}

// Who waits for an archive waits no longer than cargo does; the fetch goes on.
func TestFetchIsPatientOnly(t *testing.T) {
	o := openOddly(t)
	f := newFetch(o.mirror().up, o.spools, "", false)
	defer func() { _ = f.Close() }()
	ctx, cancel := f.patient(t.Context())
	defer cancel()
	if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > firstContact {
		t.Errorf("it waits until %v", deadline)
	}
	o.mirror().up.pausedUntil.Store(time.Now().Add(2 * time.Minute).UnixNano())
	o.unavailable(f.up.late(errLate), "left alone")
}

// An archive of which only the end of the answer is missing is whole.
func TestCutBehindTheLastByte(t *testing.T) {
	o := openOddly(t)
	var cuts atomic.Int32
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/download") || r.Header.Get("Range") != "" {
			return false
		}
		cuts.Add(1)
		_, _ = w.Write(*o.file.Load())
		_ = http.NewResponseController(w).Flush() // in a chunk, and no last one follows
		panic(http.ErrAbortHandler)
	})
	if got, err := o.archive(); err != nil || got != string(*o.file.Load()) || cuts.Load() != 1 {
		t.Errorf("%q, %v, after %d", got, err, cuts.Load())
	}
}

// An archive that upstream takes for a compressed one, because it is compressed itself, is passed on as it is; one that is compressed once more is not.
func TestArchiveThatIsSaidToBeCompressed(t *testing.T) {
	var crate bytes.Buffer
	zw := gzip.NewWriter(&crate)
	tw := tar.NewWriter(zw)
	if err := errors.Join(tw.WriteHeader(&tar.Header{Name: "acme-1.0.0/x", Size: 0, Format: tar.FormatUSTAR}), tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	for name, again := range map[string]bool{"said": false, "compressed again": true} {
		t.Run(name, func(t *testing.T) {
			o := openOddly(t)
			o.publish(crate.String())
			o.be(func(w http.ResponseWriter, r *http.Request) bool {
				if !strings.HasSuffix(r.URL.Path, "/download") {
					return false
				}
				w.Header().Set("Content-Encoding", "gzip")
				if !again {
					_, _ = w.Write(crate.Bytes())
					return true
				}
				zw := gzip.NewWriter(w)
				_, _ = zw.Write(crate.Bytes())
				_ = zw.Close()
				return true
			})
			if got, err := o.archive(); err != nil || got != crate.String() {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
}

// What is compressed in a way that nobody asked for is told as such: an index file of it is not kept, whatever of it looks like lines, and an archive is not taken
// for one that was changed. One that is called so and is as it should be is taken.
func TestUpstreamCompressesUnasked(t *testing.T) {
	o := openOddly(t)
	if err := o.ask(); err != nil {
		t.Fatal(err)
	}
	bytes := func(w http.ResponseWriter, prefix string) {
		w.Header().Set("Content-Encoding", "zstd")
		_, _ = io.WriteString(w, prefix+string(*o.file.Load()))
	}
	prefix := "\x28\xb5\x2f\xfd"
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		switch r.URL.Path {
		case "/index/ac/me/acme":
			w.Header().Set("Content-Encoding", "br")
			_, _ = fmt.Fprintf(w, "\x8b\x02\n"+`{"name":"acme","vers":"1.0.1","deps":[],"cksum":"%064x","features":{},"yanked":false}`+"\n", 1)
		case "/crates/acme/1.0.0/download":
			bytes(w, prefix)
		default:
			return false
		}
		return true
	})
	if _, err := o.mirror().fresh(t.Context(), "acme", time.Time{}); err != nil {
		t.Error(err)
	}
	a, err := o.mirror().up.index(t.Context(), "acme", "", "")
	if err == nil || !strings.Contains(err.Error(), "compressed as br") {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := o.archive(); err == nil || !strings.Contains(err.Error(), "compressed as zstd") {
		t.Error(err)
	}
	prefix = ""
	if got, err := o.archive(); err != nil || got != string(*o.file.Load()) {
		t.Error(got, err)
	}
}

// Large index files come whole, at whatever length, and are told where they are cut off or do not end.
func TestUpstreamWithLargeIndexFiles(t *testing.T) {
	o := openOddly(t)
	line := fmt.Sprintf(`{"name":"acme","vers":"1.0.0","deps":[],"cksum":"%064x","features":{},"yanked":false}`+"\n", 1)
	var length atomic.Int64 // of the file; -1: it does not end
	cut := false
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/index/ac/me/") {
			return false
		}
		all := length.Load()
		for sent := int64(0); all < 0 || sent < all; {
			part := line
			if all >= 0 {
				part = part[:min(int64(len(line)), all-sent)]
			} else {
				part = strings.Repeat(line, 10_000)
			}
			n, err := io.WriteString(w, part)
			if sent += int64(n); err != nil {
				return true
			}
		}
		if cut {
			panic(http.ErrAbortHandler)
		}
		return true
	})
	up := o.mirror().up
	for _, n := range []int64{0, 1, smallIndexFile - 1, smallIndexFile, smallIndexFile + 1, smallIndexFile + indexChunk, 3*indexChunk + 7} {
		length.Store(n)
		if a, err := up.index(t.Context(), "acme", "", ""); err != nil || int64(len(a.file)) != n || !strings.HasPrefix(strings.Repeat(line, len(a.file)/len(line)+1), string(a.file)) {
			t.Errorf("%d bytes: %d, %v", n, len(a.file), err)
		}
	}
	cut = true
	if a, err := up.index(t.Context(), "acme", "", ""); err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Errorf("cut off: %d bytes, %v", len(a.file), err)
	}
	length.Store(-1)
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if a, err := up.index(t.Context(), fmt.Sprintf("acme-%d", i), "", ""); err == nil || !strings.Contains(err.Error(), "more than 67108864 bytes") {
				t.Errorf("without an end: %d bytes, %v", len(a.file), err)
			}
		})
	}
	all.Wait()
}

// An archive above the server's own limit is told as that, whether upstream says its size or not, and in a way in which nobody asks again.
func TestArchiveAboveTheLimit(t *testing.T) {
	o := openOddly(t)
	var silent atomic.Bool // about the size
	o.be(func(w http.ResponseWriter, r *http.Request) bool {
		if !silent.Load() || !strings.HasSuffix(r.URL.Path, "/download") {
			return false
		}
		w.(http.Flusher).Flush()
		_, _ = w.Write(*o.file.Load())
		return true
	})
	o.MaxArchive = 10
	for _, quiet := range []bool{false, true} {
		silent.Store(quiet)
		_, err := o.Cache(t.Context(), "m", "acme", "1.0.0")
		if fault.KindOf(err) != fault.TooLarge || !strings.Contains(err.Error(), "limits.mirroredCrateSize (10 bytes)") {
			t.Errorf("size kept back %v: %v", quiet, err)
		}
	}
	o.MaxArchive = 1 << 20
	if _, err := o.Cache(t.Context(), "m", "acme", "1.0.0"); err != nil {
		t.Fatal(err)
	}
	var bundle bytes.Buffer
	if err := o.Export(t.Context(), "m", &bundle); err != nil {
		t.Fatal(err)
	}
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "n", wire.MirrorChange{Spec: o.mirror().Spec}); err != nil {
		t.Fatal(err)
	}
	o.MaxArchive = 10
	if got, err := o.Import(t.Context(), catalog.Actor{}, "n", bytes.NewReader(bundle.Bytes())); fault.KindOf(err) != fault.TooLarge || !strings.Contains(err.Error(), "limits.mirroredCrateSize (10 bytes)") || got != (wire.MirrorImport{}) {
		t.Errorf("a bundle: %+v, %v", got, err)
	}
	_, err := o.Add(t.Context(), catalog.Actor{}, "n", "acme", "1.0.0", bytes.NewReader(*o.file.Load()))
	if fault.KindOf(err) != fault.TooLarge || !strings.Contains(err.Error(), "limits.mirroredCrateSize (10 bytes)") {
		t.Errorf("an archive that is brought: %v", err)
	}
}

// That upstream has no such crate is found out with one request at a time, too: whether it is a registry at all is asked after that.
func TestOneRequestAtATime(t *testing.T) {
	o := openOddly(t)
	o.be(refusing) // its config.json is not read
	spec := o.mirror().Spec
	spec.Upstream.Concurrency = 1
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	o.be(func(http.ResponseWriter, *http.Request) bool { return false })
	if _, err := o.mirror().Index(t.Context(), "nowhere"); fault.KindOf(err) != fault.NotFound {
		t.Error(err)
	}
}
