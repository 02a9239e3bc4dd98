// Package hostile sends uploads that mean harm to a real server, and looks that its memory and its disk stay bounded and that others
// are served meanwhile.
package hostile

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/serve"
)

// most is what the server's memory may reach, at any moment, in MiB. It has 20 at rest; an upload takes some 200 KiB, and more only
// where there is room for it.
const most = 160

func start(t *testing.T) *serve.Server {
	t.Helper()
	s, err := serve.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// send publishes a body of the length that is said and reads the answer.
func send(s *serve.Server, body io.Reader, length int64) (status int, text string, err error) {
	return sendAs(s, s.AdminToken, body, length)
}

func sendAs(s *serve.Server, token string, body io.Reader, length int64) (status int, text string, err error) {
	req, err := http.NewRequest(http.MethodPut, s.URL+"/api/v1/crates/new", body)
	if err != nil {
		return 0, "", err
	}
	req.ContentLength = length
	req.Header.Set("Authorization", token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

func metadata(name string) []byte {
	return fmt.Appendf(nil, `{"name":%q,"vers":"1.0.0","deps":[],"features":{}}`, name)
}

func frame(meta, crate []byte) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(len(meta)))
	b = append(b, meta...)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(crate)))
	return append(b, crate...)
}

// pack makes an archive of files; content is written with the given reader.
func pack(t *testing.T, name string, files map[string]io.Reader, sizes map[string]int64) []byte {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for path, r := range files {
		if err := tw.WriteHeader(&tar.Header{Name: name + "-1.0.0/" + path, Mode: 0o644, Size: sizes[path]}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(tw, r); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func withManifest(t *testing.T, name, more string, extra int64) []byte {
	manifest := fmt.Sprintf("[package]\nname = %q\nversion = \"1.0.0\"\n%s", name, more)
	files, sizes := map[string]io.Reader{"Cargo.toml": strings.NewReader(manifest)}, map[string]int64{"Cargo.toml": int64(len(manifest))}
	if extra > 0 {
		files["big"], sizes["big"] = io.LimitReader(zeros{}, extra), extra
	}
	return pack(t, name, files, sizes)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// peak is the most memory that the server ever had, in MiB.
func peak(t *testing.T, s *serve.Server) int {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(data)
	if m == nil {
		t.Fatal("no VmHWM")
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb / 1024
}

// clean looks that nothing was kept, that memory stayed bounded, and that an honest publish goes through.
func clean(t *testing.T, s *serve.Server) {
	t.Helper()
	if mib := peak(t, s); mib > most {
		t.Errorf("the server had %d MiB of memory", mib)
	}
	err := filepath.WalkDir(filepath.Join(s.Data, "storage"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(filepath.Dir(path)) != ".crateyard" {
			t.Errorf("left: %s", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	body := frame(metadata("honest"), withManifest(t, "honest", "", 100))
	if status, text, err := send(s, bytes.NewReader(body), int64(len(body))); status != 200 {
		t.Errorf("an honest publish: %d %s %v", status, text, err)
	}
}

// noise is content that does not get smaller when it is packed.
func noise(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b) // never fails
	return b
}

// TestMain lets more tests run at once than there are processors, unless -parallel says how many: most wait until the server's patience is at its end.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	flag.Parse()
	os.Exit(m.Run())
}

// soon is the longest that a request of others may take, of those that need some milliseconds on an idle machine: half of what those who mean harm have the
// server wait for. A busy machine takes less.
const soon = 15 * time.Second

// served reads as others would until those who mean harm are done, and at least ten times. Nobody is to wait for them.
func served(t *testing.T, s *serve.Server, harm *sync.WaitGroup) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		harm.Wait()
		close(done)
	}()
	for i := 0; ; i++ {
		select {
		case <-done:
			if i >= 10 {
				return
			}
		default:
		}
		begin := time.Now()
		resp, err := http.Get(s.URL + "/index/config.json")
		if err != nil || resp.StatusCode != 200 {
			t.Errorf("a read: %v %v", resp, err)
			return
		}
		_ = resp.Body.Close() // read far enough
		if d := time.Since(begin); d > soon {
			t.Errorf("a read took %s", d)
		}
		time.Sleep(20 * time.Millisecond) // it is the others who are to be many
	}
}

func TestBombs(t *testing.T) {
	for name, tc := range map[string]struct {
		crate []byte
		want  string
	}{
		"600 MB of zeros":    {withManifest(t, "bomb", "", 600<<20), "unpacks to more than"},
		"manifest of arrays": {withManifest(t, "bomb", "[package.metadata]\nx = ["+strings.Repeat("[],", 300_000)+"]\n", 0), "more than 50000 values"},
		"manifest of keys":   {withManifest(t, "bomb", "[package.metadata]\n"+manyKeys(30_000), 0), "more than 10000 keys"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			body := frame(metadata("bomb"), tc.crate)
			var wg sync.WaitGroup
			for range 20 {
				wg.Go(func() {
					if status, text, err := send(s, bytes.NewReader(body), int64(len(body))); status != 400 || !strings.Contains(text, tc.want) {
						t.Errorf("%d %s %v", status, text, err)
					}
				})
			}
			served(t, s, &wg)
			clean(t, s)
		})
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "k%d=1\n", i)
	}
	return b.String()
}

// Lengths are believed no further than the limits, whatever the frame or the header of the request says.
func TestDeclaredLengths(t *testing.T) {
	s := start(t)
	meta := metadata("long")
	huge := binary.LittleEndian.AppendUint32(nil, 1<<32-1)
	archive := append(binary.LittleEndian.AppendUint32(nil, uint32(len(meta))), meta...)
	for name, body := range map[string][]byte{
		"4 GiB of metadata": append(bytes.Clone(huge), "{}"...),
		"4 GiB of archive":  append(append(archive, huge...), "x"...),
	} {
		status, text, err := send(s, io.MultiReader(bytes.NewReader(body), io.LimitReader(zeros{}, 1<<20)), int64(len(body))+1<<20)
		if status != 413 || err != nil {
			t.Errorf("%s: %d %s %v", name, status, text, err)
		}
	}
	clean(t, s)
}

// Two hundred uploads at once, of 2 MiB each and a bomb among ten, are each answered as it deserves. What is held in memory
// does not grow with them, nor with their size.
func TestManyLargeUploads(t *testing.T) {
	s := start(t)
	bomb := frame(metadata("bomb"), withManifest(t, "bomb", "", 600<<20))
	var wg sync.WaitGroup
	for i := range 200 {
		name, body := "bomb", bomb
		if i%10 != 0 {
			name = fmt.Sprintf("large-%d", i)
			toml := fmt.Sprintf("[package]\nname = %q\nversion = \"1.0.0\"\nlinks = \"z\"\n", name) // which the metadata does not say
			body = frame(metadata(name), pack(t, name, map[string]io.Reader{"Cargo.toml": strings.NewReader(toml), "noise": bytes.NewReader(noise(2 << 20))},
				map[string]int64{"Cargo.toml": int64(len(toml)), "noise": 2 << 20}))
		}
		wg.Go(func() {
			status, text, err := send(s, bytes.NewReader(body), int64(len(body)))
			if want := map[string]string{"bomb": "unpacks to more than"}[name]; status != 400 || err != nil || !strings.Contains(text, cmp.Or(want, "links: ")) {
				t.Errorf("%s: %d %s %v", name, status, text, err)
			}
		})
	}
	served(t, s, &wg)
	clean(t, s)
}

// Uploads that drip, a byte every tenth of a second, are ended by the server itself, which says why, and leave nothing.
func TestDrips(t *testing.T) {
	t.Parallel() // it takes as long as the server is patient: half a minute
	s := start(t)
	client := &http.Client{Transport: &http.Transport{}}
	var wg sync.WaitGroup
	for i := range 50 {
		name := fmt.Sprintf("drip-%d", i)
		toml := fmt.Sprintf("[package]\nname = %q\nversion = \"1.0.0\"\n", name)
		body := frame(metadata(name), pack(t, name, map[string]io.Reader{"Cargo.toml": strings.NewReader(toml), "noise": bytes.NewReader(noise(20_000))},
			map[string]int64{"Cargo.toml": int64(len(toml)), "noise": 20_000}))
		wg.Go(func() {
			r, w := io.Pipe()
			req, err := http.NewRequest(http.MethodPut, s.URL+"/api/v1/crates/new", r)
			if err != nil {
				t.Error(err)
				return
			}
			req.ContentLength = int64(len(body))
			req.Header.Set("Authorization", s.AdminToken)
			ended := make(chan struct{})
			go func() {
				half := len(body) / 2
				for _, err := w.Write(body[:half]); err == nil && half < len(body); half++ {
					select {
					case <-ended:
						err = io.ErrClosedPipe
					case <-time.After(100 * time.Millisecond):
						_, err = w.Write(body[half : half+1])
					}
				}
				_ = w.CloseWithError(io.ErrClosedPipe)
			}()
			resp, err := client.Do(req)
			close(ended)
			if err != nil {
				t.Error(err)
				return
			}
			text, _ := io.ReadAll(resp.Body) // as far as it came
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusRequestTimeout || !strings.Contains(string(text), "bytes a second") {
				t.Errorf("%d %s", resp.StatusCode, text)
			}
		})
	}
	served(t, s, &wg)
	clean(t, s)
}

// Two hundred uploads at once that stand still take little, and hold nobody up.
func TestManySlowUploads(t *testing.T) {
	s := start(t)
	client := &http.Client{Transport: &http.Transport{}}
	var bodies [][]byte
	for i := range 200 {
		name := fmt.Sprintf("slow-%d", i)
		bodies = append(bodies, frame(metadata(name), withManifest(t, name, "", 200_000))) // sound, or it were refused as soon as that shows
	}
	var wg sync.WaitGroup
	var writers []*io.PipeWriter
	var ended atomic.Int32
	for _, body := range bodies {
		r, w := io.Pipe()
		writers = append(writers, w)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, s.URL+"/api/v1/crates/new", r)
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = int64(len(body))
		req.Header.Set("Authorization", s.AdminToken)
		wg.Go(func() {
			resp, err := client.Do(req)
			ended.Add(1)
			if err == nil {
				_ = resp.Body.Close() // it was refused or cut off
			}
		})
		wg.Go(func() { _, _ = w.Write(body[:len(body)/2]) }) // it is at once, and as far as it is read
	}
	incoming := filepath.Join(s.Data, "storage", "incoming")
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		files, err := os.ReadDir(incoming)
		// A busy machine may not come to the last ones before the server, which waits for half a minute, ends the first.
		if err == nil && (len(files) == 200 || len(files) > 100 && ended.Load() > 0) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%d uploads have begun, %v\n%s", len(files), err, s.Logs())
		}
	}
	for range 50 {
		begin := time.Now()
		resp, err := http.Get(s.URL + "/index/config.json")
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v", resp, err)
		}
		_ = resp.Body.Close() // read far enough
		if d := time.Since(begin); d > soon {
			t.Errorf("a read took %s", d)
		}
	}
	mib := peak(t, s)
	t.Logf("%d MiB", mib)
	if mib > most {
		t.Errorf("the server had %d MiB of memory", mib)
	}
	for _, w := range writers {
		_ = w.CloseWithError(io.ErrUnexpectedEOF) // the sender is gone
	}
	wg.Wait()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		if files, err := os.ReadDir(incoming); err == nil && len(files) == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("what was uploaded in part stays")
		}
	}
	clean(t, s)
}
