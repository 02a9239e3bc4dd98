package catalog

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/test/postgres"
)

// A publish that looked for its crate to lock it before that was made, and then finds it, holds it all the same: what others do to the crate comes
// after the publish. To look so early it waits in its lock behind a sweep, which waits for the publish that makes the crate.
func TestPublishHoldsACrateMadeMeanwhile(t *testing.T) {
	uri := postgres.Database(t)
	c := openPostgres(t, uri)
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("application_name", "late")
	u.RawQuery = q.Encode()
	late := openPostgres(t, u.String())
	alice := users(t, c, "alice")[0]
	const gate = 1 // a lock in which the late stop right before they write
	for _, query := range []string{
		fmt.Sprintf(`CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF current_setting('application_name') = 'late' THEN PERFORM pg_advisory_xact_lock(%d); END IF; RETURN NULL; END $$`, gate),
		"CREATE TRIGGER stop BEFORE UPDATE ON crates EXECUTE FUNCTION stop()",
	} {
		if _, err := c.rw.db.ExecContext(t.Context(), query); err != nil {
			t.Fatal(err)
		}
	}
	waiting := func(more string) (n int) {
		t.Helper()
		if err := c.ro.QueryRowContext(t.Context(), `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
			WHERE a.datname = current_database() AND NOT l.granted`+more).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	start := func(f func() error) <-chan error {
		done := make(chan error, 1)
		go func() { done <- f() }()
		return done
	}
	version := func(name, num string) Publication {
		p := publication(t, name, num)
		p.By, p.SHA256, p.Metadata = alice, num, []byte("{}")
		p.Line = fmt.Appendf(nil, "{\"name\":%q,\"vers\":%q,\"yanked\":false}\n", name, num)
		return p
	}
	ways := map[string]func(ctx context.Context, p Publication) error{
		"publish": func(ctx context.Context, p Publication) error { return late.Publish(ctx, p, anyone) },
		"imported": func(ctx context.Context, p Publication) error {
			p.Imported = &Imported{}
			return late.Publish(ctx, p, anyone)
		},
		"import": func(ctx context.Context, p Publication) error {
			_, err := late.Import(ctx, []Import{{p, time.Now()}})
			return err
		},
	}
	others := map[string]struct {
		do   func(name string) error
		max  string     // version of the crate at the end; empty: it is not asked
		last index.Kind // change of the crate; empty: it is not asked
	}{
		"publish": {do: func(name string) error { return c.Publish(t.Context(), version(name, "3.0.0"), anyone) }, max: "3.0.0"},
		"yank": {do: func(name string) error {
			_, err := c.SetYanked(t.Context(), alice, name, "1.0.0", ptr(true), nil, anyone)
			return err
		}, max: "0.9.0"},
		"delete": {do: func(name string) error { return c.DeleteCrate(t.Context(), alice, name, "") }, last: index.KindRemoveCrate},
		"restrict": {do: func(name string) error {
			_, err := c.SetAccess(t.Context(), alice, name, ptr(true), nil, anyone)
			return err
		}, last: index.KindRemoveCrate},
	}
	for way, publish := range ways {
		for what, other := range others {
			t.Run(way+" and "+what, func(t *testing.T) {
				name := way + "-" + what
				shut, err := c.rw.db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = shut.Rollback() }()
				if _, err := shut.ExecContext(t.Context(), "SELECT pg_advisory_xact_lock($1)", gate); err != nil {
					t.Fatal(err)
				}
				first, made, makeIt := version(name, "1.0.0"), make(chan struct{}), make(chan struct{})
				first.Durable = func() error {
					close(made)
					<-makeIt
					return nil
				}
				making := start(func() error { return c.Publish(t.Context(), first, anyone) })
				<-made
				sweep := start(func() error {
					_, err := c.MarkForSweep(t.Context(), nil)
					return err
				})
				eventually(t, func() bool { return waiting("") == 1 })
				second := start(func() error { return publish(t.Context(), version(name, "0.9.0")) })
				eventually(t, func() bool { return waiting("") == 2 })
				close(makeIt)
				for _, done := range []<-chan error{making, sweep} {
					if err := <-done; err != nil {
						t.Fatal(err)
					}
				}
				eventually(t, func() bool { return waiting(fmt.Sprintf(" AND l.classid = 0 AND l.objid = %d", gate)) == 1 }) // the second is about to write
				third := start(func() error { return other.do(name) })
				eventually(t, func() bool { return len(third) == 1 || waiting("") == 2 })
				if err := shut.Rollback(); err != nil {
					t.Fatal(err)
				}
				for _, done := range []<-chan error{second, third} {
					if err := <-done; err != nil {
						t.Error(err)
					}
				}
				if other.max != "" {
					if found, err := c.Crate(t.Context(), name); err != nil || found.MaxVersion != other.max {
						t.Errorf("the highest version is %s, want %s; %v", found.MaxVersion, other.max, err)
					}
				}
				if other.last != "" {
					changes, err := c.IndexChanges(t.Context(), 0, 1000)
					if err != nil || len(changes) == 0 {
						t.Fatalf("%d changes: %v", len(changes), err)
					}
					if last := changes[len(changes)-1]; last.Crate != name || last.Kind != other.last {
						t.Errorf("the last change is %s of %s %s, want %s", last.Kind, last.Crate, last.Num, other.last)
					}
				}
			})
		}
	}
}

// What is not there cannot be locked, and is not taken for locked: the next statement might find it.
func TestNoLockOfWhatIsNotThere(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	for what, lock := range map[string]func(*tx) error{
		"crate":           func(tx *tx) error { return tx.lockCrate(t.Context(), "fresh") },
		"user":            func(tx *tx) error { return tx.lockUser(t.Context(), "fresh") },
		"user and crates": func(tx *tx) error { return tx.lockUserAndCrates(t.Context(), "fresh") },
	} {
		if err := c.write(t.Context(), func(tx *tx) ([]change, error) { return nil, lock(tx) }); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
}
