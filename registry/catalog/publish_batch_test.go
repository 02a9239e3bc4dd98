package catalog

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/test/postgres"
)

// The common publish takes two trips to the database, that of a new crate three, and one that changes the words of a crate goes the long way.
func TestTripsOfAPublish(t *testing.T) {
	uri := postgres.Database(t)
	plain := openPostgres(t, uri)
	alice := users(t, plain, "alice")[0]
	publishWith(t, plain, "base", "1.0.0", nil)
	b := &breaker{}
	c := broken(t, plain, b, uri)
	for i, tc := range []struct {
		description string
		least, most int64
	}{{"first", 3, 3}, {"first", 2, 2}, {"first", 2, 2}, {"second", 10, 25}} {
		p := publication(t, "demo", fmt.Sprintf("1.%d.0", i))
		p.By, p.Metadata, p.Dependencies, p.Details.Description = alice, []byte("{}"), []string{"base"}, tc.description
		b.left.Store(0)
		if err := c.Publish(t.Context(), p, anyone); err != nil {
			t.Fatal(err)
		}
		if trips := -b.left.Load(); trips < tc.least || trips > tc.most {
			t.Errorf("publish %d made %d trips, want %d to %d", i, trips, tc.least, tc.most)
		}
	}
	page, total, err := plain.Dependents(t.Context(), "base", 0, "", 10, 0)
	if err != nil || total != 1 || len(page) != 1 {
		t.Errorf("%+v of %d, %v", page, total, err)
	}
}

// What the database refuses in the second trip leaves nothing behind, neither rows nor a transaction, whatever came before it.
func TestRefusedInTheSecondTrip(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	c.rw.db.SetMaxOpenConns(1)
	alice := users(t, c, "alice")[0]
	if err := publishAs(t, c, alice, "demo", "1.0.0", "00"); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"crates", "versions", "audit", "changes"} {
		if _, err := c.rw.db.ExecContext(t.Context(), "ALTER TABLE "+table+" ADD CONSTRAINT never CHECK (false) NOT VALID"); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"demo", "fresh"} {
			old := state(t, c, "demo")
			if err := publishAs(t, c, alice, name, "1.1.0", "00"); err == nil {
				t.Errorf("%s was published", name)
			}
			if got := state(t, c, "demo"); got != old {
				t.Errorf("half a change:\n%s", got)
			}
			if _, err := c.Crate(t.Context(), "fresh"); fault.KindOf(err) != fault.NotFound {
				t.Error(err)
			}
		}
		if _, err := c.rw.db.ExecContext(t.Context(), "ALTER TABLE "+table+" DROP CONSTRAINT never"); err != nil {
			t.Fatal(err)
		}
	}
	refused := errors.New("the disk is full")
	p := publication(t, "demo", "1.1.0")
	p.By, p.Metadata, p.Durable = alice, []byte("{}"), func() error { return refused }
	if err := c.Publish(t.Context(), p, anyone); !errors.Is(err, refused) {
		t.Errorf("a blob that is not durable: %v", err)
	}
	p.Durable = nil
	if err := c.Publish(t.Context(), p, anyone); err != nil {
		t.Error(err)
	}
}

// A right that is lost between the check and the publish is lost in the publish.
func TestRightsLostMeanwhile(t *testing.T) {
	c := openPostgres(t, postgres.Database(t))
	alice := users(t, c, "alice")[0]
	if err := publishAs(t, c, alice, "demo", "1.0.0", "00"); err != nil {
		t.Fatal(err)
	}
	p := publication(t, "demo", "1.1.0")
	p.By, p.Metadata, p.Dependencies = alice, []byte("{}"), []string{"gone"}
	if err := c.Publish(t.Context(), p, anyone); fault.KindOf(err) != fault.Invalid || !strings.Contains(err.Error(), "no known crate named `gone`") {
		t.Errorf("a dependency that is gone: %v", err)
	}
	p.Dependencies = nil
	var asked Standing
	if err := c.Publish(t.Context(), p, func(s Standing) error { asked = s; return fault.New(fault.Forbidden, "no") }); fault.KindOf(err) != fault.Forbidden ||
		!reflect.DeepEqual(asked, Standing{Name: "demo", Exists: true, Owner: true, Visible: true}) {
		t.Errorf("%v, asked with %+v", err, asked)
	}
	if err := c.DeleteCrate(t.Context(), Actor{}, "demo", ""); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(t.Context(), p, anyone); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "was deleted") {
		t.Errorf("a blocked name: %v", err)
	}
	p.Name = "other"
	if err := c.DeleteToken(t.Context(), Actor{}, alice.TokenID, "", Token{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Publish(t.Context(), p, anyone); fault.KindOf(err) != fault.Unauthenticated {
		t.Errorf("a revoked token: %v", err)
	}
}

// A pooler may ask for another way to send statements; each publishes the same.
func TestWaysToSend(t *testing.T) {
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		u, err := url.Parse(postgres.Database(t))
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Set("default_query_exec_mode", mode)
		u.RawQuery = q.Encode()
		c := openPostgres(t, u.String())
		alice := users(t, c, "alice")[0]
		for i := range 3 {
			if err := publishAs(t, c, alice, "demo", fmt.Sprintf("1.%d.0", i), "00"); err != nil {
				t.Errorf("%s: %v", mode, err)
			}
		}
		if list, err := c.IndexChanges(t.Context(), 0, 10); err != nil || len(list) != 3 || list[2].Num != "1.2.0" || list[2].Kind != index.KindPublish {
			t.Errorf("%s: %+v %v", mode, list, err)
		}
	}
}
