package crash

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
)

// kills is how often each pair of backends is killed: enough to notice most mistakes with every `make test`, and CRATEYARD_KILLS for a
// long run.
func kills(t *testing.T) int {
	text, ok := os.LookupEnv("CRATEYARD_KILLS")
	if !ok {
		return 40
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestSQLiteAndFilesystem(t *testing.T) {
	t.Parallel()
	run(t, func() (serve.Options, backends) {
		data := t.TempDir()
		config := registry.DefaultConfig()
		config.Data = data
		return serve.Options{Data: data}, backends{"sqlite", "file:" + filepath.Join(data, "catalog.db") + "?_pragma=busy_timeout(10000)", filepath.Join(data, "storage", "crates"), config}
	})
}

// The server dies, and not what it keeps its things in.
func TestPostgresAndS3(t *testing.T) {
	t.Parallel()
	pg, err := postgres.Start(postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	bucket := s3.New(t)
	run(t, func() (serve.Options, backends) {
		shared, err := serve.NewShared(pg, bucket, t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		config := registry.DefaultConfig()
		if err := registry.ReadConfig(shared.ConfigFile, &config); err != nil {
			t.Fatal(err)
		}
		config.Catalog.Postgres = &registry.Postgres{URI: shared.URI, MaxConnections: 4}
		return shared.Options(t.TempDir()), backends{"pgx", shared.URI, shared.Blobs, config}
	})
}

const (
	clients = 4  // work at the same time, each on a crate of its own
	most    = 15 // kills of one registry, for all of it is looked at after each
)

// run kills the servers of one registry after the other.
func run(t *testing.T, next func() (serve.Options, backends)) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	published, removed, all := 0, 0, kills(t)
	for left := all; left > 0; left -= most {
		o, b := next()
		p, r := live(t, o, b, rng, min(left, most))
		published, removed = published+p, removed+r
	}
	t.Logf("%d versions published, at least %d blobs removed", published, removed)
	if removed == 0 && all >= 40 {
		t.Error("no sweep removed anything, so none was tested")
	}
}

// live has one registry live through a number of kills. It says how many versions were published, and how many blobs were gone after sweeps, which alone
// remove any.
func live(t *testing.T, o serve.Options, b backends, rng *rand.Rand, kills int) (published, removed int) {
	t.Helper()
	var yards []*yard
	var startTook time.Duration // how long the last start took, which is what a sweep takes to begin, too
	// start starts the server, and finds all as it should be: the whole of it as it is, and what clients know of crates.
	start := func(kill int, yards []*yard) (*serve.Server, *serve.Client) {
		t.Helper()
		begin := time.Now()
		s, err := serve.StartWith(o)
		if err != nil {
			t.Fatalf("after kill %d: %v", kill, err)
		}
		startTook = time.Since(begin)
		c := serve.NewClient(s.URL, s.AdminToken)
		err = b.consistent(t.Context())
		for _, y := range yards {
			if err == nil {
				err = y.check(c)
			}
		}
		if err != nil {
			t.Fatalf("after kill %d: %v\n%s", kill, err, s.Logs())
		}
		return s, c
	}
	for kill := range kills {
		// A crate lives for some kills, so that there is always an old one and a new one.
		if kill%5 == 0 {
			yards = append(yards, newYards(len(yards))...)
		}
		recent := yards[len(yards)-clients:]
		s, c := start(kill, recent)
		var sweep *exec.Cmd
		var old []string
		longest := 60 * time.Millisecond
		if kill%3 == 2 {
			sweep, old = startSweep(t, o, b)
			longest = 300*time.Millisecond + 3*startTook
			if removed == 0 { // on a busy machine they may need more
				longest += time.Duration(kill) * startTook
			}
		}
		work(t, s, c, recent, rng, rand.N(longest))
		if sweep != nil {
			_ = sweep.Process.Kill() // it may be over
			_ = sweep.Wait()         // as it was killed
		}
		for _, path := range old {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				removed++
			}
		}
	}
	checked(t, o)
	s, c := start(kills, yards)
	c.Close()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	checked(t, o)
	for _, y := range yards {
		for _, v := range y.versions {
			if v.published == yes {
				published++
			}
		}
	}
	return published, removed
}

// startSweep removes what the versions that were deleted so far leave behind. old are all blobs, old enough to be removed.
func startSweep(t *testing.T, o serve.Options, b backends) (sweep *exec.Cmd, old []string) {
	t.Helper()
	old, err := b.age()
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := o.Command("sweep", "--older-than", "24h")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, old
}

// checked has the program itself look at all that is there, without a server.
func checked(t *testing.T, o serve.Options) {
	t.Helper()
	cmd, err := o.Command("check")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("check without a server: %v\n%s", err, out)
	}
}

func newYards(from int) (list []*yard) {
	for i := range clients {
		list = append(list, &yard{name: fmt.Sprintf("crate%d", from+i)})
	}
	return list
}

// work has the clients at work until the server is killed, at a moment that lies anywhere in what they do.
func work(t *testing.T, s *serve.Server, c *serve.Client, yards []*yard, rng *rand.Rand, length time.Duration) {
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for _, y := range yards {
		own := rand.New(rand.NewPCG(rng.Uint64(), 0))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := y.act(c, own); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	time.Sleep(length)
	if err := s.Kill(); err != nil {
		t.Error(err)
	}
	close(stop)
	wg.Wait()
	c.Close()
	if t.Failed() {
		t.Fatal(s.Logs())
	}
}
