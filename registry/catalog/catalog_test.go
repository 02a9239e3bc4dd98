package catalog

import (
	"crypto/sha256"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

func anyone(Standing) error { return nil }

func publish(t *testing.T, c *Catalog, name, num string) {
	t.Helper()
	v, err := crate.ParseVersion(num)
	if err != nil {
		t.Fatal(err)
	}
	u, err := c.User(t.Context(), "alice")
	if fault.KindOf(err) == fault.NotFound {
		u, err = c.CreateUser(t.Context(), Actor{}, User{Name: "alice", Role: "publisher"})
	}
	if err != nil {
		t.Fatal(err)
	}
	tok, err := c.CreateToken(t.Context(), Actor{}, Token{UserName: "alice", Name: "test"}, sha256.Sum256([]byte(name+num)))
	if err != nil {
		t.Fatal(err)
	}
	p := Publication{By: Actor{UserID: u.ID, User: u.Name, Role: u.Role, TokenID: tok.ID}, Name: name, Version: v, SHA256: "00", Line: []byte(`{"vers":"` + num + `","yanked":false}` + "\n"), Metadata: []byte("{}")}
	if err := c.Publish(t.Context(), p, anyone); err != nil {
		t.Fatal(err)
	}
}

// A catalog that a newer program made is refused, and left as it is.
func TestNewerSchemaIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "catalog.db")
	c, err := Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.rw.db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), "made by a newer crateyard") {
		t.Errorf("got %v", err)
	}
}

// The highest version is by precedence, not by time, and leaves yanked ones out.
func setYanked(t *testing.T, c *Catalog, name, num string, yanked bool) error {
	t.Helper()
	_, err := c.SetYanked(t.Context(), Actor{}, name, num, &yanked, nil, anyone)
	return err
}

func TestMaxVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		want := func(max string) {
			t.Helper()
			if found, err := c.Crate(t.Context(), "demo"); err != nil || found.MaxVersion != max {
				t.Errorf("%q, %v; want %q", found.MaxVersion, err, max)
			}
		}
		yank := func(num string, yanked bool) {
			t.Helper()
			if _, err := c.SetYanked(t.Context(), Actor{}, "demo", num, &yanked, nil, anyone); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, c, "demo", "1.10.0")
		publish(t, c, "demo", "1.9.0")
		publish(t, c, "demo", "2.0.0-rc.1")
		want("2.0.0-rc.1")
		yank("2.0.0-rc.1", true)
		want("1.10.0")
		yank("1.10.0", true)
		yank("1.9.0", true)
		want(noVersion)
		publish(t, c, "demo", "0.1.0")
		want("0.1.0")
		yank("1.10.0", false)
		want("1.10.0")
		f, err := c.IndexFile(t.Context(), "demo")
		lines := string(f.Text)
		if err != nil || strings.Count(lines, `"yanked":true`) != 2 || !strings.HasPrefix(lines, `{"vers":"1.10.0","yanked":false}`) {
			t.Errorf("%s %v", lines, err)
		}
	})
}

// Followers hear of a change before who made it gets an answer, and of a refused or needless one never.
func TestFollow(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		var mu sync.Mutex
		heard := map[string]bool{}
		c.Follow(func(ch Change) {
			mu.Lock()
			defer mu.Unlock()
			heard[ch.Crate+":"+string(ch.Kind)] = true
		})
		want := func(changes string) {
			t.Helper()
			mu.Lock()
			defer mu.Unlock()
			if got := strings.Join(slices.Sorted(maps.Keys(heard)), " "); got != changes {
				t.Errorf("heard %q, want %q", got, changes)
			}
		}
		publish(t, c, "demo", "1.0.0")
		want("demo:publish")
		for range 2 {
			if err := setYanked(t, c, "demo", "1.0.0", true); err != nil {
				t.Fatal(err)
			}
			want("demo:publish demo:yank")
		}
		_, err := c.SetYanked(t.Context(), Actor{}, "demo", "1.0.0", ptr(false), nil, func(Standing) error { return fault.New(fault.Forbidden, "no") })
		if fault.KindOf(err) != fault.Forbidden {
			t.Fatal(err)
		}
		want("demo:publish demo:yank")
	})
}

// A deleted user leaves its crates, and no token of it.
func TestDeleteUser(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publish(t, c, "alone", "1.0.0")
		publish(t, c, "shared", "1.0.0")
		bob, err := c.CreateUser(t.Context(), Actor{}, User{Name: "bob", Role: "publisher"})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddOwners(t.Context(), Actor{}, "shared", []string{"bob"}, anyone); err != nil {
			t.Fatal(err)
		}
		if _, err := c.CreateToken(t.Context(), Actor{}, Token{UserName: "alice", Name: "t"}, [32]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.DeleteUser(t.Context(), Actor{}, "alice", false); fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "last individual owner of crate `alone`;") {
			t.Errorf("the last owner: %v", err)
		}
		if _, _, err := c.TokenByHash(t.Context(), [32]byte{1}); err != nil {
			t.Errorf("the token of a user who was not deleted: %v", err)
		}
		ownerless, err := c.DeleteUser(t.Context(), Actor{}, "alice", true)
		if err != nil || strings.Join(ownerless, " ") != "alone" {
			t.Errorf("%v %v", ownerless, err)
		}
		if _, _, err := c.TokenByHash(t.Context(), [32]byte{1}); fault.KindOf(err) != fault.NotFound {
			t.Errorf("the token of a deleted user: %v", err)
		}
		if _, err := c.Crate(t.Context(), "alone"); err != nil {
			t.Error(err)
		}
		again, err := c.CreateUser(t.Context(), Actor{}, User{Name: "alice", Role: "publisher"})
		if err != nil || again.ID <= bob.ID {
			t.Errorf("an id was used twice: %d after %d, %v", again.ID, bob.ID, err)
		}
	})
}
