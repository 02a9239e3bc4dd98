package catalog

import (
	"crypto/sha256"
	"database/sql"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/pressly/goose/v3"

	"github.com/crateyard/crateyard/registry/fault"
)

// oldCatalog makes a catalog file as the first version of the program would have left it: its schema, and what the rows say.
func oldCatalog(t *testing.T, upTo int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "catalog.db")
	db, err := sql.Open("sqlite", dsn(path, "_txlock=immediate"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.UpTo(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	hash := sha256.Sum256([]byte("cy_old"))
	for _, row := range []struct {
		query string
		args  []any
	}{
		{"INSERT INTO users (id, name, role, suspended, created_at) VALUES (1, 'admin', 'admin', 0, 100), (2, 'alice', 'publisher', 0, 200), (3, 'bob', 'reader', 1, 300), (7, 'carol', 'publisher', 0, 700)", nil},
		{"INSERT INTO tokens (id, user_id, name, hash, scopes, crates, created_at, expires_at, last_used_at) VALUES (5, 2, 'laptop', ?, 'publish-new yank', 'acme-*', 210, 9999999999, 220)", []any{hash[:]}},
		{"INSERT INTO crates (id, name, canonical, description, max_version, downloads, created_at, updated_at) VALUES (1, 'Acme-Http', 'acme_http', 'Speaks to servers', '1.1.0+b', 12, 400, 500), (2, 'lonely', 'lonely', '', '0.0.0', 0, 600, 650)", nil},
		{"INSERT INTO versions (id, crate_id, num, release, sha256, size, yanked, line, downloads, published_by, created_at, metadata) VALUES (1, 1, '1.0.0', '1.0.0', 'aa', 10, 0, ?, 8, 'alice', 400, ?), (2, 1, '1.1.0+b', '1.1.0', 'bb', 20, 0, ?, 4, 'gone', 500, ?), (3, 2, '0.1.0', '0.1.0', 'cc', 30, 1, ?, 0, 'carol', 600, '{}')",
			[]any{oldLines[0], `{"name":"Acme-Http","description":"Spoke","keywords":["old"],"readme":"# Acme","readme_file":"README.md"}`,
				oldLines[1], `{"name":"Acme-Http","description":"Speaks to servers","keywords":["HTTP2"],"categories":["network-programming"],"license":"MIT"}`, oldLines[2]}},
		{"INSERT INTO owners (crate_id, user_id) VALUES (1, 2), (1, 7), (2, 7)", nil},
		{"INSERT INTO changes (crate, at) VALUES ('Acme-Http', 400), ('Acme-Http', 500), ('lonely', 600), ('lonely', 650)", nil},
	} {
		if _, err := db.ExecContext(t.Context(), row.query, row.args...); err != nil {
			t.Fatalf("%s: %v", row.query, err)
		}
	}
	if upTo > fillAt {
		if _, err := p.UpTo(t.Context(), fillAt); err != nil {
			t.Fatal(err)
		}
		if err := fillSearchTerms(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.UpTo(t.Context(), upTo); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

var oldLines = []string{
	`{"name":"Acme-Http","vers":"1.0.0","deps":[],"cksum":"aa","features":{},"yanked":false}` + "\n",
	`{"name":"Acme-Http","vers":"1.1.0+b","deps":[{"name":"l","req":"^0.1","features":[],"optional":false,"default_features":true,"target":null,"kind":"normal","registry":null,"package":"lonely"}],"cksum":"bb","features":{},"yanked":false}` + "\n",
	`{"name":"lonely","vers":"0.1.0","deps":[],"cksum":"cc","features":{},"yanked":true}` + "\n",
}

// A start with the folder of an older program brings it up to date, and loses nothing. The second start finds nothing to do; so does one
// after a start that was cut off between the schema and what goes into it.
func TestOlderCatalogIsBroughtUpToDate(t *testing.T) {
	for name, upTo := range map[string]int64{"from the first version": 1, "cut off at the second": 2} {
		t.Run(name, func(t *testing.T) {
			path := oldCatalog(t, upTo)
			from := upTo
			for range 2 {
				c, err := Open(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				m := c.Migration()
				if m.From != from || m.To < max(from, 5) {
					t.Errorf("it says %+v", m)
				}
				from = m.To
				holdsWhatItHeld(t, c)
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
			}
			c, err := Open(t.Context(), path)
			c = closing(t, c, err)
			publish(t, c, "new", "1.0.0")
			if n, err := c.Counts(t.Context()); err != nil || n.Crates != 3 {
				t.Errorf("after a publish: %+v, %v", n, err)
			}
		})
	}
}

func holdsWhatItHeld(t *testing.T, c *Catalog) {
	t.Helper()
	ctx := t.Context()
	for name, want := range map[string]string{"acme-http": oldLines[0] + oldLines[1], "lonely": oldLines[2]} {
		if f, err := c.IndexFile(ctx, name); err != nil || string(f.Text) != want {
			t.Errorf("index of %s: %v\n%s", name, err, f.Text)
		}
	}
	found, err := c.Crate(ctx, "Acme-Http")
	if err != nil || found.MaxVersion != "1.1.0+b" || found.Downloads != 12 || found.Restricted || found.CreatedAt.Unix() != 400 || found.Description != "Speaks to servers" {
		t.Errorf("crate = %+v, %v", found, err)
	}
	owners, err := c.Owners(ctx, found.ID)
	if err != nil || !slices.Equal(logins(owners), []string{"alice", "carol"}) {
		t.Errorf("owners = %+v, %v", owners, err)
	}
	if n, err := c.Counts(ctx); err != nil || n != (Counts{Crates: 2, Versions: 3, Users: 4}) {
		t.Errorf("counts = %+v, %v", n, err)
	}
	token, user, err := c.TokenByHash(ctx, sha256.Sum256([]byte("cy_old")))
	if err != nil || token.ID != 5 || user.Name != "alice" || !slices.Equal(token.Scopes, []string{"publish-new", "yank"}) || !slices.Equal(token.Crates, []string{"acme-*"}) || token.ExpiresAt == nil {
		t.Errorf("token = %+v of %+v, %v", token, user, err)
	}
	if u, err := c.User(ctx, "bob"); err != nil || !u.Suspended || u.Role != "reader" || len(u.Claims) != 0 {
		t.Errorf("bob = %+v, %v", u, err)
	}
	versions, err := c.Versions(ctx, found.ID)
	if err != nil || len(versions) != 2 || versions[0].PublisherID != 2 || versions[1].PublisherID != 0 || versions[1].PublishedBy != "gone" ||
		versions[1].Details.License != "MIT" || versions[0].Downloads != 8 {
		t.Errorf("versions = %+v, %v", versions, err)
	}
	if text, file, err := c.Readme(ctx, 1); err != nil || text != "# Acme" || file != "README.md" {
		t.Errorf("readme = %q, %q, %v", text, file, err)
	}
	searches(t, c)
	history(t, c)
	if id, err := c.RegistryID(ctx); err != nil || id == "" {
		t.Errorf("registry id = %q, %v", id, err)
	}
}

// searches finds crates by what they were published with, as if they had been published today.
func searches(t *testing.T, c *Catalog) {
	t.Helper()
	for what, q := range map[string]Query{
		"name": {Text: "acme-http"}, "end of a name": {Text: "http"}, "description": {Text: "server"}, "keyword as a word": {Text: "http2"},
		"keyword": {Keyword: "http2"}, "category": {Category: "network-programming"}, "owner": {Owner: 2},
	} {
		q.Limit, q.UserID, q.Role = 10, 2, "publisher"
		if page, total, err := c.Search(t.Context(), q); err != nil || total != 1 || len(page) != 1 || page[0].Name != "Acme-Http" {
			t.Errorf("by %s: %+v, %v", what, page, err)
		}
	}
	if page, _, err := c.Search(t.Context(), Query{Keyword: "old", Limit: 10}); err != nil || len(page) != 0 {
		t.Errorf("found by what an older version said: %+v, %v", page, err)
	}
	if page, _, err := c.Dependents(t.Context(), "lonely", 2, "publisher", 10, 0); err != nil || len(page) != 1 || page[0].Num != "1.1.0+b" {
		t.Errorf("dependents of lonely: %+v, %v", page, err)
	}
}

// history is told again as the old rows allow: what is there now, in the order of the publishes.
func history(t *testing.T, c *Catalog) {
	t.Helper()
	changes, err := c.IndexChanges(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, ch := range changes {
		told = append(told, ch.Crate+" "+string(ch.Kind)+" "+ch.Num)
	}
	want := []string{"Acme-Http publish 1.0.0", "Acme-Http publish 1.1.0+b", "lonely publish 0.1.0", "lonely yank 0.1.0"}
	if !slices.Equal(told, want) {
		t.Errorf("changes = %q, want %q", told, want)
	}
}

// A command beside a server leaves an older catalog to the server.
func TestOlderCatalogIsNotOpenedBesideAServer(t *testing.T) {
	_, err := OpenExisting(t.Context(), oldCatalog(t, 1))
	if err == nil || fault.KindOf(err) == fault.NotFound || !strings.Contains(err.Error(), "version 1, of an older crateyard") {
		t.Errorf("got %v", err)
	}
}
