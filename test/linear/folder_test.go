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
	go func() { swept <- sweeps(shared, options, stop) }()
	count := func(r *recorder) (published, kept int) {
		published = r.counts()[publish]
		if err := eachBlob(shared, func(string) error { kept++; return nil }); err != nil {
			t.Error(err)
		}
		return published, kept
	}
	r := checkUntil(t, func(r *recorder) bool {
		published, kept := count(r)
		return r.some() && kept < published
	}, clients...)
	close(stop)
	if err := <-swept; err != nil {
		t.Error(err)
	}
	sameEverywhere(t, clients, r.took)
	published, kept := count(r)
	t.Logf("%d versions published, %d archives kept", published, kept)
	if kept >= published {
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
// before it ends. Each has a little more time than the one before: on a busy machine the first may not come to anything.
func sweeps(shared *serve.Shared, options []serve.Options, stop <-chan struct{}) (err error) {
	db, err := sql.Open("pgx", shared.URI)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
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
		if err := eachBlob(shared, func(path string) error { return os.Chtimes(path, old, old) }); err != nil {
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
		kill := time.AfterFunc(700*time.Millisecond+time.Duration(n)*100*time.Millisecond, func() { _ = cmd.Process.Kill() }) // it may be over
		err = cmd.Wait()
		if kill.Stop() && err != nil { // by itself, and not as it was killed
			return fmt.Errorf("sweep: %w\n%s", err, out.String())
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
