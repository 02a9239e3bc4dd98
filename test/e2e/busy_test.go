//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/serve"
)

// busyCrate is what cargo publishes while something happens.
const busyCrate = "cargo-busy"

// patience is how long a publish, or a build of what was just published, is tried while what the servers stand on may be away.
const patience = 2 * time.Minute

// failure is something that was asked for once, and did not come.
type failure struct {
	began time.Time
	what  string
}

func (f failure) String() string { return f.began.UTC().Format("15:04:05.000 ") + f.what }

type failures []failure

// none reports failures, of which there may be none.
func (f failures) none(t *testing.T, what string) {
	t.Helper()
	if len(f) > 0 {
		t.Errorf("%d %s failed; the first: %s", len(f), what, f[0])
	}
}

// clear reports failures of cargo that do not say that the service is away for now.
func (f failures) clear(t *testing.T, what string) {
	t.Helper()
	for _, failed := range f {
		if !strings.Contains(failed.what, "503") {
			t.Errorf("%s failed without a clear 503: %s", what, failed)
		}
	}
}

// seen is what clients saw while something happened.
type seen struct {
	mu sync.Mutex

	reads     failures // of one try
	lost      failures // of reads, however often they were tried
	builds    failures // cargo's, of a crate that all servers know; cargo itself has tried again
	publishes failures // cargo's, of one try
	fresh     failures // cargo's builds of what it has just published, of one try

	asked, built, published int // reads, and successful builds and publishes of cargo
}

// nothingFailed holds it against what a client sees of a service that is always there.
func (s *seen) nothingFailed(t *testing.T) {
	t.Helper()
	s.reads.none(t, "reads")
	s.builds.none(t, "builds")
	s.publishes.none(t, "publishes")
	s.fresh.none(t, "builds of what was just published")
}

// fail notes a failure in one of the lists.
func (s *seen) fail(list *failures, began time.Time, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, failure{began, fmt.Sprintf(format, args...)})
}

func (s *seen) count(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

// during has clients at work while something happens: cargo publishes new versions and builds each, cargo builds a crate that all servers know, one client publishes as fast as it
// can, and others read a crate's index file and its archive. Every publish must be acknowledged in the end, and what was published must build in the end. What else may
// fail is for the caller to say.
func (f *fleet) during(t *testing.T, crate string, happens func()) *seen {
	t.Helper()
	if err := f.publish(t.Context(), crate); err != nil {
		t.Fatal(err)
	}
	last := f.published[len(f.published)-1]
	paths := []string{"/index/" + indexPath(crate), "/crates/" + last.Name + "/" + last.Version + "/download"}
	f.warm(t, append(paths, "/index/"+indexPath("fleet-base"), "/crates/fleet-base/0.1.0/download")...)

	s := &seen{}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	repeat := func(pause time.Duration, do func()) {
		wg.Go(func() {
			for ctx.Err() == nil {
				do()
				time.Sleep(pause)
			}
		})
	}
	for _, path := range paths {
		for _, keep := range []bool{true, false} {
			client := serve.NewClient("http://"+f.address, "")
			repeat(20*time.Millisecond, func() { s.read(client, path, keep) })
		}
	}
	repeat(50*time.Millisecond, func() {
		limit, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.publish(limit, crate+"-busy"); err != nil {
			t.Error(err)
		}
	})
	work := t.TempDir()
	repeat(200*time.Millisecond, func() { f.buildKnown(s, filepath.Join(work, "known")) })
	repeat(200*time.Millisecond, func() {
		if err := f.publishAndBuild(s, filepath.Join(work, "new")); err != nil {
			t.Error(err)
		}
	})
	happens()
	time.Sleep(time.Second)
	stop()
	wg.Wait()
	t.Logf("%d reads, of which %d failed at first and %d for good; cargo built %d times and failed %d times, published and built %d times, and failed %d and %d times before that; %d versions acknowledged so far",
		s.asked, len(s.reads), len(s.lost), s.built, len(s.builds), s.published, len(s.publishes), len(s.fresh), len(f.published)+len(f.byCargo))
	for _, list := range []failures{s.reads, s.publishes, s.fresh} {
		for _, failed := range list[:min(len(list), 3)] {
			t.Log(failed)
		}
	}
	if s.built == 0 || s.published == 0 {
		t.Error("cargo was not at work")
	}
	return s
}

// warm reads paths over so many new connections that each of three servers has been asked for each.
func (f *fleet) warm(t *testing.T, paths ...string) {
	t.Helper()
	for range 30 {
		for _, path := range paths {
			f.user.Close()
			if status, text, err := f.user.Do("GET", path, nil); err != nil || status != 200 {
				t.Fatal(path, status, string(text), err)
			}
		}
	}
}

// cargoWaits is how long cargo waits before it tries a read again.
var cargoWaits = []time.Duration{time.Second, 3500 * time.Millisecond, 6500 * time.Millisecond}

// read reads a path, over the connection from before or a new one. If that fails it tries again as cargo does.
func (s *seen) read(client *serve.Client, path string, keep bool) {
	s.count(&s.asked)
	for try := 0; ; try++ {
		if !keep || try > 0 {
			client.Close()
		}
		began := time.Now()
		status, text, err := client.Do("GET", path, nil)
		if err == nil && status == 200 {
			return
		}
		s.fail(&s.reads, began, "%s: %d %.300q %v", path, status, text, err)
		if try == len(cargoWaits) {
			s.fail(&s.lost, began, "%s: %d %.300q %v", path, status, text, err)
			return
		}
		time.Sleep(cargoWaits[try])
	}
}

// buildKnown builds a crate that all servers know.
func (f *fleet) buildKnown(s *seen, dir string) {
	began := time.Now()
	out, err := f.freshCargo(dir, "app", "0.1.0", `fleet-base = { version = "=0.1.0", registry = "fleet" }`, "build")
	if err != nil {
		s.fail(&s.builds, began, "%v\n%s", err, out)
		return
	}
	s.count(&s.built)
}

// publishAndBuild has cargo publish a new version and build it, each again until that succeeds, as a CI pipeline would.
func (f *fleet) publishAndBuild(s *seen, dir string) error {
	f.mu.Lock()
	f.next++
	version := fmt.Sprintf("1.0.%d", f.next)
	f.mu.Unlock()
	limit := time.Now().Add(patience)
	again := func(list *failures, do func() (string, error)) error {
		for {
			began := time.Now()
			out, err := do()
			if err == nil {
				return nil
			}
			s.fail(list, began, "%v\n%s", err, out)
			if time.Now().After(limit) {
				return fmt.Errorf("%s %s: not within %s: %w\n%s", busyCrate, version, patience, err, out)
			}
			time.Sleep(200 * time.Millisecond)
		}
	}
	err := again(&s.publishes, func() (string, error) {
		out, err := f.freshCargo(dir, busyCrate, version, "", "publish", "--registry", "fleet", "--allow-dirty", "--no-verify")
		if err != nil && (strings.Contains(out, "already exists") || strings.Contains(out, "already uploaded")) { // an answer that was lost
			err = nil
		}
		return out, err
	})
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.byCargo = append(f.byCargo, version)
	f.mu.Unlock()
	err = again(&s.fresh, func() (string, error) {
		return f.freshCargo(dir, "app", "0.1.0", fmt.Sprintf(`%s = { version = "=%s", registry = "fleet" }`, busyCrate, version), "build")
	})
	if err == nil {
		s.count(&s.published)
	}
	return err
}

// freshCargo runs cargo for a crate made in a folder that is gone afterwards, with nothing in its CARGO_HOME but what the user's Secret has.
func (f *fleet) freshCargo(dir, name, version, dependencies string, args ...string) (string, error) {
	defer func() { _ = os.RemoveAll(dir) }() // the test's folder goes anyway
	if err := writeCrate(filepath.Join(dir, "crate"), name, version, dependencies); err != nil {
		return "", err
	}
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		return "", err
	}
	for file, text := range f.files {
		if err := os.WriteFile(filepath.Join(home, file), []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	cmd := exec.Command("cargo", args...)
	cmd.Dir = filepath.Join(dir, "crate")
	cmd.Env = append(os.Environ(), "CARGO_HOME="+home, "CARGO_TERM_COLOR=never")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// indexPath is where the index file of a crate lies, whose name has four letters at least.
func indexPath(name string) string { return name[:2] + "/" + name[2:4] + "/" + name }
