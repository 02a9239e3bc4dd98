package crash

import (
	"fmt"
	"math/rand/v2"
	"os"
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
	run(t, serve.Options{Data: t.TempDir()})
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
	run(t, shared.Options(t.TempDir()))
}

// clients work at the same time, each on a crate of its own.
const clients = 4

func run(t *testing.T, o serve.Options) {
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
		work(t, s, c, recent, rng)
	}
	check(yards)
}

func newYards(from int) (list []*yard) {
	for i := range clients {
		list = append(list, &yard{name: fmt.Sprintf("crate%d", from+i)})
	}
	return list
}

// work has the clients at work until the server is killed, at a moment that lies anywhere in what they do.
func work(t *testing.T, s *serve.Server, c *serve.Client, yards []*yard, rng *rand.Rand) {
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
	time.Sleep(time.Duration(rng.IntN(60_000)) * time.Microsecond)
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
