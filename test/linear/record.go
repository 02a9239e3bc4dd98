package linear

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

// recorder keeps the history of all clients.
type recorder struct {
	begin time.Time
	took  time.Duration // until the last client was done
	mu    sync.Mutex
	ops   []porcupine.Operation // writes, and reads of the web API
	index []indexRead
	done  []write
	errs  []error
}

// record has many clients ask the servers at random for a while, about a few versions at a time, and gives what they saw. They go on until enough has been
// done, which on a busy machine may take longer, but not for more than two minutes.
func record(servers []*serve.Client, clients int, length time.Duration, seed uint64, enough func(r *recorder) bool) (*recorder, error) {
	r := &recorder{begin: time.Now()}
	over := make(chan struct{})
	go func() {
		defer close(over)
		for time.Sleep(length); time.Since(r.begin) < 2*time.Minute && !enough(r); time.Sleep(100 * time.Millisecond) {
		}
	}()
	var wg sync.WaitGroup
	for id := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(id)))
		wg.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				// All clients are at the same crate at the same time, and leave it for a new one soon.
				crate := fmt.Sprintf("crate%d", time.Since(r.begin)/crateTime)
				server := rng.IntN(len(servers))
				r.once(servers[server], server, id, crate, fmt.Sprintf("1.%d.0", rng.IntN(3)), rng)
			}
		})
	}
	wg.Wait()
	r.took = time.Since(r.begin)
	return r, errors.Join(r.errs...)
}

// crateTime is how long a crate is the one that all are at.
const crateTime = 250 * time.Millisecond

// counts gives how many requests of each kind went well so far.
func (r *recorder) counts() map[what]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := map[what]int{}
	for _, op := range r.ops {
		if out := op.Output.(output); out.status < 300 {
			done[op.Input.(input).what]++
		}
	}
	return done
}

// some reports whether of each kind at least one request went well.
func (r *recorder) some() bool {
	done := r.counts()
	for _, w := range kinds {
		if done[w] == 0 {
			return false
		}
	}
	return true
}

var kinds = []what{publish, yank, unyank, deletion, read}

func (r *recorder) once(c *serve.Client, server, id int, crate, version string, rng *rand.Rand) {
	in := input{key: crate + "@" + version}
	var body []byte
	method, path := "GET", "/api/v1/crates/"+crate+"/"+version
	switch n := rng.IntN(100); {
	case n < 15:
		made := upload.New(crate, version, fmt.Appendf(nil, "// client %d, %d", id, rng.Uint64()))
		in.what, in.digest, body, method, path = publish, made.SHA256, made.Frame, "PUT", "/api/v1/crates/new"
	case n < 27:
		in.what, method, path = yank, "DELETE", path+"/yank"
	case n < 39:
		in.what, method, path = unyank, "PUT", path+"/unyank"
	case n < 42:
		in.what, method = deletion, "DELETE"
	case n < 70:
		in.what = read
	default:
		path = fmt.Sprintf("/index/%s/%s/%s", crate[:2], crate[2:4], crate)
	}
	call := time.Since(r.begin)
	status, text, err := c.Do(method, path, body)
	end := time.Since(r.begin)
	out := output{status: status}
	switch {
	case err != nil, status == http.StatusServiceUnavailable: // 500 is a mistake of a server that lives
		if method == "GET" {
			return // it says nothing
		}
		out.status, end = 0, forever
	case in.what == "":
		err = out.fromIndex(status, text, version)
	case in.what == read:
		err = out.fromAPI(status, text)
	case status >= 300 && status != http.StatusConflict && status != http.StatusNotFound:
		err = fmt.Errorf("%s %s: %d %s", method, path, status, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if out.status != 0 && err != nil {
		r.errs = append(r.errs, err)
		return
	}
	switch in.what {
	case "":
		r.index = append(r.index, indexRead{in.key, server, call, end, out})
		return
	case publish, yank, unyank, deletion:
		if out.status < 300 {
			r.done = append(r.done, write{in, server, call, end, out.status == 0})
		}
	}
	r.ops = append(r.ops, porcupine.Operation{ClientId: id, Input: in, Call: int64(call), Output: out, Return: int64(end)})
}

func (o *output) fromIndex(status int, text []byte, version string) error {
	o.missing = true
	if status == http.StatusNotFound {
		return nil
	}
	for l := range strings.Lines(string(text)) {
		var line struct {
			Vers, Cksum string
			Yanked      bool
		}
		if err := json.Unmarshal([]byte(l), &line); err != nil {
			return fmt.Errorf("index: %d %s: %w", status, text, err)
		}
		if line.Vers == version {
			o.missing, o.digest, o.yanked = false, line.Cksum, line.Yanked
		}
	}
	return nil
}

func (o *output) fromAPI(status int, text []byte) error {
	if o.missing = status == http.StatusNotFound; o.missing {
		return nil
	}
	var got struct {
		Version struct {
			Checksum string
			Yanked   bool
		}
	}
	err := json.Unmarshal(text, &got)
	o.digest, o.yanked = got.Version.Checksum, got.Version.Yanked
	return err
}
