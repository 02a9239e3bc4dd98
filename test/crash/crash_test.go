package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

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
	data := t.TempDir()
	run(t, serve.Options{Data: data}, backends{"sqlite", "file:" + filepath.Join(data, "catalog.db") + "?_pragma=busy_timeout(10000)", filepath.Join(data, "storage", "crates")})
}

// The server dies, and not what it keeps its things in.
func TestPostgresAndS3(t *testing.T) {
	pg, err := postgres.Start(postgres.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pg.Close(); err != nil {
			t.Error(err)
		}
	})
	shared, err := serve.NewShared(pg, s3.New(t), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	run(t, shared.Options(t.TempDir()), backends{"pgx", shared.URI, shared.Blobs})
}

// clients work at the same time, each on a crate of its own.
const clients = 4

func run(t *testing.T, o serve.Options, b backends) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var yards []*yard
	round := 0
	check := func(yards []*yard) {
		t.Helper()
		s, err := serve.StartWith(o)
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		c := serve.NewClient(s.URL, s.AdminToken)
		for _, y := range yards {
			if err := y.check(c); err != nil {
				t.Fatalf("after kill %d: %v\n%s", round, err, s.Logs())
			}
		}
		if err := s.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	for n := kills(t); round < n; round++ {
		// A crate lives for some rounds, so that there is always an old one and a new one.
		if round%5 == 0 {
			yards = append(yards, newYards(len(yards))...)
		}
		recent := yards[len(yards)-clients:]
		s, err := serve.StartWith(o)
		if err != nil {
			t.Fatalf("after kill %d: %v", round, err)
		}
		c := serve.NewClient(s.URL, s.AdminToken)
		for _, y := range recent {
			if err := y.check(c); err != nil {
				t.Fatalf("after kill %d: %v\n%s", round, err, s.Logs())
			}
		}
		var sweep *exec.Cmd
		most := 60 * time.Millisecond
		if round%3 == 2 {
			sweep = startSweep(t, o, b)
			most = 600 * time.Millisecond // it has to start first
		}
		work(t, s, c, recent, rng, rand.N(most))
		if sweep != nil {
			_ = sweep.Process.Kill() // it may be over
			_ = sweep.Wait()         // as it was killed
		}
		if round%20 == 19 {
			consistent(t, o, round)
		}
	}
	check(yards)
	consistent(t, o, round)
	published := 0
	for _, y := range yards {
		for _, v := range y.versions {
			if v.published == yes {
				published++
			}
		}
	}
	kept, err := b.count()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d versions published, %d blobs kept", published, kept)
	if kept >= published && round >= 40 {
		t.Error("no sweep removed anything, so none was tested")
	}
}

// startSweep removes what the versions that were deleted so far leave behind.
func startSweep(t *testing.T, o serve.Options, b backends) *exec.Cmd {
	t.Helper()
	if err := b.age(); err != nil {
		t.Fatal(err)
	}
	cmd, err := o.Command("sweep", "--older-than", "24h")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// consistent has the program itself look at all that is there, without a server.
func consistent(t *testing.T, o serve.Options, round int) {
	t.Helper()
	cmd, err := o.Command("check")
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("check after kill %d: %v\n%s", round, err, out)
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
