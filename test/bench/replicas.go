package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
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

// withReplicas runs work with so many servers on one PostgreSQL.
func withReplicas(b *bench, n int, onS3 bool, work func(*replicas) (result, error)) (_ result, err error) {
	dir, err := os.MkdirTemp(b.dir, "replicas-")
	if err != nil {
		return result{}, err
	}
	r := &replicas{}
	defer func() { err = errors.Join(err, r.close(), os.RemoveAll(dir)) }()
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
	shared, err := serve.NewShared(r.pg, r.bucket, dir)
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
// same server and schema, in one transaction each.
func measureReplicatedPublish(ctx context.Context, b *bench) (result, error) {
	return withReplicas(b, 3, false, func(r *replicas) (result, error) {
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
		var ours, theirs, ratios []float64
		var times []time.Duration
		for round := range b.rounds {
			o, took, err := r.publishFor(b.length, round, noise)
			if err != nil {
				return result{}, err
			}
			t, err := pgbench(ctx, r.pg, uri, script, b.length)
			if err != nil {
				return result{}, err
			}
			ours, theirs, ratios, times = append(ours, o), append(theirs, t), append(ratios, o/t), append(times, took...)
		}
		slices.Sort(times)
		return result{fmt.Sprintf("publish of 20 kB crates by %d clients, 3 servers on PostgreSQL and a shared folder", publishers),
			fmt.Sprintf("%s, p50 %.1f ms, p99 %.1f ms", perSec(median(ours)), ms(times[len(times)/2]), ms(times[len(times)*99/100])),
			"pgbench, the same statements: " + perSec(median(theirs)), fmt.Sprintf("%.2f", median(ratios)), "0.50", atLeast("the ratio", median(ratios), 0.5)}, nil
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

func pgbench(ctx context.Context, pg *postgres.Server, uri, script string, length time.Duration) (float64, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(pg.Bin(), "pgbench"), "--no-vacuum", "--protocol=prepared", "--client="+strconv.Itoa(publishers), "--jobs=2",
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
	return withReplicas(b, 3, false, func(r *replicas) (result, error) {
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

// measureProxy downloads a crate of 10 MiB through a server whose blobs are in S3, in turns with getting the object from S3 itself.
func measureProxy(ctx context.Context, b *bench) (result, error) {
	return withReplicas(b, 1, true, func(r *replicas) (result, error) {
		noise := make([]byte, 10<<20-10_000)
		if _, err := rand.Read(noise); err != nil {
			return result{}, err
		}
		v := upload.New("bench-proxy", "1.0.0", noise)
		if status, text, err := r.clients[0].Do(http.MethodPut, "/api/v1/crates/new", v.Frame); err != nil || status != http.StatusOK {
			return result{}, fmt.Errorf("publish: %d %s %w", status, text, err)
		}
		direct, err := directAddress(ctx, r.bucket, v)
		if err != nil {
			return result{}, err
		}
		ourAddress := r.servers[0].URL + "/crates/bench-proxy/1.0.0/download"
		var ours, theirs, ratios []float64
		for range b.rounds {
			o, err := readFor(ctx, b.length, ourAddress, len(v.Archive))
			if err != nil {
				return result{}, err
			}
			t, err := readFor(ctx, b.length, direct, len(v.Archive))
			if err != nil {
				return result{}, err
			}
			ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, o/t)
		}
		grown, err := r.memoryOfDownloads(ctx, ourAddress, len(v.Archive))
		if err != nil {
			return result{}, err
		}
		return result{"download of 10 MiB from S3 through the server, one after the other; 100 at once",
			fmt.Sprintf("%s; memory %+.1f MiB beside 100 of 1 MiB", perSec(median(ours)), grown), "from S3 itself: " + perSec(median(theirs)),
			fmt.Sprintf("%.2f", median(ratios)), "0.80; ±5 MiB", misses(atLeast("the ratio", median(ratios), 0.8), atMost("memory", math.Abs(grown), 5))}, nil
	})
}

// readFor gets an address again and again and gives how often it did in a second.
func readFor(ctx context.Context, length time.Duration, address string, size int) (float64, error) {
	begin, n := time.Now(), 0
	for ; time.Since(begin) < length; n++ {
		if err := readAll(ctx, address, int64(size)); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

var plainClient = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 200, ReadBufferSize: 64 << 10}}

func readAll(ctx context.Context, address string, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := plainClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{resp.Body}, make([]byte, 64<<10))
	if err == nil && (n != size || resp.StatusCode != http.StatusOK) {
		err = fmt.Errorf("%s: %s, %d bytes", strings.SplitN(address, "?", 2)[0], resp.Status, n)
	}
	return err
}

// directAddress is where S3 itself gives the archive to anybody.
func directAddress(ctx context.Context, bucket *s3.Server, v upload.Crate) (string, error) {
	client := sdk.NewPresignClient(bucket.Client())
	name, err := onlyBucket(ctx, bucket)
	if err != nil {
		return "", err
	}
	key := storage.CrateKey(v.Name, v.Version, v.SHA256)
	signed, err := client.PresignGetObject(ctx, &sdk.GetObjectInput{Bucket: &name, Key: &key}, sdk.WithPresignExpires(time.Hour))
	if err != nil {
		return "", err
	}
	return signed.URL, nil
}

// onlyBucket is the bucket that the servers use: there is no other.
func onlyBucket(ctx context.Context, server *s3.Server) (string, error) {
	list, err := server.Client().ListBuckets(ctx, &sdk.ListBucketsInput{})
	if err != nil || len(list.Buckets) != 1 {
		return "", fmt.Errorf("buckets: %v %w", list, err)
	}
	return *list.Buckets[0].Name, nil
}

// memoryOfDownloads is by how much the server's memory is larger with 100 downloads of a large crate at once than it was with 100 of a
// small one.
func (r *replicas) memoryOfDownloads(ctx context.Context, large string, size int) (float64, error) {
	small := upload.New("bench-small", "1.0.0", make([]byte, 1<<20))
	if status, text, err := r.clients[0].Do(http.MethodPut, "/api/v1/crates/new", small.Frame); err != nil || status != http.StatusOK {
		return 0, fmt.Errorf("publish: %d %s %w", status, text, err)
	}
	peak := func(address string, size int) (float64, error) {
		var most atomic.Int64
		stop := make(chan struct{})
		var watch sync.WaitGroup
		watch.Go(func() {
			for {
				if mib, err := residentOf(strconv.Itoa(r.servers[0].Pid)); err == nil {
					most.Store(max(most.Load(), int64(mib*1024)))
				}
				select {
				case <-stop:
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		})
		var work errgroup.Group
		for range 100 {
			work.Go(func() error { return readAll(ctx, address, int64(size)) })
		}
		err := work.Wait()
		close(stop)
		watch.Wait()
		return float64(most.Load()) / 1024, err
	}
	before, err := peak(r.servers[0].URL+"/crates/bench-small/1.0.0/download", len(small.Archive))
	if err != nil {
		return 0, err
	}
	with, err := peak(large, size)
	return with - before, err
}
