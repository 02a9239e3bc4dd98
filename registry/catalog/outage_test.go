package catalog

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// noPassword fails a test whose error holds the password, as it is or as it stands in a URI.
func noPassword(t *testing.T, err error) {
	t.Helper()
	for _, secret := range []string{postgres.Password, url.UserPassword("", postgres.Password).String()[1:], "w0rd", "hunter2"} {
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("the password is in %q", err)
		}
	}
}

// A database that cannot be opened is told so, without the password.
func TestOpenPostgresErrors(t *testing.T) {
	good := postgres.Database(t)
	openPostgres(t, good)
	edit := func(edit func(u *url.URL)) string {
		u, err := url.Parse(good)
		if err != nil {
			t.Fatal(err)
		}
		edit(u)
		return u.String()
	}
	for name, tc := range map[string]struct{ uri, want string }{
		"refused":       {edit(func(u *url.URL) { u.Host = "127.0.0.1:1" }), "cannot be reached"},
		"no such host":  {edit(func(u *url.URL) { u.Host = "no-such-host.invalid:5432" }), "cannot be reached"},
		"password":      {edit(func(u *url.URL) { u.User = url.UserPassword("crateyard", "hunter2") }), "password authentication failed"},
		"database":      {edit(func(u *url.URL) { u.Path = "/none" }), `database "none" does not exist`},
		"TLS":           {edit(func(u *url.URL) { u.RawQuery = "sslmode=require" }), "TLS"},
		"no such file":  {edit(func(u *url.URL) { u.RawQuery = "sslmode=verify-full&sslrootcert=/no/such.pem" }), "/no/such.pem"},
		"a raw slash":   {"postgres://u:hunter2/x@127.0.0.1:1/db", "percent-encoded"},
		"a raw percent": {"postgres://u:hunter2%zz@127.0.0.1:1/db", "percent-encoded"},
		"a wrong port":  {"postgres://u:hunter2@127.0.0.1:port/db", "percent-encoded"},
		"no URI":        {"password=hunter2 port=x", "percent-encoded"},
		"no option":     {edit(func(u *url.URL) { u.RawQuery = "sslmode=sometimes" }), "percent-encoded"},
	} {
		c, err := OpenPostgres(t.Context(), PostgresOptions{URI: tc.uri})
		if err == nil {
			t.Errorf("%s: it opened", name)
			closing(t, c, nil)
			continue
		}
		noPassword(t, err)
		if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v; want %q", name, err, tc.want)
		}
	}
	c := openPostgres(t, good)
	if _, err := c.rw.db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPostgres(t.Context(), PostgresOptions{URI: good}); err == nil || !strings.Contains(err.Error(), "made by a newer crateyard") {
		t.Errorf("a newer schema: %v", err)
	}
}

// The catalog and its feed go over TLS, and a server that cannot prove who it is gets no password.
func TestTLS(t *testing.T) {
	s, other := postgres.StartTest(t, postgres.Options{TLS: true}), postgres.StartTest(t, postgres.Options{TLS: true})
	uri, err := s.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	with := func(host, mode, ca string) string {
		u, err := url.Parse(uri)
		if err != nil {
			t.Fatal(err)
		}
		u.Host = strings.Replace(u.Host, "127.0.0.1", host, 1)
		u.RawQuery = url.Values{"sslmode": {mode}, "sslrootcert": {ca}}.Encode()
		return u.String()
	}
	c := openPostgres(t, with("127.0.0.1", "verify-full", s.CA()))
	publishWith(t, c, "demo", "1.0.0", nil)
	eventually(t, func() bool { return c.feed.seq.Load() == 1 })
	var plain int
	if err := c.ro.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a ON a.pid = s.pid
		WHERE a.datname = current_database() AND a.application_name LIKE 'crateyard%' AND NOT s.ssl`).Scan(&plain); err != nil || plain != 0 {
		t.Errorf("%d connections without TLS, %v", plain, err)
	}
	for what, uri := range map[string]string{
		"another CA":      with("127.0.0.1", "verify-full", other.CA()),
		"another CA, too": with("127.0.0.1", "verify-ca", other.CA()),
		"another name":    with("localhost", "verify-full", s.CA()),
	} {
		c, err := OpenPostgres(t.Context(), PostgresOptions{URI: uri})
		if err == nil {
			closing(t, c, nil)
		}
		noPassword(t, err)
		if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "x509") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A database is named with all hosts where it may be, each once, in both forms of the URI.
func TestPlace(t *testing.T) {
	for uri, want := range map[string]string{
		"postgres://crateyard:secret@one:1/yard":                                                                           "yard on one:1",
		"postgres://crateyard:secret@one:1,two:2/yard?sslmode=prefer":                                                      "yard on one:1, two:2",
		"host=one,two port=1,2 user=crateyard password=secret dbname=yard sslmode=disable target_session_attrs=read-write": "yard on one:1, two:2",
	} {
		config, err := postgresConfig(uri)
		if err != nil {
			t.Fatal(err)
		}
		if got := place(config); got != want {
			t.Errorf("%s: %s", uri, got)
		}
	}
}

// While the database is away, every call says that, soon; when it is back, so is the catalog, and followers miss nothing.
func TestOutage(t *testing.T) {
	s := postgres.StartTest(t, postgres.Options{})
	uri, err := s.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	here, there := openPostgres(t, uri), openPostgres(t, uri)
	alice := users(t, here, "alice")[0]
	heard := make(chan Change, 100)
	there.Follow(func(ch Change) { heard <- ch })
	if err := publishAs(t, here, alice, "first", "1.0.0", "00"); err != nil {
		t.Fatal(err)
	}
	if ch := <-heard; ch.Crate != "first" { // so there is a connection to lose
		t.Fatalf("%+v", ch)
	}
	for round, end := range []func() error{s.Kill, s.Stop} {
		name := string(rune('a' + round))
		if err := publishAs(t, here, alice, name, "1.0.0", "00"); err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
		calls := map[string]func() error{
			"publish": func() error { return publishAs(t, here, alice, name, "2.0.0", "00") },
			"read":    func() error { _, err := here.IndexFile(t.Context(), name); return err },
			"token":   func() error { _, _, err := here.TokenByHash(t.Context(), [32]byte{}); return err },
			"ping":    func() error { return here.Ping(t.Context()) },
			"lease":   func() error { _, err := here.Lease(t.Context(), "x", "y", time.Second); return err },
			"search":  func() error { _, _, err := here.Search(t.Context(), Query{Limit: 1}); return err },
			"feed":    func() error { _, err := here.IndexChanges(t.Context(), 0, 1); return err },
			"audit": func() error {
				for _, err := range here.Audit(t.Context(), AuditFilter{}) {
					return err
				}
				return nil
			},
		}
		for what, call := range calls {
			begin := time.Now()
			err := call()
			noPassword(t, err)
			if fault.KindOf(err) != fault.Unavailable || time.Since(begin) > readTimeout {
				t.Errorf("%s: %v after %s", what, err, time.Since(begin))
			}
		}
		if err := s.Up(); err != nil {
			t.Fatal(err)
		}
		for what, call := range calls {
			if what == "token" {
				continue // there is none
			}
			eventually(t, func() bool { return call() == nil || fault.KindOf(call()) == fault.Conflict })
		}
		eventually(t, func() bool { return there.FeedLag() < 2*time.Second })
		forgot := false
		for seen := 0; seen < 2; {
			select {
			case ch := <-heard:
				switch ch {
				case Change{}: // after a connection was lost anything may have changed
					forgot = true
				default:
					if seen++; ch.Crate != name {
						t.Errorf("%+v", ch)
					}
				}
			case <-time.After(2 * time.Minute):
				t.Fatal("a change was missed")
			}
		}
		if !forgot {
			t.Error("nobody was told to forget what was known before the connection was lost")
		}
	}
}

// A database that takes no writes is said to, and goes on answering reads. A pool that is used up, and a query that takes too long, are no
// fault of the client.
func TestRefusals(t *testing.T) {
	uri := postgres.Database(t)
	c := openPostgres(t, uri)
	alice := users(t, c, "alice")[0]
	c.rw.db.SetMaxOpenConns(1)
	set := func(query string) {
		t.Helper()
		if _, err := c.rw.db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	set("SET default_transaction_read_only = on")
	if err := publishAs(t, c, alice, "demo", "1.0.0", "00"); fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "takes no writes") {
		t.Errorf("read-only: %v", err)
	}
	if _, err := c.Users(t.Context()); err != nil {
		t.Errorf("a read of a read-only database: %v", err)
	}
	set("SET default_transaction_read_only = off")
	set("SET statement_timeout = '50ms'")
	if _, err := collect(t.Context(), c.ro, scanString, "SELECT CAST(pg_sleep(5) AS TEXT)"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("a slow query: %v", err)
	}
	set("SET statement_timeout = 0")
	asked := false
	for _, err := range c.Audit(t.Context(), AuditFilter{}) { // holds the only connection
		if asked = true; err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := c.Ping(ctx); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("a pool that is used up: %v", err)
		}
		cancel()
		break
	}
	if err := c.Ping(t.Context()); err != nil || !asked {
		t.Error(err, asked)
	}
}
