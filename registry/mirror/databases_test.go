package mirror

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/wire"
)

// A sync has the advisories be read again, whenever they are due.
func TestSyncRenewsAdvisories(t *testing.T) {
	dir := t.TempDir()
	advise := func(id string) {
		t.Helper()
		file := filepath.Join(dir, "crates", "acme", id+".md")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("```toml\n[advisory]\nid = %q\npackage = \"acme\"\n[versions]\npatched = [\">= 2.0.0\"]\n```\n", id)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	advise("A-1")
	o := openOddly(t)
	spec := o.mirror().Spec
	spec.Policy.Advisories = &wire.MirrorAdvisories{Source: dir}
	if _, _, err := o.Put(t.Context(), catalog.Actor{}, "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	o.synced(o.mirror())
	notDue := func() {
		o.databases.mu.Lock()
		defer o.databases.mu.Unlock()
		o.databases.due[dir] = time.Now().Add(time.Hour)
	}
	notDue()
	advise("A-2")
	if err := o.mirror().sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Minute); o.mirror().advisories.Load().Len() != 2; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("they are not read again")
		}
	}
}
