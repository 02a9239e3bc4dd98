package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite", for the bare loop

	"github.com/crateyard/crateyard/test/upload"
)

var measurements = []measurement{
	{"memory idle", measureIdle},
	{"index", measureIndex},
	{"not modified", measureNotModified},
	{"missing", measureMissing},
	{"token", measureToken},
	{"memory under load", measureLoaded},
	{"download", measureDownload},
	{"publish", measurePublish},
	{"archive", measureArchive},
	{"s3 read", measureS3Read},
	{"s3 memory", measureS3Memory},
	{"replicas publish", measureReplicatedPublish},
	{"replicas visible", measureVisibility},
	{"proxy warm", measureProxyWarm},
	{"proxy cold", measureProxyCold},
	{"proxy uncached", measureProxyUncached},
	{"proxy memory", measureProxyMemory},
	{"mirror warm", measureWarmMirror},
	{"mirror cold", measureColdMirror},
	{"mirror ahead", measurePrecaching},
	{"mirror ahead from nginx", measurePrecachingFromNginx},
	{"mirror memory", measurePrecachingMemory},
	{"mirror policy", measurePolicy},
	{"growth postgres", measureGrowthPostgres},
	{"growth sqlite", measureGrowthSQLite},
}

const connections = 32

func measureIdle(_ context.Context, b *bench) (result, error) {
	time.Sleep(2 * time.Second)
	mib, err := b.resident()
	return result{"resident memory, idle", fmt.Sprintf("%.0f MiB", mib), "", "", "at most 40 MiB", atMost("memory", mib, 40)}, err
}

// indexFile publishes versions of a crate until its index file has 12 KB, and gives nginx the same bytes.
func indexFile(ctx context.Context, b *bench) (ours, theirs string, err error) {
	ours, theirs = b.server.URL+"/index/be/nc/bench-index", b.files+"/bench-index"
	body, _, status, err := fetch(ctx, ours)
	for n := 0; err == nil && (status == http.StatusNotFound || len(body) < 12<<10); n++ {
		if err = b.publish(ctx, "bench-index", fmt.Sprintf("1.%d.0", n), nil); err == nil {
			body, _, status, err = fetch(ctx, ours)
		}
	}
	if err != nil {
		return "", "", err
	}
	return ours, theirs, b.put("bench-index", body)
}

func measureIndex(ctx context.Context, b *bench) (result, error) {
	ours, theirs, err := indexFile(ctx, b)
	if err != nil {
		return result{}, err
	}
	o, t, ratio, err := b.against(ctx, connections, ours, theirs, nil, nil)
	return result{"index file of 12 KB, warm, 32 connections", perSec(o), "nginx: " + perSec(t), fmt.Sprintf("%.2f", ratio), "0.55", atLeast("the ratio", ratio, 0.55)}, err
}

func measureNotModified(ctx context.Context, b *bench) (result, error) {
	ours, theirs, err := indexFile(ctx, b)
	if err != nil {
		return result{}, err
	}
	var headers [2][]string
	for i, url := range []string{ours, theirs} {
		_, h, _, err := fetch(ctx, url)
		if err != nil {
			return result{}, err
		}
		headers[i] = []string{"If-None-Match: " + h.Get("Etag")}
		if _, _, status, err := fetch(ctx, url, headers[i]...); err != nil || status != http.StatusNotModified {
			return result{}, fmt.Errorf("%s does not answer 304 but %d: %w", url, status, err)
		}
	}
	o, t, ratio, err := b.against(ctx, connections, ours, theirs, headers[0], headers[1])
	return result{"the same, not modified (304)", perSec(o), "nginx: " + perSec(t), fmt.Sprintf("%.2f", ratio), "0.45", atLeast("the ratio", ratio, 0.45)}, err
}

// measureMissing asks for a crate that does not exist, in turns with one that does: cargo asks for both spellings of a name.
func measureMissing(ctx context.Context, b *bench) (result, error) {
	hit, _, err := indexFile(ctx, b)
	if err != nil {
		return result{}, err
	}
	missing := b.server.URL + "/index/no/ne/none-of-that-name"
	if _, _, status, err := fetch(ctx, missing); err != nil || status != http.StatusNotFound {
		return result{}, fmt.Errorf("%s does not answer 404 but %d: %w", missing, status, err)
	}
	accept := []string{"Accept: text/plain"} // as cargo sends it; with a header of ours, load takes other answers than 200
	o, t, ratio, err := b.against(ctx, connections, missing, hit, accept, accept)
	return result{"index file of an unknown crate (404)", perSec(o), "a hit: " + perSec(t), fmt.Sprintf("%.2f", ratio), "1.00", atLeast("the ratio", ratio, 1)}, err
}

// measureToken reads with a token, in turns with reads without.
func measureToken(ctx context.Context, b *bench) (result, error) {
	hit, _, err := indexFile(ctx, b)
	if err != nil {
		return result{}, err
	}
	o, t, ratio, err := b.against(ctx, connections, hit, hit, []string{"Authorization: " + b.server.AdminToken}, nil)
	return result{"index file, with a token", perSec(o), "without: " + perSec(t), fmt.Sprintf("%.2f", ratio), "0.77 (cost at most 1.3)", atLeast("the ratio", ratio, 0.77)}, err
}

func measureLoaded(ctx context.Context, b *bench) (result, error) {
	ours, _, err := indexFile(ctx, b)
	if err != nil {
		return result{}, err
	}
	done := make(chan error, 1)
	go func() {
		_, err := b.load(ctx, connections, ours)
		done <- err
	}()
	most := 0.0
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		select {
		case err := <-done:
			tick.Stop()
			return result{"resident memory, most under the index load", fmt.Sprintf("%.0f MiB", most), "", "", "at most 100 MiB", atMost("memory", most, 100)}, err
		case <-tick.C:
			if mib, err := b.resident(); err == nil {
				most = max(most, mib)
			}
		}
	}
}

func measureDownload(ctx context.Context, b *bench) (result, error) {
	noise := make([]byte, 1<<20-600) // random bytes do not compress: the archive has 1 MiB
	if _, err := rand.Read(noise); err != nil {
		return result{}, err
	}
	if err := b.publish(ctx, "bench-download", "1.0.0", noise); err != nil {
		return result{}, err
	}
	ours, theirs := b.server.URL+"/crates/bench-download/1.0.0/download", b.files+"/bench-download"
	body, _, _, err := fetch(ctx, ours)
	if err != nil {
		return result{}, err
	}
	if err := b.put("bench-download", body); err != nil {
		return result{}, err
	}
	o, t, ratio, err := b.against(ctx, connections, ours, theirs, nil, nil)
	return result{"download of a 1 MiB crate, 32 connections", perSec(o), "nginx, sendfile: " + perSec(t), fmt.Sprintf("%.2f", ratio), "0.80", atLeast("the ratio", ratio, 0.8)}, err
}

// publishes is how many publishes of 20 kB make one half of a turn, and publishTurns how many turns are a round: what a neighbour does to the disk
// lasts seconds, and hits both halves of a short turn.
const (
	publishes    = 40
	publishTurns = 5
)

// measurePublish publishes crates of 20 kB one after the other, in turns with a loop that does no more than what durability
// asks: write, sync, rename, sync the folder, commit to SQLite with the same settings.
func measurePublish(ctx context.Context, b *bench) (_ result, err error) {
	noise := make([]byte, 20_000-400)
	if _, err := rand.Read(noise); err != nil {
		return result{}, err
	}
	bare, err := newBareLoop(filepath.Join(b.dir, "bare"))
	if err != nil {
		return result{}, err
	}
	defer bare.close()
	client, err := newUploads(ctx, b.server)
	if err != nil {
		return result{}, err
	}
	defer func() { err = errors.Join(err, client.close()) }()
	var ours, theirs, ratios []float64
	var times []time.Duration
	for round := range publishTurns * b.rounds {
		var frames [publishes][]byte
		for i := range frames {
			frames[i] = upload.New(fmt.Sprintf("bench-%d", i%10), fmt.Sprintf("1.%d.%d", round, i), noise).Frame
		}
		start := time.Now()
		for _, frame := range frames {
			one := time.Now()
			if err := client.send(frame); err != nil {
				return result{}, err
			}
			times = append(times, time.Since(one))
		}
		o := publishes / time.Since(start).Seconds()
		start = time.Now()
		for i := range publishes {
			if err := bare.once(round*publishes+i, noise); err != nil {
				return result{}, err
			}
		}
		t := publishes / time.Since(start).Seconds()
		ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, o/t)
	}
	slices.Sort(times)
	return result{"publish of 20 kB crates, serial, durable",
		fmt.Sprintf("%s, p50 %.1f ms, p99 %.1f ms", perSec(median(ours)), ms(times[len(times)/2]), ms(times[len(times)*99/100])),
		"bare writes: " + perSec(median(theirs)), fmt.Sprintf("%.2f", median(ratios)), "0.50", atLeast("the ratio", median(ratios), 0.5)}, nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func perSec(x float64) string { return fmt.Sprintf("%.0f/s", x) }

type bareLoop struct {
	dir string
	db  *sql.DB
}

func newBareLoop(dir string) (*bareLoop, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "bare.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	_, err = db.Exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
	return &bareLoop{dir, db}, err
}

func (l *bareLoop) close() { _ = l.db.Close() } // it goes with its folder

func (l *bareLoop) once(n int, data []byte) error {
	name := filepath.Join(l.dir, fmt.Sprint(n))
	f, err := os.Create(name + ".new")
	if err != nil {
		return err
	}
	if _, err := f.Write(data); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	d, err := os.Open(l.dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		return err
	}
	if err := d.Close(); err != nil {
		return err
	}
	tx, err := l.db.Begin()
	if err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO t (name) VALUES (?)", name); err != nil {
		return err
	}
	return tx.Commit()
}

// publish publishes one version with the admin's token, with noise as its only source file.
func (b *bench) publish(ctx context.Context, name, version string, noise []byte) error {
	return b.send(ctx, upload.New(name, version, noise).Frame)
}

// send publishes an upload with the admin's token.
func (b *bench) send(ctx context.Context, frame []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, b.server.URL+"/api/v1/crates/new", bytes.NewReader(frame))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", b.server.AdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		var text bytes.Buffer
		_, _ = text.ReadFrom(resp.Body) // the status is the error
		return fmt.Errorf("publish: %s: %s", resp.Status, text.String())
	}
	_, err = bytes.NewBuffer(nil).ReadFrom(resp.Body)
	return err
}
