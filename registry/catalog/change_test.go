package catalog

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// replay makes the index from the feed, as the git index does.
func replay(t *testing.T, c *Catalog) map[string]string {
	t.Helper()
	files := map[string]string{}
	for after := int64(0); ; {
		list, err := c.IndexChanges(t.Context(), after, 2)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 0 {
			return files
		}
		for _, ch := range list {
			line := func(edit func(string) string) {
				var out strings.Builder
				for l := range strings.Lines(files[ch.Crate]) {
					if strings.Contains(l, fmt.Sprintf(`"vers":%q`, ch.Num)) {
						l = edit(l)
					}
					out.WriteString(l)
				}
				files[ch.Crate] = out.String()
			}
			switch ch.Kind {
			case index.KindPublish:
				files[ch.Crate] += string(ch.Lines)
			case index.KindYank, index.KindUnyank:
				line(func(l string) string { return string(index.SetYanked([]byte(l), ch.Kind == index.KindYank)) })
			case index.KindRemove:
				line(func(string) string { return "" })
			case index.KindRemoveCrate:
				delete(files, ch.Crate)
			case index.KindRestore:
				files[ch.Crate] = string(ch.Lines)
			default:
				t.Fatalf("%+v", ch)
			}
			if after >= ch.Seq {
				t.Fatalf("%d after %d", ch.Seq, after)
			}
			after = ch.Seq
		}
	}
}

// The feed alone tells what every index file holds, and a restricted crate is not in it.
func TestFeedTellsTheIndex(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		yes, no := ptr(true), ptr(false)
		do := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		same := func(gone ...string) {
			t.Helper()
			files := replay(t, c)
			for _, name := range []string{"one", "two", "three"} {
				f, err := c.IndexFile(t.Context(), name)
				if fault.KindOf(err) == fault.NotFound || f.Restricted {
					f.Text, err = nil, nil
				}
				if err != nil || files[name] != string(f.Text) {
					t.Errorf("%s: %v\nfeed:\n%s\nindex:\n%s", name, err, files[name], f.Text)
				}
			}
			for _, name := range gone {
				if files[name] != "" {
					t.Errorf("%s is in the feed: %s", name, files[name])
				}
			}
		}
		publishWith(t, c, "one", "1.0.0", nil)
		publishWith(t, c, "two", "1.0.0", nil)
		publishWith(t, c, "one", "1.1.0", nil)
		publishWith(t, c, "three", "1.0.0", func(p *Publication) { p.Restricted = true })
		do(setYanked(t, c, "one", "1.0.0", true))
		same("three")
		do(setYanked(t, c, "one", "1.0.0", false))
		do(setYanked(t, c, "one", "1.1.0", true))
		do(c.DeleteVersion(t.Context(), Actor{}, "one", "1.0.0"))
		same()
		_, err := c.SetAccess(t.Context(), Actor{}, "two", yes, nil, anyone)
		do(err)
		publishWith(t, c, "two", "1.1.0", nil)
		do(setYanked(t, c, "two", "1.0.0", true))
		same("two", "three")
		_, err = c.SetAccess(t.Context(), Actor{}, "two", no, nil, anyone)
		do(err)
		_, err = c.SetAccess(t.Context(), Actor{}, "three", no, nil, anyone)
		do(err)
		same()
		do(c.DeleteCrate(t.Context(), Actor{}, "two", "a mistake"))
		same("two")
	})
}

// A deleted crate's name is blocked for a while and free after it; a deleted version's number is never free.
func TestDelete(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		now := time.Now()
		c.now = func() time.Time { return now }
		publishWith(t, c, "demo", "1.0.0", describe("words"))
		publishWith(t, c, "demo", "1.1.0", describe("words"))
		if err := c.DeleteVersion(t.Context(), Actor{}, "demo", "1.1.0"); err != nil {
			t.Fatal(err)
		}
		if found, err := c.Crate(t.Context(), "demo"); err != nil || found.MaxVersion != "1.0.0" {
			t.Errorf("%+v %v", found, err)
		}
		if _, err := c.Version(t.Context(), "demo", "1.1.0"); fault.KindOf(err) != fault.NotFound {
			t.Errorf("a deleted version: %v", err)
		}
		refused := func(name, num, why string) {
			t.Helper()
			err := c.CheckPublish(t.Context(), publication(t, name, num), anyone)
			if err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("%s@%s: %v, want %q", name, num, err, why)
			}
		}
		refused("demo", "1.1.0", "never used twice")
		refused("demo", "1.1.0+b", "never used twice")
		if err := c.DeleteCrate(t.Context(), Actor{User: "root"}, "demo", ""); err != nil {
			t.Fatal(err)
		}
		refused("demo", "1.0.0", "was deleted")
		refused("DEMO", "3.0.0", "was deleted")
		if page, total, err := c.Search(t.Context(), Query{Limit: 10, Role: "admin"}); err != nil || total != 0 {
			t.Errorf("%v of %d, %v", page, total, err)
		}
		if n, err := c.Counts(t.Context()); err != nil || n.Crates != 0 || n.Versions != 0 {
			t.Errorf("%+v %v", n, err)
		}
		now = now.Add(NameBlock)
		publishWith(t, c, "Demo", "1.0.0", nil) // everything is free again
		for r, err := range c.Audit(t.Context(), AuditFilter{Action: ActionDeleteCrate}) {
			if err != nil || r.Actor != "root" || r.Crate != "demo" || string(r.Before) != `{"owners":["alice"],"versions":["1.0.0"]}` {
				t.Errorf("%+v %s %v", r, r.Before, err)
			}
		}
	})
}

// A deletion finds the crate in any spelling, as yanks and owners do, and tells followers, feed and audit of it as it was published.
func TestDeleteInAnySpelling(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "Del-Me", "1.0.0", nil)
		publishWith(t, c, "Del-Me", "1.1.0", nil)
		var mu sync.Mutex // the feed of PostgreSQL tells in its own time
		told := map[string]bool{}
		c.Follow(func(ch Change) {
			mu.Lock()
			defer mu.Unlock()
			told[ch.Crate+" "+string(ch.Kind)] = true
		})
		if err := c.DeleteVersion(t.Context(), Actor{}, "del_me", "1.0.0"); err != nil {
			t.Fatal(err)
		}
		if f, err := c.IndexFile(t.Context(), "del-me"); err != nil || strings.Contains(string(f.Text), "1.0.0") {
			t.Errorf("%s %v", f.Text, err)
		}
		if err := c.DeleteCrate(t.Context(), Actor{}, "DEL_ME", ""); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		if !told["Del-Me remove"] || !told["Del-Me remove-crate"] {
			t.Errorf("told %v", told)
		}
		mu.Unlock()
		if files := replay(t, c); len(files) != 0 {
			t.Errorf("the feed has %q", files)
		}
		for _, action := range []string{ActionDeleteVersion, ActionDeleteCrate} {
			n := 0
			for r, err := range c.Audit(t.Context(), AuditFilter{Action: action}) {
				if n++; err != nil || r.Crate != "Del-Me" {
					t.Errorf("%+v %v", r, err)
				}
			}
			if n != 1 {
				t.Errorf("%d records of %s", n, action)
			}
		}
		for _, err := range []error{c.DeleteVersion(t.Context(), Actor{}, "none", "1.0.0"), c.DeleteCrate(t.Context(), Actor{}, "del-me", "")} {
			if fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), "does not exist") {
				t.Error(err)
			}
		}
	})
}

// What was done to a version stays with whom it was done by, not with another of the name, and with the crate, not with the next of its name.
func TestVersionActions(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		now := time.Now()
		c.now = func() time.Time { return now }
		told := func(want ...string) {
			t.Helper()
			now = now.Add(time.Minute)
			actions, err := c.VersionActions(t.Context(), "demo")
			var got []string
			for _, num := range slices.Sorted(maps.Keys(actions)) {
				for _, a := range actions[num] {
					got = append(got, fmt.Sprintf("%s %s %s %d", num, a.Action, a.User, a.UserID))
				}
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%q, %v; want %q", got, err, want)
			}
		}
		yank := func(by Actor, num string, yes bool) {
			t.Helper()
			if _, err := c.SetYanked(t.Context(), by, "demo", num, &yes, nil, anyone); err != nil {
				t.Fatal(err)
			}
		}
		publishWith(t, c, "demo", "1.0.0", nil)
		publishWith(t, c, "demo", "1.1.0", nil)
		told()
		bob := func() Actor {
			t.Helper()
			u, err := c.CreateUser(t.Context(), Actor{}, User{Name: "bob", Role: "publisher"})
			if err != nil {
				t.Fatal(err)
			}
			tok, err := c.CreateToken(t.Context(), Actor{}, Token{UserName: "bob", Name: "test"}, sha256.Sum256([]byte(now.String())))
			if err != nil {
				t.Fatal(err)
			}
			return Actor{UserID: u.ID, User: "bob", Role: "publisher", TokenID: tok.ID}
		}
		first := bob()
		yank(first, "1.0.0", true)
		yank(Actor{}, "1.0.0", false)
		yank(first, "1.1.0", true)
		by := fmt.Sprint("bob ", first.UserID)
		told("1.0.0 crate.yank "+by, "1.0.0 crate.unyank crateyard 0", "1.1.0 crate.yank "+by)
		if _, err := c.DeleteUser(t.Context(), Actor{}, "bob", false); err != nil {
			t.Fatal(err)
		}
		told("1.0.0 crate.yank bob 0", "1.0.0 crate.unyank crateyard 0", "1.1.0 crate.yank bob 0")
		second := bob()
		yank(second, "1.1.0", false)
		told("1.0.0 crate.yank bob 0", "1.0.0 crate.unyank crateyard 0", "1.1.0 crate.yank bob 0", fmt.Sprint("1.1.0 crate.unyank bob ", second.UserID))
		if err := c.DeleteCrate(t.Context(), Actor{}, "demo", ""); err != nil {
			t.Fatal(err)
		}
		now = now.Add(NameBlock)
		publishWith(t, c, "demo", "2.0.0", nil)
		told()
	})
}

func TestDependenciesMustExist(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "My-Lib", "1.0.0", nil)
		publishWith(t, c, "hidden", "1.0.0", func(p *Publication) { p.Restricted = true })
		for deps, want := range map[string]string{
			"":              "",
			"My-Lib":        "",
			"app":           "", // itself, in tests
			"my_lib":        "is spelled `My-Lib`",
			"My-Lib nope x": "no known crate named `nope`",
			"hidden":        "no known crate named `hidden`",
		} {
			p := publication(t, "app", "1.0.0")
			p.Dependencies, p.By.UserID = strings.Fields(deps), 99
			missing, err := c.MissingDependencies(t.Context(), p)
			if got := strings.Join(missing, "; "); err != nil || (got == "") != (want == "") || !strings.Contains(got, want) {
				t.Errorf("%q: %q %v, want %q", deps, got, err, want)
			}
		}
		publishWith(t, c, "app", "1.0.0", func(p *Publication) { p.Dependencies = []string{"My-Lib", "My-Lib"} })
		page, total, err := c.Dependents(t.Context(), "My-Lib", 0, "", 10, 0)
		if err != nil || total != 1 || len(page) != 1 || page[0].Crate != "app" {
			t.Errorf("%+v of %d, %v", page, total, err)
		}
	})
}

// Groups own together; the last owner in person stays.
func TestGroups(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "demo", "1.0.0", nil)
		bob, err := c.CreateUser(t.Context(), Actor{}, User{Name: "bob", Role: "publisher", Groups: []string{"platform", "apps", "platform"}})
		if err != nil || strings.Join(bob.Groups, " ") != "apps platform" {
			t.Fatalf("%+v %v", bob, err)
		}
		standing := func() (s Standing) {
			t.Helper()
			_, s, err := standing(t.Context(), c.ro, "demo", bob.ID, anyone)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if s := standing(); s.Owner || s.InPerson || !s.Visible {
			t.Errorf("%+v", s)
		}
		if err := c.AddOwners(t.Context(), Actor{}, "demo", []string{"group:platform"}, anyone); err != nil {
			t.Fatal(err)
		}
		if s := standing(); !s.Owner || s.InPerson {
			t.Errorf("%+v", s)
		}
		for _, tc := range []struct{ login, want string }{
			{"platform", "the group of that name is `group:platform`"}, {"group:none", "does not exist"}, {"group:platform", "already an owner"},
		} {
			if err := c.AddOwners(t.Context(), Actor{}, "demo", []string{tc.login}, anyone); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s: %v", tc.login, err)
			}
		}
		if err := c.RemoveOwners(t.Context(), Actor{}, "demo", []string{"alice"}, anyone); err == nil || !strings.Contains(err.Error(), "individual owners") {
			t.Errorf("the last owner in person: %v", err)
		}
		if _, err := c.UpdateUser(t.Context(), Actor{}, "bob", func(u *User) error { u.Groups = nil; return nil }); err != nil {
			t.Fatal(err)
		}
		if s := standing(); s.Owner {
			t.Errorf("out of the group: %+v", s)
		}
		if err := c.DeleteGroup(t.Context(), Actor{}, "platform"); err != nil {
			t.Fatal(err)
		}
		found, err := c.Crate(t.Context(), "demo")
		if err != nil {
			t.Fatal(err)
		}
		if list, err := c.Owners(t.Context(), found.ID); err != nil || len(list) != 1 || list[0].Login() != "alice" {
			t.Errorf("%+v %v", list, err)
		}
	})
}

// A crate always has an owner, unless the last in person is deleted by force, and no group; then groups that own it stay until it has another.
func TestLastOwners(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		for _, name := range []string{"one", "two", "three", "four", "five"} {
			publishWith(t, c, name, "1.0.0", nil)
		}
		if _, err := c.CreateUser(t.Context(), Actor{}, User{Name: "bob", Role: "publisher", Groups: []string{"x", "y"}}); err != nil {
			t.Fatal(err)
		}
		remove := func(logins ...string) error {
			return c.RemoveOwners(t.Context(), Actor{}, "one", logins, anyone)
		}
		refused := func(err error, kind fault.Kind, want string) {
			t.Helper()
			if fault.KindOf(err) != kind || !strings.Contains(err.Error(), want) {
				t.Errorf("%v; want %q", err, want)
			}
		}
		if err := c.AddOwners(t.Context(), Actor{}, "one", []string{"group:x", "group:y"}, anyone); err != nil {
			t.Fatal(err)
		}
		_, err := c.DeleteUser(t.Context(), Actor{}, "alice", false)
		refused(err, fault.Conflict, "last individual owner of crates `five`, `four`, `one` and 2 more; add another owner")
		if ownerless, err := c.DeleteUser(t.Context(), Actor{}, "alice", true); err != nil || len(ownerless) != 5 {
			t.Errorf("%q, %v", ownerless, err)
		}
		refused(remove("group:x", "group:y"), fault.Invalid, "cannot remove the last owner")
		if err := remove("group:x"); err != nil {
			t.Error(err)
		}
		refused(remove("group:y"), fault.Invalid, "cannot remove the last owner")
		refused(c.DeleteGroup(t.Context(), Actor{}, "y"), fault.Conflict, "group `y` is the only owner of crate `one`;")
		if err := c.AddOwners(t.Context(), Actor{}, "one", []string{"bob"}, anyone); err != nil {
			t.Error(err)
		}
		if err := remove("group:y"); err != nil {
			t.Error(err)
		}
		refused(remove("bob"), fault.Invalid, "individual owners")
	})
}

// A restricted crate is seen by owners, readers and admins.
func TestRestricted(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "demo", "1.0.0", func(p *Publication) { p.Restricted = true })
		bob, err := c.CreateUser(t.Context(), Actor{}, User{Name: "bob", Role: "reader", Groups: []string{"qa"}})
		if err != nil {
			t.Fatal(err)
		}
		found, err := c.Crate(t.Context(), "demo")
		if err != nil || !found.Restricted {
			t.Fatalf("%+v %v", found, err)
		}
		see := func(userID int64, role string, want bool) {
			t.Helper()
			if got, err := c.MaySee(t.Context(), found.ID, userID, role); err != nil || got != want {
				t.Errorf("user %d, %s: %v %v", userID, role, got, err)
			}
		}
		see(0, "", false)
		see(bob.ID, "reader", false)
		see(bob.ID, "admin", true)
		see(1, "publisher", true) // alice
		for _, readers := range [][]string{{"bob"}, {"group:qa", "group:qa"}} {
			a, err := c.SetAccess(t.Context(), Actor{}, "demo", nil, &readers, anyone)
			if err != nil || !a.Restricted || len(a.Readers) != 1 {
				t.Errorf("%+v %v", a, err)
			}
			see(bob.ID, "reader", true)
		}
		none := []string{}
		if _, err := c.SetAccess(t.Context(), Actor{}, "demo", nil, &none, anyone); err != nil {
			t.Fatal(err)
		}
		see(bob.ID, "reader", false)
	})
}

// What nobody may know of is not in the sum of downloads, either.
func TestVisibleDownloads(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "open", "1.0.0", nil)
		publishWith(t, c, "secret", "1.0.0", func(p *Publication) { p.Restricted = true })
		publishWith(t, c, "gone", "1.0.0", nil)
		if err := c.AddDownloads(t.Context(), map[int64]int64{1: 3, 2: 40, 3: 500}); err != nil {
			t.Fatal(err)
		}
		if err := c.DeleteCrate(t.Context(), Actor{}, "gone", ""); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			user int64
			role string
			want int64
		}{{0, "", 503}, {99, "publisher", 503}, {1, "publisher", 543}, {0, "admin", 543}} {
			if n, err := c.VisibleDownloads(t.Context(), tc.user, tc.role); err != nil || n != tc.want {
				t.Errorf("user %d, %s: %d, %v; want %d", tc.user, tc.role, n, err, tc.want)
			}
		}
	})
}

func TestDailyDownloads(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		now := time.Now()
		c.now = func() time.Time { return now }
		publishWith(t, c, "demo", "1.0.0", nil)
		for range 2 {
			if err := c.AddDownloads(t.Context(), map[int64]int64{1: 3}); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(24 * time.Hour)
		if err := c.AddDownloads(t.Context(), map[int64]int64{1: 1}); err != nil {
			t.Fatal(err)
		}
		days, err := c.DailyDownloads(t.Context(), 1, 0, time.Time{})
		if err != nil || len(days) != 2 || days[0].Downloads != 6 || days[1].Downloads != 1 || days[1].Day != days[0].Day+1 {
			t.Errorf("%+v %v", days, err)
		}
		if days, err = c.DailyDownloads(t.Context(), 1, 0, now.Add(-24*time.Hour)); err != nil || len(days) != 1 || days[0].Downloads != 6 {
			t.Errorf("until the first day: %+v %v", days, err)
		}
		now = now.Add(recentDays * 24 * time.Hour)
		if n, err := c.RecentDownloads(t.Context(), 1); err != nil || n != 0 {
			t.Errorf("%d recent downloads, %v", n, err)
		}
		if found, err := c.Crate(t.Context(), "demo"); err != nil || found.Downloads != 7 {
			t.Errorf("%+v %v", found, err)
		}
	})
}

func ptr[T any](v T) *T { return &v }
