package backup_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

// rewrite changes the catalog of a backup, and its manifest so that the two agree: what another version of the program would have written.
func rewrite(t *testing.T, folder, name string, edit func(dump string) string) {
	t.Helper()
	dir := filepath.Join(folder, "backups", name)
	data, err := os.ReadFile(filepath.Join(dir, "catalog.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	if _, err := io.WriteString(zw, edit(string(text))); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "catalog.jsonl.gz"), packed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(packed.Bytes())
	rewriteManifest(t, folder, name, func(m map[string]any) {
		m["catalog"] = backup.Part{SHA256: hex.EncodeToString(sum[:]), Size: int64(packed.Len())}
	})
}

// rewriteManifest changes what a backup says of itself. There is no seal then, as there was none in older versions.
func rewriteManifest(t *testing.T, folder, name string, edit func(m map[string]any)) {
	t.Helper()
	path := filepath.Join(folder, "backups", name, "manifest.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "sealed")
	delete(m, "seal")
	edit(m)
	if text, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

var schemaOf = regexp.MustCompile(`"schema":[0-9]+`)

// withoutMirrors makes of a dump one of schema 3, which had no mirrors.
func withoutMirrors(dump string) string {
	var b strings.Builder
	for line := range strings.Lines(dump) {
		if !strings.HasPrefix(line, `{"table":"mirror`) {
			b.WriteString(line)
		}
	}
	return schemaOf.ReplaceAllString(b.String(), `"schema":3`)
}

// A backup of an older version comes back on the other backends. One of a newer version is refused before a single archive is copied.
func TestBackupsOfOtherVersions(t *testing.T) { upkeeptest.Each(t, testBackupsOfOtherVersions) }

func testBackupsOfOtherVersions(t *testing.T, y *upkeeptest.Yard) {
	target, dir := upkeeptest.Folder(t)
	for i := range 10 {
		y.Publish("demo", fmt.Sprintf("1.0.%d", i))
	}
	m := create(t, creator(y, target))
	rewrite(t, dir, m.Name, withoutMirrors)
	into := y.Other(t)
	restore := func() error {
		_, err := (&backup.Restorer{Target: target, Catalog: into.Catalog, Store: into.Store, Leases: into.Catalog, Holder: "test"}).Restore(t.Context(), "")
		return err
	}
	if err := restore(); err != nil {
		t.Fatal(err)
	}
	if got := into.Index("demo"); got != y.Index("demo") {
		t.Errorf("restored: %s", got)
	}
	checkWhole(t, into)
	rewrite(t, dir, m.Name, func(dump string) string { return schemaOf.ReplaceAllString(dump, `"schema":99`) })
	into = y.Other(t)
	if err := restore(); err == nil || !strings.Contains(err.Error(), "made by a newer crateyard (schema 99, this one has") {
		t.Errorf("from a newer version: %v", err)
	}
	for info, err := range into.Store.List(t.Context(), "", "") {
		t.Errorf("copied: %+v %v", info, err)
	}
}
