// Package crash kills a real server with SIGKILL at random moments of publishes, yanks, deletions and sweeps, starts it again, and
// holds what is there against what was acknowledged: nothing acknowledged is lost, and what was not is absent or whole.
package crash

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

// answer is what is known of something that was asked for.
type answer int

const (
	no      answer = iota // it is not so
	yes                   // it was acknowledged
	unknown               // the server died before its answer came
)

// version is what the client knows of one version.
type version struct {
	upload.Crate
	published, yanked, deleted answer
}

// yard is one crate: what one client does to it, one thing after the other, and what it knows of it.
type yard struct {
	name     string
	next     int // number of the next version
	versions []*version
}

// change asks for a change and says what is known of it afterwards. Only an answer that came whole counts. Of a server that lives and cannot, 503 is the
// answer; 500 is a mistake of it, for a server that is killed sends none.
func change(c *serve.Client, method, path string, body []byte) (answer, error) {
	status, text, err := c.Do(method, path, body)
	switch {
	case err != nil, status == http.StatusServiceUnavailable:
		return unknown, nil //nolint:nilerr // to die is what the server is here for
	case status >= 200 && status < 300:
		return yes, nil
	}
	return no, fmt.Errorf("%s %s: %d %s", method, path, status, text)
}

// act does one thing at random. Only what the server answers wrongly is an error; to die is none.
func (y *yard) act(c *serve.Client, rng *rand.Rand) (err error) {
	var live []*version
	for _, v := range y.versions {
		if v.published == yes && v.deleted == no {
			live = append(live, v)
		}
	}
	if len(live) == 0 || rng.IntN(10) < 6 {
		v := &version{Crate: upload.New(y.name, fmt.Sprintf("1.0.%d", y.next), noise(rng))}
		y.next++
		y.versions = append(y.versions, v)
		v.published, err = change(c, "PUT", "/api/v1/crates/new", v.Frame)
		return err
	}
	v := live[rng.IntN(len(live))]
	path := "/api/v1/crates/" + v.Name + "/" + v.Version
	if rng.IntN(4) == 0 {
		v.deleted, err = change(c, "DELETE", path, nil)
		return err
	}
	// What it was does not matter: to yank twice is allowed.
	method, verb, done := "DELETE", "/yank", yes
	if rng.IntN(2) == 0 {
		method, verb, done = "PUT", "/unyank", no
	}
	known, err := change(c, method, path+verb, nil)
	if v.yanked = unknown; known == yes {
		v.yanked = done
	}
	return err
}

func noise(rng *rand.Rand) []byte {
	b := make([]byte, 200+rng.IntN(30_000))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// check holds the server against what is known, and learns what was not.
func (y *yard) check(c *serve.Client) error {
	status, text, err := c.Do("GET", fmt.Sprintf("/index/%s/%s/%s", y.name[:2], y.name[2:4], y.name), nil)
	if err != nil {
		return err
	}
	lines := map[string]line{}
	switch status {
	case http.StatusOK:
		for l := range strings.Lines(string(text)) {
			var got line
			if err := json.Unmarshal([]byte(l), &got); err != nil {
				return fmt.Errorf("index of %s: %w: %q", y.name, err, l)
			}
			if _, twice := lines[got.Vers]; twice {
				return fmt.Errorf("index of %s has %s twice", y.name, got.Vers)
			}
			lines[got.Vers] = got
		}
	case http.StatusNotFound:
	default:
		return fmt.Errorf("index of %s: %d %s", y.name, status, text)
	}
	for _, v := range y.versions {
		got, there := lines[v.Version]
		delete(lines, v.Version)
		if err := v.check(c, got, there); err != nil {
			return fmt.Errorf("%s %s (published %d, yanked %d, deleted %d): %w", v.Name, v.Version, v.published, v.yanked, v.deleted, err)
		}
	}
	for vers := range lines {
		return fmt.Errorf("index of %s has %s, which nobody published", y.name, vers)
	}
	return nil
}

// line is what counts of a line of the index.
type line struct {
	Vers, Cksum string
	Yanked      bool
}

func (v *version) check(c *serve.Client, got line, there bool) error {
	status, data, err := c.Do("GET", "/crates/"+v.Name+"/"+v.Version+"/download", nil)
	if err != nil {
		return err
	}
	if there != (status == http.StatusOK) || !there && status != http.StatusNotFound {
		return fmt.Errorf("in the index: %v, download: %d %.200s", there, status, data)
	}
	if !there {
		switch {
		case v.published == yes && v.deleted == no:
			return fmt.Errorf("it was acknowledged and is lost")
		case v.published == yes:
			v.deleted = yes
			return v.republish(c, http.StatusConflict) // a number is never used twice
		case v.published == unknown:
			v.published = yes // by what follows
			return v.republish(c, http.StatusOK)
		}
		return nil
	}
	sum := sha256.Sum256(data)
	switch {
	case v.published == no:
		return fmt.Errorf("it is there, and was refused")
	case v.deleted == yes:
		return fmt.Errorf("its deletion was acknowledged, and it is there")
	case got.Cksum != v.SHA256 || hex.EncodeToString(sum[:]) != v.SHA256:
		return fmt.Errorf("its bytes are others: %x, index %s, published %s", sum, got.Cksum, v.SHA256)
	case v.yanked != unknown && got.Yanked != (v.yanked == yes):
		return fmt.Errorf("yanked: %v", got.Yanked)
	}
	v.deleted, v.yanked = no, no
	if got.Yanked {
		v.yanked = yes
	}
	if v.published == unknown {
		v.published = yes
		return v.republish(c, http.StatusConflict)
	}
	return nil
}

// republish publishes the version again and wants one certain answer.
func (v *version) republish(c *serve.Client, want int) error {
	status, text, err := c.Do("PUT", "/api/v1/crates/new", v.Frame)
	if err == nil && status == http.StatusServiceUnavailable && strings.Contains(string(text), "is being removed right now") {
		v.published = unknown // the next sweep ends what the one that was killed has begun
		return nil
	}
	if err == nil && status != want {
		err = fmt.Errorf("publish again: %d %s, not %d", status, text, want)
	}
	return err
}
