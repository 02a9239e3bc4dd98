package catalog

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/test/postgres"
)

// kept is a connection to the database that a pooler keeps when its client goes.
type kept struct{ net.Conn }

func (k kept) Write(p []byte) (int, error) {
	if len(p) == 5 && p[0] == 'X' { // good-bye
		return len(p), nil
	}
	return k.Conn.Write(p)
}

func (k kept) Close() error { return nil }

// A pooler that shares connections by transaction keeps what belongs to a session: no lock may, or the next server waits for it for ever.
func TestMigrateThroughPooler(t *testing.T) {
	config, err := postgresConfig(postgres.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	dial := config.DialFunc
	var mu sync.Mutex
	var conns []net.Conn
	config.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
		return kept{c}, nil
	}
	t.Cleanup(func() {
		for _, c := range conns {
			_ = c.Close() // the server may have closed it
		}
	})
	for range 2 {
		if _, err := migratePostgres(t.Context(), config, false); err != nil {
			t.Fatal(err)
		}
	}
}

// Through one the catalog works without prepared statements; with them it says what to do.
func TestWithoutPreparedStatements(t *testing.T) {
	c := openPostgres(t, postgres.Database(t)+"&default_query_exec_mode=exec")
	alice := users(t, c, "alice")[0]
	if err := errors.Join(publishAs(t, c, alice, "demo", "1.0.0", "00"), publishAs(t, c, alice, "demo", "1.1.0", "00"), c.Ping(t.Context())); err != nil {
		t.Fatal(err)
	}
	yes := true
	if _, err := c.SetYanked(t.Context(), alice, "demo", "1.0.0", &yes, nil, anyone); err != nil {
		t.Error(err)
	}
	if f, err := c.IndexFile(t.Context(), "demo"); err != nil || strings.Count(string(f.Text), "\n") != 2 {
		t.Errorf("%s %v", f.Text, err)
	}
	if found, _, err := c.Search(t.Context(), Query{Text: "demo", Limit: 10}); err != nil || len(found) != 1 {
		t.Errorf("%v %v", found, err)
	}
	if changes, err := c.IndexChanges(t.Context(), 0, 10); err != nil || len(changes) != 3 {
		t.Errorf("%v %v", changes, err)
	}
	for _, code := range []string{"26000", "42P05"} {
		err := postgresFault(&pgconn.PgError{Code: code})
		if fault.KindOf(err) != fault.Unavailable || !strings.Contains(err.Error(), "default_query_exec_mode=exec") {
			t.Error(err)
		}
	}
}
