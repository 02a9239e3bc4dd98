package crash

import (
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

// Backup, repair, restore and rebuild are killed at random points and run again, with the very same words, until they come to their end. Then all is there.
func TestKilledCommands(t *testing.T) {
	const crates = 40
	data := t.TempDir()
	s, err := serve.Start(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() }) // it is stopped before
	admin := serve.NewClient(s.URL, s.AdminToken)
	defer admin.Close()
	for i := range crates {
		library := make([]byte, 60_000)
		for at := range library {
			library[at] = byte(rand.Uint32())
		}
		frame := upload.New(fmt.Sprintf("crate-%d", i), "1.0.0", library).Frame
		if status, text, err := admin.Do(http.MethodPut, "/api/v1/crates/new", frame); err != nil || status != http.StatusOK {
			t.Fatalf("%d %s %v", status, text, err)
		}
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	// What a killed command held is the next one's when its time is over, two minutes later, which this does not wait for.
	db, err := sql.Open("sqlite", "file:"+filepath.Join(data, "catalog.db")+"?_pragma=busy_timeout(10000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()                                                                        // it wrote all that it was to write
	k := &killer{t: t, leases: []*sql.DB{db}, rand: rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))} //nolint:gosec // no secret
	place := filepath.Join(t.TempDir(), "backups")
	k.until("backup", "--data", data, "--to", place)
	k.until("backup", "verify", "--to", place)

	for i := range crates { // half of the archives are gone, or wrong
		found, err := filepath.Glob(filepath.Join(data, "storage", "crates", fmt.Sprintf("crate-%d", i), "*.crate"))
		if err != nil || len(found) != 1 {
			t.Fatal(found, err)
		}
		switch i % 4 {
		case 0:
			err = os.Remove(found[0])
		case 1:
			err = os.WriteFile(found[0], []byte("no archive"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	k.until("check", "--data", data, "--repair", "--from", place)
	whole := func(data string) {
		t.Helper()
		if out := k.until("check", "--data", data); !strings.Contains(out, fmt.Sprintf("%d versions and ", crates)) {
			t.Errorf("%s", out)
		}
	}
	whole(data)

	back := filepath.Join(t.TempDir(), "back")
	if k.target, err = sql.Open("sqlite", "file:"+filepath.Join(back, "catalog.db")+"?_pragma=busy_timeout(10000)"); err != nil { // it is not looked into yet
		t.Fatal(err)
	}
	defer func(db *sql.DB) { _ = db.Close() }(k.target)
	k.until("restore", "--data", back, "--from", place)
	whole(back)

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
	large, err := sql.Open("pgx", shared.URI)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = large.Close() }() // it wrote all that it was to write
	k.leases, k.target = append(k.leases, large), large
	o := shared.Options(filepath.Join(t.TempDir(), "large"))
	k.env = o.Env
	k.until(append([]string{"restore", "--data", o.Data, "--from", place}, o.Flags...)...)
	if out := k.until(append([]string{"check", "--data", o.Data}, o.Flags...)...); !strings.Contains(out, fmt.Sprintf("%d versions and ", crates)) {
		t.Error(out)
	}
	k.env = nil

	anew := filepath.Join(t.TempDir(), "anew")
	k.until("restore", "--data", anew, "--from-blobs", "--from", place, "--url", "http://127.0.0.1:8080", "--continue")
	whole(anew)
	t.Logf("%d times killed", k.killed)
}

// killer runs commands, and kills them.
type killer struct {
	t      *testing.T
	rand   *rand.Rand
	leases []*sql.DB // of which what a killed command held is taken away
	target *sql.DB   // the catalog that a restore fills
	env    []string  // beside this process's own
	killed int
}

// mostTries bounds how often a command is run: it is killed some twenty times, and ends the next time.
const mostTries = 60

// told is what a restore says when it has done all.
const told = " restored: "

// excused judges how a restore ended that failed, after it was killed before. said is whether one before it said that it had done all; note is what the
// catalog keeps while it has not; late is how often the catalog was filled while the restore was at work, and killed how often it was killed.
func excused(text string, said bool, note func() string, late, killed int) (done, again bool) {
	switch {
	case killed == 0:
	case strings.Contains(text, "the target is not empty: the catalog has users or crates"):
		return said || note() == "", false // the one before was killed when it had done all
	case strings.Contains(text, "the catalog is not empty (its table "):
		return false, late < killed // PostgreSQL has come to the end of what a killed one had told it
	}
	return false, false
}

// A restore that fails is excused only when one before it was killed, and had done all, or can have done.
func TestExcused(t *testing.T) {
	const full, filled, storage = "the target is not empty: the catalog has users or crates; …", "the catalog is not empty (its table users has rows); …", "the target is not empty: the storage has crates/a; …"
	for _, c := range []struct {
		text, note   string
		said         bool
		late, killed int
		done, again  bool
	}{
		{text: full, killed: 1, done: true},
		{text: full, killed: 0},
		{text: full, killed: 1, note: "backup"},
		{text: full, killed: 1, note: "backup", said: true, done: true},
		{text: filled, killed: 2, late: 1, again: true},
		{text: filled, killed: 2, late: 2},
		{text: filled, killed: 0},
		{text: storage, killed: 5},
		{text: "a panic", killed: 5},
	} {
		if done, again := excused(c.text, c.said, func() string { return c.note }, c.late, c.killed); done != c.done || again != c.again {
			t.Errorf("%+v: done %v, again %v", c, done, again)
		}
	}
}

// note is the backup that fills the catalog of a restore, as the catalog says; empty: none does, any more.
func (k *killer) note() (text string) {
	k.t.Helper()
	err := k.target.QueryRowContext(k.t.Context(), "SELECT value FROM meta WHERE key = 'note/restoring'").Scan(&text)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		k.t.Fatal(err)
	}
	return text
}

// until runs a command until it ends well, and kills it some times before that, later and later.
func (k *killer) until(args ...string) (out string) {
	k.t.Helper()
	bin, err := serve.Binary()
	if err != nil {
		k.t.Fatal(err)
	}
	said, late, killed := false, 0, 0
	for try := 1; try <= mostTries; try++ {
		cmd := exec.Command(bin, args...)
		var text strings.Builder
		cmd.Stdout, cmd.Stderr, cmd.Env = &text, &text, append(os.Environ(), k.env...)
		if err := cmd.Start(); err != nil {
			k.t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		after := time.Hour
		if try < 20 {
			after = time.Duration(k.rand.Int64N(int64(try) * int64(15*time.Millisecond)))
		}
		select {
		case err = <-ended:
			if err != nil && args[0] == "restore" && k.target != nil && killed > 0 {
				done, again := excused(text.String(), said, k.note, late, killed)
				if done {
					return ""
				}
				if again {
					late++
					continue
				}
			}
			if err != nil {
				k.t.Fatalf("crateyard %s, the %d. time: %v\n%s", strings.Join(args, " "), try, err, text.String())
			}
			return text.String()
		case <-time.After(after):
			_ = cmd.Process.Kill() // it may have ended by itself
			if err := <-ended; err == nil {
				return text.String()
			}
			k.killed++
			killed++
			said = said || strings.Contains(text.String(), told)
			for _, db := range k.leases {
				// The first command makes the table.
				if _, err := db.ExecContext(k.t.Context(), "DELETE FROM leases"); err != nil && !strings.Contains(err.Error(), "leases") {
					k.t.Fatal(err)
				}
			}
		}
	}
	k.t.Fatalf("crateyard %s: no end after %d times", strings.Join(args, " "), mostTries)
	return ""
}
