package cmd

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/serve"
)

// earlier makes a registry whose catalog was set back to when it had one version of demo; the storage has two. It gives the archive that is not named. The
// archive of a crate that was deleted before is there, too.
func earlier(t *testing.T) (data, index, archive string) {
	t.Helper()
	data = t.TempDir()
	file := filepath.Join(data, "catalog.db")
	s := start(t, data)
	upload(t, s, "demo", "1.0.0")
	upload(t, s, "malware", "1.0.0")
	admin := serve.NewClient(s.URL, s.AdminToken)
	defer admin.Close()
	if status, text, err := admin.Do(http.MethodDelete, "/api/v1/crates/malware", nil); err != nil || status != http.StatusNoContent {
		t.Fatalf("%d %s %v", status, text, err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	kept, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, data)
	upload(t, s, "demo", "1.1.0")
	index = served(t, s.URL, "/index/de/mo/demo")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{file + "-wal", file + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	found, err := filepath.Glob(filepath.Join(data, "storage", "crates", "demo", "1.1.0-*.crate"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	then := time.Now().Add(-48 * time.Hour)
	if err := errors.Join(os.WriteFile(file, kept, 0o600), os.Chtimes(found[0], then, then)); err != nil {
		t.Fatal(err)
	}
	return data, index, found[0]
}

// A check finds a catalog that was set back, no sweep removes what it does not name, and a rebuild brings that back.
func TestSetBack(t *testing.T) {
	data, index, archive := earlier(t)
	refused := func() {
		t.Helper()
		if out, _ := run(t, 1, "check --data "+data); !strings.Contains(out, "set-back") || !strings.Contains(out, "keep it: the catalog was set back") {
			t.Error(out)
		}
		if _, errOut := run(t, 1, "sweep --force --data "+data); !strings.Contains(errOut, "none is removed; run `crateyard check`") {
			t.Error(errOut)
		}
		if out, _ := run(t, 0, "sweep --dry-run --data "+data); !strings.Contains(out, "would remove nothing: the catalog was set back") {
			t.Error(out)
		}
	}
	refused()
	note := filepath.Join(data, "storage", ".crateyard", "catalog")
	text, err := os.ReadFile(note)
	if err != nil {
		t.Fatal(err)
	}
	// As it is when the change that was lost was made more than a second before what takes its place.
	if err := os.WriteFile(note, regexp.MustCompile(`"at":\d+`).ReplaceAll(text, []byte(`"at":1700000000`)), 0o600); err != nil {
		t.Fatal(err)
	}
	wrong := filepath.Join(filepath.Dir(archive), "3.0.0-"+strings.Repeat("0", 64)+".crate")
	then := time.Now().Add(-48 * time.Hour)
	if err := errors.Join(os.WriteFile(wrong, []byte("no archive"), 0o600), os.Chtimes(wrong, then, then)); err != nil {
		t.Fatal(err)
	}
	rebuild := "restore --from-blobs --continue --url http://127.0.0.1:8080 --data " + data
	if _, errOut := run(t, 1, rebuild); !strings.Contains(errOut, "1 archive could not be brought back, and so the catalog counts as set back") || !strings.Contains(errOut, "--accept-catalog") {
		t.Error(errOut)
	}
	refused() // one could not be brought back, and nobody has said that it may go
	if err := os.Remove(wrong); err != nil {
		t.Fatal(err)
	}
	if out, _ := run(t, 0, rebuild); !strings.Contains(out, "0 versions brought back, 2 were there, 1 stay deleted") || !regexp.MustCompile(`crates/malware/.* it was deleted at .*, and stays so`).MatchString(out) {
		t.Error(out)
	}
	run(t, 0, "check --data "+data)
	if is := served(t, start(t, data).URL, "/index/de/mo/demo"); !sameButTime(index, is) {
		t.Errorf("was\n%s\nis\n%s", index, is)
	}
}

// Who accepts a catalog as it is has the rest swept away, and older backups pruned, and not before.
func TestAcceptCatalog(t *testing.T) {
	data, _, archive := earlier(t)
	to := t.TempDir()
	prune := "backup prune --keep 1 --data " + data + " --to " + to
	for range 2 {
		run(t, 0, "backup --data "+data+" --to "+to)
	}
	if _, errOut := run(t, 1, prune); !strings.Contains(errOut, "nothing was pruned") || !strings.Contains(errOut, "the catalog was set back") {
		t.Error(errOut)
	}
	if _, errOut := run(t, 0, "check --accept-catalog --data "+data); !strings.Contains(errOut, "accepted, though the storage knew of change ") {
		t.Error(errOut)
	}
	if _, errOut := run(t, 0, "check --accept-catalog --data "+data); errOut != "" {
		t.Error(errOut)
	}
	if _, err := os.Stat(archive); err != nil {
		t.Fatal(err)
	}
	if out, _ := run(t, 0, prune); !strings.Contains(out, "1 backup and") {
		t.Error(out)
	}
	if out, _ := run(t, 0, "sweep --dry-run --data "+data); !strings.Contains(out, "1 of 3 archives") || strings.Contains(out, "remove nothing") {
		t.Error(out)
	}
}
