package catalog

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/crateyard/crateyard/registry/fault"
)

// Names of users and of groups that differ in case only are one name for whoever wants a new one. Those that were two before stay two, and each is
// found by its own.
func TestNamesThatDifferInCase(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		create := func(name string, groups ...string) error {
			_, err := c.CreateUser(t.Context(), Actor{}, User{Name: name, Role: "publisher", Groups: groups})
			return err
		}
		group := func(name string) error {
			_, err := c.CreateGroup(t.Context(), Actor{}, name, nil)
			return err
		}
		join := func(user string, groups ...string) error {
			_, err := c.UpdateUser(t.Context(), Actor{}, user, func(u *User) error { u.Groups = groups; return nil })
			return err
		}
		want := func(err error, kind fault.Kind, text string) {
			t.Helper()
			if fault.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
				t.Errorf("%v; want %q", err, text)
			}
		}
		good := func(errs ...error) {
			t.Helper()
			for _, err := range errs {
				if err != nil {
					t.Error(err)
				}
			}
		}
		good(create("bob", "platform"))
		want(create("Bob"), fault.Conflict, "user `bob` exists already, and a name that differs from it in case only, such as `Bob`, cannot be another's")
		want(create("bob"), fault.Conflict, "user `bob` exists already")
		want(group("PLATFORM"), fault.Conflict, "group `platform` exists already, and a name that differs")
		want(join("bob", "Platform"), fault.Conflict, "group `platform` exists already")
		want(create("eve", "Platform"), fault.Conflict, "group `platform` exists already")
		_, err := c.User(t.Context(), "BOB")
		want(err, fault.NotFound, "user `BOB` does not exist; there is `bob`")
		_, err = c.Group(t.Context(), "PlatForm")
		want(err, fault.NotFound, "group `PlatForm` does not exist; there is `platform`")

		for _, query := range []string{ // as an older version made them
			"INSERT INTO users (name, role, suspended, created_at) SELECT 'Bob', role, suspended, created_at FROM users WHERE name = 'bob'",
			"INSERT INTO groups (name, created_at) SELECT 'Platform', created_at FROM groups WHERE name = 'platform'",
		} {
			_, err := c.rw.db.ExecContext(t.Context(), query)
			good(err)
		}
		good(join("Bob", "platform", "Platform"), join("bob", "Platform"))
		for name, groups := range map[string]string{"Bob": "Platform platform", "bob": "Platform"} {
			u, err := c.User(t.Context(), name)
			if good(err); u.Name != name || strings.Join(u.Groups, " ") != groups {
				t.Errorf("%+v", u)
			}
		}
		want(create("BOB"), fault.Conflict, "user `Bob` exists already")

		var wg sync.WaitGroup
		var made atomic.Int32
		for _, name := range []string{"mallory", "Mallory", "MALLORY", "malloRY"} {
			wg.Go(func() {
				if err := create(name); err == nil {
					made.Add(1)
				} else {
					want(err, fault.Conflict, "exists already")
				}
			})
		}
		if wg.Wait(); made.Load() != 1 {
			t.Errorf("%d users of one name at once", made.Load())
		}
	})
}

// Who adds an owner that is none learns what to do, and no name that is not its own to know.
func TestOwnersThatDoNotExist(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		for _, name := range []string{"alice", "mallory"} {
			if _, err := c.CreateUser(t.Context(), Actor{}, User{Name: name, Role: "publisher"}); err != nil && fault.KindOf(err) != fault.Conflict {
				t.Fatal(err)
			}
		}
		publish(t, c, "demo", "1.0.0")
		yes := true
		for login, want := range map[string]string{
			"nobody":     "user `nobody` does not exist; an administrator makes it with `crateyard user create nobody --role publisher`, or sees which there are with `crateyard user list`",
			"group:none": "group `none` does not exist; an administrator makes it with `crateyard group create none`, or sees which there are with `crateyard group list`",
			"github:o:t": "user `github:o:t` does not exist; owners are users, such as `alice`, and groups, such as `group:platform`",
			"group:":     "group `` does not exist; owners are users, such as `alice`, and groups, such as `group:platform`",
			"Mallory":    "user `Mallory` does not exist; there is `mallory`",
		} {
			err := c.AddOwners(t.Context(), Actor{}, "demo", []string{login}, anyone)
			if fault.KindOf(err) != fault.NotFound || err.Error() != want {
				t.Errorf("owner %s: %v", login, err)
			}
			_, err = c.SetAccess(t.Context(), Actor{}, "demo", &yes, &[]string{login}, anyone)
			if fault.KindOf(err) != fault.NotFound || err.Error() != want {
				t.Errorf("reader %s: %v", login, err)
			}
			if err := c.RemoveOwners(t.Context(), Actor{}, "demo", []string{login}, anyone); fault.KindOf(err) != fault.NotFound || strings.Contains(err.Error(), "create") {
				t.Errorf("removed %s: %v", login, err)
			}
		}
	})
}

// Nor does a group take a member that is none, and it says how there can be one.
func TestMembersThatDoNotExist(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		if _, err := c.CreateUser(t.Context(), Actor{}, User{Name: "mallory", Role: "publisher"}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateGroup(t.Context(), Actor{}, "there", nil); err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"nobody":  "user `nobody` does not exist; an administrator makes it with `crateyard user create nobody --role publisher`, or sees which there are with `crateyard user list`",
			"Mallory": "user `Mallory` does not exist; there is `mallory`",
		} {
			if _, err := c.CreateGroup(t.Context(), Actor{}, "new", []string{"mallory", name}); fault.KindOf(err) != fault.NotFound || err.Error() != want {
				t.Errorf("a group made with %s: %v", name, err)
			}
			if _, err := c.SetMembers(t.Context(), Actor{}, "there", []string{"mallory", name}); fault.KindOf(err) != fault.NotFound || err.Error() != want {
				t.Errorf("a group given %s: %v", name, err)
			}
		}
	})
}
