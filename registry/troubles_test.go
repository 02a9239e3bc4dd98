package registry_test

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
)

// grown is what the servers of one trouble are over: a database and a bucket of their own.
type grown struct {
	t        *testing.T
	bucket   *s3.Server
	keys     string // folder of credentials
	uri      string
	right    string // URI, where uri was made wrong
	restarts bool
	instance string
}

func (g *grown) config(c *registry.Config) {
	c.Catalog.Postgres, c.AdminToken, c.Instance = &registry.Postgres{URI: g.uri, MaxConnections: 5}, "cy_test_"+strings.Repeat("a", 43), g.instance
	c.Storage.S3 = &registry.S3{Bucket: "crateyard-1", Endpoint: g.bucket.Endpoint, ForcePathStyle: true, CredentialsDir: g.keys}
	c.Storage.Cache.Size = 0 // what is served comes from S3
}

func newGrown(t *testing.T) *grown {
	t.Helper()
	g := &grown{t: t, bucket: s3.New(t), keys: t.TempDir(), uri: postgres.Database(t), instance: "ns/acme"}
	name, err := g.bucket.Bucket(t.Context())
	if err := errors.Join(err, g.bucket.WriteCredentials(g.keys)); err != nil || name != "crateyard-1" {
		t.Fatal(name, err)
	}
	return g
}

func (g *grown) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

func (g *grown) edit(change func(u *url.URL)) {
	u, err := url.Parse(g.uri)
	g.must(err)
	g.right = g.uri
	change(u)
	g.uri = u.String()
}

func (g *grown) database() string {
	u, err := url.Parse(g.uri)
	g.must(err)
	return strings.TrimPrefix(u.Path, "/")
}

// trouble is one of what can be wrong with what a registry is over.
type trouble struct {
	name, part, says string
	down, up         func(g *grown)
	reads            bool // archives are served all the same; the index always is
}

func troubles() []trouble {
	restart := func(flags ...string) func(g *grown) {
		return func(g *grown) {
			g.must(g.bucket.Stop())
			g.bucket.Flags = flags
			g.must(g.bucket.Resume())
		}
	}
	folder := func(g *grown) string { return filepath.Join(g.bucket.Dir, "crateyard-1") }
	return []trouble{
		{"wrong credentials", "storage", "does not accept this server's keys", func(g *grown) {
			g.must(os.WriteFile(filepath.Join(g.keys, "AWS_SECRET_ACCESS_KEY"), []byte("wrong"), 0o600))
		}, func(g *grown) { g.must(g.bucket.WriteCredentials(g.keys)) }, false},
		{"missing bucket", "storage", "does not exist", func(g *grown) { g.must(os.Rename(folder(g), folder(g)+".away")) },
			func(g *grown) { g.must(os.Rename(folder(g)+".away", folder(g))) }, false},
		{"read-only bucket", "storage", "may not write to its bucket, or the bucket is read-only", restart("--readonly"), restart(), true},
		{"read-only database", "catalog", "takes no writes", func(g *grown) {
			execute(g.t, g.uri, "ALTER DATABASE "+g.database()+" SET default_transaction_read_only = on")
			hangUp(g.t, g.uri)
		}, func(g *grown) {
			execute(g.t, g.uri, "BEGIN READ WRITE; ALTER DATABASE "+g.database()+" SET default_transaction_read_only = off; COMMIT")
			hangUp(g.t, g.uri)
		}, true},
	}
}

// hangUp ends the connections of servers, which make new ones.
func hangUp(t *testing.T, uri string) {
	t.Helper()
	execute(t, uri, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
}

// Whatever is wrong while a server runs, readiness and a metric say it in words that help, publishes are 503 with the same words and leave nothing
// behind, and what can be served is. When it is put right, the server goes on by itself. What the condition says of it is tested with the operator.
func TestTroubles(t *testing.T) {
	for _, c := range troubles() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGrown(t)
			y := open(t, g.config)
			for _, name := range []string{"demo", "other"} {
				if a := y.publish(good(t, name, "1.0.0")); a.status != 200 {
					t.Fatal(a.status, a.body)
				}
			}
			c.down(g)
			n := 0
			eventually(t, "a publish is refused with the right words", func() bool { // new keys, for one, are seen after a second
				a := y.publish(good(t, "demo", fmt.Sprintf("1.%d.0", n+1)))
				if a.status == 200 {
					n++
				}
				return a.status == 503 && strings.Contains(a.detail(t), c.says) && a.header.Get("Retry-After") != ""
			})
			eventually(t, "readiness says it", func() bool {
				a := y.asked("/readyz")
				return a.status == 503 && strings.HasPrefix(a.body, c.part+": ") && (strings.Contains(a.body, c.says) || c.part == "catalog" && strings.Contains(a.body, "takes no writes"))
			})
			if values, _ := y.metrics(); values[`crateyard_backend_up{backend="`+c.part+`"}`] != 0 {
				t.Errorf("the metric says that %s is up", c.part)
			}
			if a := y.asked("/readyz?exclude=catalog&exclude=storage"); a.status != 200 || y.asked("/healthz").status != 200 {
				t.Errorf("it would be taken out of its Service, or be killed: %s", a.body)
			}
			y.says(c)
			if a := y.do("GET", "/index/de/mo/demo", "", nil); a.status != 200 || strings.Count(a.body, "\n") != 1+n {
				t.Errorf("the index: %d, %d publishes were acknowledged, %s", a.status, 1+n, a.body)
			}
			if a := y.do("GET", "/index/ot/he/other", "", nil); a.status != 200 {
				t.Errorf("an index file that nobody asked for yet: %d", a.status)
			}
			if a := y.do("GET", "/crates/demo/1.0.0/download", "", nil); (a.status == 200) != c.reads || a.status != 200 && a.status != 503 {
				t.Errorf("an archive: %d %s", a.status, a.body)
			}
			c.up(g)
			eventually(t, "publishing works again", func() bool { return y.publish(good(t, "demo", "2.0.0")).status == 200 })
			eventually(t, "readiness is back", func() bool { return y.asked("/readyz").body == "ready\n" })
			if values, _ := y.metrics(); values[`crateyard_backend_up{backend="`+c.part+`"}`] != 1 {
				t.Errorf("the metric says that %s is down", c.part)
			}
			if a := y.do("GET", "/index/de/mo/demo", "", nil); a.status != 200 || strings.Count(a.body, "\n") != 2+n {
				t.Errorf("the index afterwards: %d %s", a.status, a.body)
			}
		})
	}
}

// What is wrong when a server starts is told in the same way, also what a running one would not notice, such as another password. It waits, alive,
// and serves when it is put right.
func TestTroublesAtStart(t *testing.T) {
	owner := func(id func(g *grown) string) func(g *grown) {
		return func(g *grown) { marked(g.t, filepath.Join(g.bucket.Dir, "crateyard-1"), "registry", id(g)) }
	}
	for _, c := range append(troubles(),
		trouble{name: "wrong password", part: "catalog", says: "password authentication failed", down: func(g *grown) { g.edit(func(u *url.URL) { u.User = url.UserPassword(u.User.Username(), "wrong") }) },
			up: func(g *grown) { g.uri = g.right; g.restarts = true }},
		trouble{name: "missing database", part: "catalog", says: "does not exist", down: func(g *grown) { g.edit(func(u *url.URL) { u.Path = "/none" }) },
			up: func(g *grown) { g.uri = g.right; g.restarts = true }},
		trouble{name: "another's bucket", part: "storage", says: "belongs to another registry", down: owner(func(*grown) string { return "somebody" }),
			up: owner(func(g *grown) string { return metaOf(g.t, g.uri, "registry_id") })},
	) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := newGrown(t)
			if err := open(t, g.config).stop(); err != nil {
				t.Fatal(err)
			}
			c.down(g)
			y, end := openWatched(t, g.config)
			eventually(t, "readiness says it", func() bool {
				status, text := look(y.ops + "/readyz")
				return status == 503 && strings.HasPrefix(text, c.part+": ") && (strings.Contains(text, c.says) || c.part == "catalog" && strings.Contains(text, "takes no writes"))
			})
			if status, text := look(y.ops + "/healthz"); status != 200 {
				t.Errorf("it is not alive: %d %s", status, text)
			}
			if values, _ := y.metrics(); values[`crateyard_backend_up{backend="`+c.part+`"}`] != 0 {
				t.Errorf("the metric says that %s is up", c.part)
			}
			c.up(g)
			if g.restarts { // the URI is read once: the operator replaces the pods when the Secret changes
				end()
				y, end = openWatched(t, g.config)
			}
			eventually(t, "the server serves", func() bool {
				status, text := look(y.ops + "/readyz")
				return status == 200 && text == "ready\n"
			})
			end()
		})
	}
}

// says wants the status, from which the operator makes conditions, to name the trouble, too.
func (y *yard) says(c trouble) {
	y.t.Helper()
	st, err := client.New(y.url, y.admin).Status(y.t.Context())
	if err != nil {
		y.t.Error(err)
		return
	}
	b := st.Storage
	if c.part == "catalog" {
		b = st.Catalog
	}
	if b.Ready || !strings.Contains(b.Message, c.says) {
		y.t.Errorf("status: %+v", b)
	}
}

// A clock that is not the database's is told in readiness, and by how much in a metric. All goes on.
func TestClockThatJumps(t *testing.T) {
	g := newGrown(t)
	y := open(t, g.config)
	execute(t, g.uri, "CREATE SCHEMA jumped")
	execute(t, g.uri, `CREATE FUNCTION jumped.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS $$ SELECT pg_catalog.clock_timestamp() + interval '2 hours' $$`)
	path := "ALTER DATABASE " + g.database() + " SET search_path = "
	execute(t, g.uri, path+"jumped, pg_catalog, public")
	hangUp(t, g.uri)
	eventually(t, "readiness says it", func() bool {
		a := y.asked("/readyz")
		return a.status == 503 && strings.HasPrefix(a.body, "clock: this server's clock is 2h0m0s behind that of the catalog's database")
	})
	if values, _ := y.metrics(); values["crateyard_clock_offset_seconds"] < 7190 || values["crateyard_clock_offset_seconds"] > 7210 || values[`crateyard_backend_up{backend="catalog"}`] != 1 {
		t.Errorf("the metric says %v seconds", values["crateyard_clock_offset_seconds"])
	}
	if a := y.asked("/readyz?exclude=catalog&exclude=storage"); a.status != 200 {
		t.Errorf("it would be taken out of its Service: %s", a.body)
	}
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Errorf("publish: %d %s", a.status, a.body)
	}
	execute(t, g.uri, path+"public")
	hangUp(t, g.uri)
	eventually(t, "readiness is back", func() bool { return y.asked("/readyz").body == "ready\n" })
}
