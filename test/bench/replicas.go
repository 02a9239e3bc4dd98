package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

// replicas are servers that share a database, and a bucket or a folder.
type replicas struct {
	pg      *postgres.Server
	bucket  *s3.Server
	servers []*serve.Server
	clients []*serve.Client
}

// withReplicas runs work with so many servers on one PostgreSQL. config is added to theirs: see serve.NewShared.
func withReplicas(b *bench, n int, onS3 bool, config string, work func(*replicas) (result, error)) (_ result, err error) {
	dir, err := os.MkdirTemp(b.dir, "replicas-")
	if err != nil {
		return result{}, err
	}
	r := &replicas{}
	defer func() { err = errors.Join(err, r.close()) }() // the folder goes at the end, for the sake of what is measured next: see spread
	if r.pg, err = postgres.Start(postgres.Options{}); err != nil {
		return result{}, err
	}
	if onS3 {
		objects := filepath.Join(dir, "objects")
		if err := os.Mkdir(objects, 0o755); err != nil {
			return result{}, err
		}
		if r.bucket, err = s3.Start(objects); err != nil {
			return result{}, err
		}
	}
	shared, err := serve.NewShared(r.pg, r.bucket, dir, config)
	if err != nil {
		return result{}, err
	}
	for i := range n {
		o := shared.Options(filepath.Join(dir, fmt.Sprint("data", i)))
		o.Flags = append(o.Flags, "--log-format", "json")
		s, err := serve.StartWith(o)
		if err != nil {
			return result{}, err
		}
		r.servers, r.clients = append(r.servers, s), append(r.clients, serve.NewClient(s.URL, s.AdminToken))
	}
	return work(r)
}

func (r *replicas) close() (err error) {
	for _, s := range r.servers {
		err = errors.Join(err, s.Stop())
	}
	if r.bucket != nil {
		err = errors.Join(err, r.bucket.Stop())
	}
	if r.pg != nil {
		err = errors.Join(err, r.pg.Close())
	}
	return err
}

// publishers is how many publish at the same time, and how many clients pgbench has.
const publishers = 12

// measureReplicatedPublish has three servers publish for many clients, in turns with pgbench running the statements of a publish on the
// same server and schema, in one transaction each: as it does by default, and with statements that are prepared once.
func measureReplicatedPublish(ctx context.Context, b *bench) (result, error) {
	return withReplicas(b, 3, false, "", func(r *replicas) (result, error) {
		uri, err := r.pg.NewDatabase()
		if err != nil {
			return result{}, err
		}
		if err := preparePgbench(ctx, uri); err != nil {
			return result{}, err
		}
		script := filepath.Join(b.dir, "publish.sql")
		if err := os.WriteFile(script, []byte(pgbenchScript), 0o644); err != nil {
			return result{}, err
		}
		noise := make([]byte, 20_000-400)
		if _, err := rand.Read(noise); err != nil {
			return result{}, err
		}
		var ours, theirs, ratios, prepared, preparedRatios []float64
		var times []time.Duration
		for round := range b.rounds {
			o, took, err := r.publishFor(b.length, round, noise)
			if err != nil {
				return result{}, err
			}
			t, err := pgbench(ctx, r.pg, uri, script, "simple", b.length)
			if err != nil {
				return result{}, err
			}
			p, err := pgbench(ctx, r.pg, uri, script, "prepared", b.length)
			if err != nil {
				return result{}, err
			}
			ours, theirs, ratios, times = append(ours, o), append(theirs, t), append(ratios, o/t), append(times, took...)
			prepared, preparedRatios = append(prepared, p), append(preparedRatios, o/p)
		}
		slices.Sort(times)
		return result{fmt.Sprintf("publish of 20 kB crates by %d clients, 3 servers on PostgreSQL and a shared folder", publishers),
			fmt.Sprintf("%s, p50 %.1f ms, p99 %.1f ms", perSec(median(ours)), ms(times[len(times)/2]), ms(times[len(times)*99/100])),
			fmt.Sprintf("pgbench, the same statements: %s; prepared: %s", perSec(median(theirs)), perSec(median(prepared))),
			fmt.Sprintf("%.2f; prepared: %.2f", median(ratios), median(preparedRatios)), "0.50; prepared: no limit", atLeast("the ratio", median(ratios), 0.5)}, nil
	})
}

// mostPublishes is more than one client can publish in a second.
const mostPublishes = 100

// publishFor publishes through all servers for a while.
func (r *replicas) publishFor(length time.Duration, round int, noise []byte) (perSecond float64, times []time.Duration, err error) {
	var mu sync.Mutex
	var work errgroup.Group
	var frames [publishers][][]byte // made before the clock runs: that is cargo's work
	for p := range publishers {
		for n := range int(length.Seconds() * mostPublishes) {
			frames[p] = append(frames[p], upload.New(fmt.Sprintf("bench-%d", p), fmt.Sprintf("%d.%d.0", round+1, n), noise).Frame)
		}
	}
	begin := time.Now()
	for p := range publishers {
		c := r.clients[p%len(r.clients)]
		work.Go(func() error {
			for _, frame := range frames[p] {
				if time.Since(begin) > length {
					break
				}
				one := time.Now()
				if status, text, err := c.Do(http.MethodPut, "/api/v1/crates/new", frame); err != nil || status != http.StatusOK {
					return fmt.Errorf("publish: %d %s %w", status, text, err)
				}
				took := time.Since(one)
				mu.Lock()
				times = append(times, took)
				mu.Unlock()
			}
			return nil
		})
	}
	err = work.Wait()
	return float64(len(times)) / time.Since(begin).Seconds(), times, err
}

// pgbenchScript is what a publish of a new version asks of the database, with rows of the same size.
const pgbenchScript = `\set crate random(1, 12)
\set n random(1, 1000000000000)
BEGIN;
SELECT u.role, u.suspended, t.expires_at FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.id = 1;
SELECT pg_advisory_xact_lock_shared(1, 0), (SELECT id FROM crates WHERE canonical = 'bench_' || :crate FOR NO KEY UPDATE);
SELECT c.id, c.max_version, EXISTS (SELECT 1 FROM crate_users u WHERE u.crate_id = c.id AND u.user_id = 1 AND u.owner = 1) FROM crates c
	LEFT JOIN versions v ON v.crate_id = c.id AND v.release = '1.0.' || :n WHERE c.canonical = 'bench_' || :crate;
UPDATE crates SET max_version = '1.0.' || :n, updated_at = 1700000000 WHERE id = :crate;
INSERT INTO versions (crate_id, num, release, sha256, size, line, published_by, publisher_id, created_at, metadata, details)
	VALUES (:crate, '1.0.' || :n, '1.0.' || :n, repeat('a', 64), 20000, repeat('l', 230), 'admin', 1, 1700000000, repeat('m', 330), '{}') ON CONFLICT DO NOTHING;
INSERT INTO audit (at, actor, token_id, token, address, action, crate, version, after)
	VALUES (1700000000, 'admin', 1, 'bootstrap', '127.0.0.1', 'crate.publish', 'bench-' || :crate, '1.0.' || :n, repeat('j', 110));
INSERT INTO changes (crate, kind, version_id, hidden, at) VALUES ('bench-' || :crate, 'publish', NULL, false, 1700000000);
COMMIT;
`

// preparePgbench makes the schema, and the rows that the script finds.
func preparePgbench(ctx context.Context, uri string) error {
	c, err := catalog.OpenPostgres(ctx, catalog.PostgresOptions{URI: uri})
	if err != nil {
		return err
	}
	if err := c.Close(); err != nil { // or its sequencer would number what pgbench inserts
		return err
	}
	conn, err := pgx.Connect(ctx, uri)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `INSERT INTO users (name, role, created_at) VALUES ('admin', 'admin', 1);
		INSERT INTO tokens (user_id, name, hash, scopes, crates, created_at) VALUES (1, 'bootstrap', 'x', '', '', 1);
		INSERT INTO crates (name, canonical, description, max_version, created_at, updated_at) SELECT 'bench-' || i, 'bench_' || i, '', '1.0.0', 1, 1 FROM generate_series(1, 12) i;
		INSERT INTO owners SELECT id, 1 FROM crates; ANALYZE`)
	return errors.Join(err, conn.Close(ctx))
}

var tps = regexp.MustCompile(`tps = ([0-9.]+)`)

func pgbench(ctx context.Context, pg *postgres.Server, uri, script, protocol string, length time.Duration) (float64, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(pg.Bin(), "pgbench"), "--no-vacuum", "--protocol="+protocol, "--client="+strconv.Itoa(publishers), "--jobs=2",
		fmt.Sprintf("--time=%d", max(1, int(length.Seconds()))), "--file="+script, uri)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("pgbench: %w\n%s", err, out)
	}
	m := tps.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("pgbench said no rate:\n%s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// measureVisibility publishes through one server and asks another for the index until it has the version; and it revokes tokens through one
// and asks another until they no longer work.
func measureVisibility(_ context.Context, b *bench) (result, error) {
	return withReplicas(b, 3, false, "", func(r *replicas) (result, error) {
		var seen, dead []time.Duration
		for i := range 40 * b.rounds {
			v := upload.New("bench-seen", fmt.Sprintf("1.%d.0", i), nil)
			if status, text, err := r.clients[i%3].Do(http.MethodPut, "/api/v1/crates/new", v.Frame); err != nil || status != http.StatusOK {
				return result{}, fmt.Errorf("publish: %d %s %w", status, text, err)
			}
			took, err := until(func() (bool, error) {
				_, text, err := r.clients[(i+1)%3].Do(http.MethodGet, "/index/be/nc/bench-seen", nil)
				return bytes.Contains(text, []byte(`"vers":"`+v.Version+`"`)), err
			})
			if err != nil {
				return result{}, err
			}
			seen = append(seen, took)
		}
		for i := range 4 * b.rounds {
			took, err := r.revoke(i)
			if err != nil {
				return result{}, err
			}
			dead = append(dead, took)
		}
		slices.Sort(seen)
		slices.Sort(dead)
		return result{"a publish is visible on the other servers; a revoked token is dead there",
			fmt.Sprintf("p50 %.0f ms, p99 %.0f ms; slowest %.0f ms", ms(seen[len(seen)/2]), ms(seen[len(seen)*99/100]), ms(dead[len(dead)-1])),
			fmt.Sprintf("%d publishes, %d tokens", len(seen), len(dead)), "", "p99 under 300 ms; under 1000 ms",
			misses(atMost("the p99 in ms", ms(seen[len(seen)*99/100]), 300), atMost("the slowest in ms", ms(dead[len(dead)-1]), 1000))}, nil
	})
}

// revoke makes a token, has a server know it, revokes it through another, and times how long the first still takes it.
func (r *replicas) revoke(i int) (time.Duration, error) {
	status, text, err := r.clients[0].Do(http.MethodPost, "/api/v1/tokens", fmt.Appendf(nil, `{"user":"admin","name":"bench-%d","scopes":["read"]}`, i))
	if err != nil || status != http.StatusCreated {
		return 0, fmt.Errorf("make a token: %d %s %w", status, text, err)
	}
	id := regexp.MustCompile(`"id":(\d+)`).FindSubmatch(text)
	token := regexp.MustCompile(`"token":"([^"]+)"`).FindSubmatch(text)
	if id == nil || token == nil {
		return 0, fmt.Errorf("make a token: %s", text)
	}
	holder := serve.NewClient(r.servers[1].URL, string(token[1]))
	defer holder.Close()
	works := func() (bool, error) {
		status, _, err := holder.Do(http.MethodGet, "/api/v1/me", nil)
		return status == http.StatusOK, err
	}
	if ok, err := works(); err != nil || !ok {
		return 0, fmt.Errorf("a new token does not work: %w", err)
	}
	if status, text, err := r.clients[0].Do(http.MethodDelete, "/api/v1/tokens/"+string(id[1]), nil); err != nil || status != http.StatusNoContent {
		return 0, fmt.Errorf("revoke a token: %d %s %w", status, text, err)
	}
	return until(func() (bool, error) {
		ok, err := works()
		return !ok, err
	})
}

// until asks again and again, and gives how long it took.
func until(is func() (bool, error)) (time.Duration, error) {
	begin := time.Now()
	for time.Since(begin) < 30*time.Second {
		ok, err := is()
		if ok || err != nil {
			return time.Since(begin), err
		}
		time.Sleep(2 * time.Millisecond)
	}
	return 0, errors.New("it did not happen within 30 seconds")
}
