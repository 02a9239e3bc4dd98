package registry_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// pair is a catalog and a storage.
type pair struct {
	name   string
	config func(*registry.Config)
}

// pairs are all that a server can be over, each empty.
func pairs(t *testing.T) []pair {
	t.Helper()
	server := s3.New(t)
	onPostgres := func(uri string) func(*registry.Config) {
		return func(c *registry.Config) {
			c.Catalog.Postgres = &registry.Postgres{URI: uri, MaxConnections: 5}
			c.AdminToken = "cy_test_" + strings.Repeat("a", 43) // servers that share a catalog make none themselves
		}
	}
	both := func(a, b func(*registry.Config)) func(*registry.Config) {
		return func(c *registry.Config) { a(c); b(c) }
	}
	return []pair{
		{"SQLite and filesystem", func(*registry.Config) {}},
		{"SQLite and S3", onS3(t, server)},
		{"PostgreSQL and filesystem", onPostgres(postgres.Database(t))},
		{"PostgreSQL and S3", both(onPostgres(postgres.Database(t)), onS3(t, server))},
	}
}

// act is a request that one of the users makes; every yard has its own tokens.
type act struct {
	user, method, path string
	body               []byte
}

var actUsers = []string{"alice", "bob", "admin"}

// More names and versions than the model has, so that whatever is drawn, some are published, and some are taken.
var (
	actCrates   = append([]string{"yy", "zz-1"}, modelCrates...)
	actVersions = append([]string{"1.1.0", "1.2.0", "1.3.0", "2.0.0-a", "2.0.0-b", "3.0.0", "10.0.0"}, modelVersions...)
)

// randomAct is one of what changes the index, or tries to.
func randomAct(t *testing.T, r *rand.Rand) act {
	pick := func(of []string) string { return of[r.IntN(len(of))] }
	user, name, version := pick(actUsers), "p-"+pick(actCrates), pick(actVersions)
	at := "/api/v1/crates/" + name
	switch r.IntN(12) {
	case 0:
		return act{user, "DELETE", at + "/" + version + "/yank", nil}
	case 1:
		return act{user, "PUT", at + "/" + version + "/unyank", nil}
	case 2:
		return act{user, "PUT", at + "/owners", fmt.Appendf(nil, `{"users":[%q]}`, pick(actUsers))}
	case 3:
		return act{user, "DELETE", at + "/owners", fmt.Appendf(nil, `{"users":[%q]}`, pick(actUsers))}
	case 4:
		return act{user, "DELETE", at + "/" + version, nil}
	case 5:
		if r.IntN(25) > 0 { // or there would soon be no name left
			return act{user, "DELETE", at + "/none", nil}
		}
		return act{user, "DELETE", at, nil}
	}
	form := forms[r.IntN(len(forms))]
	dir := name + "-" + version + "/"
	packed := archive(t, file(dir+"Cargo.toml", manifest(name, version)+form.manifest), file(dir+"src/lib.rs", user))
	return act{user, "PUT", "/api/v1/crates/new", frame(fmt.Sprintf(`{"name":%q,"vers":%q,%s}`, name, version, form.metadata), packed)}
}

// when finds the times in answers: of publishing, and until when a name is blocked.
var when = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

// newSeed gives another seed each time, and tells a test that fails how to have the same again: CRATEYARD_SEED is that one.
func newSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text, ok := os.LookupEnv("CRATEYARD_SEED"); ok {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CRATEYARD_SEED: %v", err)
		}
	}
	t.Logf("this was drawn with the seed %d; the same again: CRATEYARD_SEED=%d go test ./registry -run %s", seed, seed, t.Name())
	return seed
}

// The same requests, in the same order, get the same answers over each pair of catalog and storage, and leave the same index and the same
// archives, byte for byte but for the times in them.
func TestPairsAreEqual(t *testing.T) {
	const acts = 300
	seed := newSeed(t)
	r := rand.New(rand.NewPCG(seed, seed))
	all := make([]act, acts)
	for i := range all {
		all[i] = randomAct(t, r)
	}
	var first []string
	for _, p := range pairs(t) {
		t.Run(p.name, func(t *testing.T) {
			y := open(t, p.config)
			tokens := map[string]string{"admin": y.admin, "alice": y.alice}
			if _, err := client.New(y.url, y.admin).CreateUser(t.Context(), wire.CreateUser{Name: "bob", Role: "publisher"}); err != nil {
				t.Fatal(err)
			}
			tokens["bob"] = y.token("bob", nil)
			var log []string
			published, seen := 0, map[string]bool{}
			note := func(what string, a answer) {
				body := when.ReplaceAllString(a.body, "T")
				if a.status == 200 && strings.HasSuffix(what, "/download") {
					body = sha256Hex(a.body)
				}
				log = append(log, fmt.Sprintf("%s: %d %s", what, a.status, strings.ReplaceAll(body, y.url, "URL")))
			}
			look := func() {
				for _, name := range actCrates {
					name = "p-" + name
					path := "/index/p-/" + strings.ToLower(name[2:min(4, len(name))]) + "/" + strings.ToLower(name)
					if len(name) == 3 {
						path = "/index/3/p/" + name
					}
					a := y.do("GET", path, "", nil)
					note("GET "+path, a)
					if a.status == 200 {
						seen[name] = true
					}
				}
			}
			for i, a := range all {
				got := y.do(a.method, a.path, tokens[a.user], bytes.NewReader(a.body))
				if a.path == "/api/v1/crates/new" && got.status == 200 {
					published++
				}
				note(fmt.Sprintf("%d, %s: %s %s", i, a.user, a.method, a.path), got)
				look()
			}
			for _, name := range actCrates {
				for _, version := range actVersions {
					path := "/crates/p-" + name + "/" + version + "/download"
					note("GET "+path, y.do("GET", path, "", nil))
				}
			}
			if published < 10 || len(seen) < 3 { // two of the names are one
				t.Errorf("%d versions were published; the index had %v", published, seen)
			}
			if first == nil {
				first = log
				return
			}
			for i := range first {
				if log[i] != first[i] {
					t.Fatalf("%s\nand over the first pair\n%s", log[i], first[i])
				}
			}
		})
	}
}
