package linear

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/serve"
)

// Two servers share PostgreSQL and one folder, as pods share a volume that many nodes mount, while sweeps of both remove what versions that are
// deleted leave behind, and die in the middle. What all clients see is still linear; afterwards both serve the same index, byte for byte, and each
// archive of it, and what a check finds is nothing.
func TestReplicasOverOneFolder(t *testing.T) {
	pg := postgres.StartTest(t, postgres.Options{})
	shared, err := serve.NewShared(pg, nil, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	clients, options := startReplicas(t, shared, 2)
	stop, swept := make(chan struct{}), make(chan error, 1)
	var removed atomic.Int64
	go func() { swept <- sweeps(shared, options, stop, &removed) }()
	r := checkUntil(t, func(r *recorder) bool { return r.some() && removed.Load() > 0 }, clients...)
	close(stop)
	if err := <-swept; err != nil {
		t.Error(err)
	}
	sameEverywhere(t, clients, r.took)
	t.Logf("%d versions published, at least %d archives removed", r.counts()[publish], removed.Load())
	if removed.Load() == 0 {
		t.Error("no sweep removed anything, so none was tested")
	}
	for _, o := range options {
		cmd, err := o.Command("check")
		if err != nil {
			t.Fatal(err)
		}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("check: %v\n%s", err, out)
		}
	}
}

// sweeps has one server's sweep follow the other's, over archives that are made to look two days old, and kills each: it would wait for a minute
// before it ends. Until one has removed something each has more time than the one before: on a busy machine the first may not come to anything. It counts
// the archives that are gone after a sweep; nothing else removes any.
func sweeps(shared *serve.Shared, options []serve.Options, stop <-chan struct{}, removed *atomic.Int64) (err error) {
	db, err := sql.Open("pgx", shared.URI)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	patience := 700 * time.Millisecond
	for n := 0; ; n++ {
		select {
		case <-stop:
			return nil
		case <-time.After(200 * time.Millisecond):
		}
		for _, statement := range []string{"UPDATE versions SET deleted_at = deleted_at - 172800 WHERE deleted_at IS NOT NULL", "DELETE FROM leases"} {
			if _, err := db.ExecContext(context.Background(), statement); err != nil {
				return err
			}
		}
		old := time.Now().Add(-48 * time.Hour)
		var there []string
		if err := eachBlob(shared, func(path string) error {
			there = append(there, path)
			return os.Chtimes(path, old, old)
		}); err != nil {
			return err
		}
		cmd, err := options[n%len(options)].Command("sweep", "--older-than", "24h")
		if err != nil {
			return err
		}
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			return err
		}
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) // it may be over
		err = cmd.Wait()
		if kill.Stop() && err != nil { // by itself, and not as it was killed
			return fmt.Errorf("sweep: %w\n%s", err, out.String())
		}
		for _, path := range there {
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
				removed.Add(1)
			}
		}
		if removed.Load() == 0 {
			patience += patience / 2
		}
	}
}

// eachBlob does something with each archive of the folder; what goes meanwhile is passed over.
func eachBlob(shared *serve.Shared, do func(path string) error) error {
	return filepath.WalkDir(shared.Blobs, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".crate" {
			err = do(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}

// sameEverywhere wants all servers to serve the same index files, and each archive that they name.
func sameEverywhere(t *testing.T, clients []*serve.Client, took time.Duration) {
	t.Helper()
	time.Sleep(behind) // so long the index of one may be behind another's
	for n := range int(took/crateTime) + 1 {
		crate := fmt.Sprintf("crate%d", n)
		var first []byte
		for i, c := range clients {
			status, text, err := c.Do("GET", fmt.Sprintf("/index/%s/%s/%s", crate[:2], crate[2:4], crate), nil)
			if err != nil || status != 200 && status != 404 {
				t.Fatalf("index of %s: %d %s %v", crate, status, text, err)
			}
			if status == 404 {
				text = nil
			}
			if i > 0 && !bytes.Equal(first, text) {
				t.Errorf("index of %s:\n%s\nand of the first server\n%s", crate, text, first)
			}
			first = text
			for line := range bytes.Lines(text) {
				var l struct{ Vers, Cksum string }
				if err := json.Unmarshal(line, &l); err != nil {
					t.Fatal(err)
				}
				status, archive, err := c.Do("GET", "/crates/"+crate+"/"+l.Vers+"/download", nil)
				if sum := sha256.Sum256(archive); err != nil || status != 200 || hex.EncodeToString(sum[:]) != l.Cksum {
					t.Errorf("archive of %s %s: %d %v", crate, l.Vers, status, err)
				}
			}
		}
	}
}

// startReplicas starts servers that share what they serve.
func startReplicas(t *testing.T, shared *serve.Shared, n int) (clients []*serve.Client, options []serve.Options) {
	t.Helper()
	for i := range n {
		o := shared.Options(filepath.Join(t.TempDir(), fmt.Sprint(i)))
		s, err := serve.StartWith(o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("server %d:\n%s", i, s.Logs())
			}
		})
		clients, options = append(clients, serve.NewClient(s.URL, s.AdminToken)), append(options, o)
	}
	return clients, options
}
