package catalog

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/crate"
)

// publishWith publishes for alice, with details.
func publishWith(t *testing.T, c *Catalog, name, num string, edit func(*Publication)) {
	t.Helper()
	v, err := crate.ParseVersion(num)
	if err != nil {
		t.Fatal(err)
	}
	u, err := c.User(t.Context(), "alice")
	if err != nil {
		if u, err = c.CreateUser(t.Context(), Actor{}, User{Name: "alice", Role: "publisher"}); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := c.CreateToken(t.Context(), Actor{}, Token{UserName: "alice", Name: "test"}, sha256.Sum256([]byte(name+num)))
	if err != nil {
		t.Fatal(err)
	}
	p := Publication{By: Actor{UserID: u.ID, User: u.Name, Role: u.Role, TokenID: tok.ID}, Name: name, Version: v, SHA256: "00",
		Line: []byte(`{"name":"` + name + `","vers":"` + num + `","yanked":false}` + "\n"), Metadata: []byte("{}")}
	if edit != nil {
		edit(&p)
	}
	if err := c.Publish(t.Context(), p, anyone); err != nil {
		t.Fatal(err)
	}
}

func publication(t *testing.T, name, num string) Publication {
	t.Helper()
	v, err := crate.ParseVersion(num)
	if err != nil {
		t.Fatal(err)
	}
	return Publication{Name: name, Version: v}
}

func describe(description string, keywords ...string) func(*Publication) {
	return func(p *Publication) { p.Details.Description, p.Details.Keywords = description, keywords }
}

func TestSearch(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "serde", "1.0.0", describe("A generic serialization framework", "serde", "no_std"))
		publishWith(t, c, "serde_json", "1.0.0", describe("A JSON file format", "JSON", "serde"))
		publishWith(t, c, "json", "1.0.0", describe("JSON for Rust: 100% fast"))
		publishWith(t, c, "uber-crate", "1.0.0", describe("Über schnell, 日本語 too"))
		publishWith(t, c, "secret", "1.0.0", func(p *Publication) { p.Restricted = true })
		if err := c.AddDownloads(t.Context(), map[int64]int64{2: 5}); err != nil { // serde_json's
			t.Fatal(err)
		}
		for _, tc := range []struct {
			q    Query
			want string
		}{
			{Query{Text: "serde"}, "serde serde_json"},      // the exact name comes first, whatever the downloads
			{Query{Text: "json"}, "json serde_json"},        // likewise
			{Query{Text: "ser"}, "serde_json serde"},        // then by downloads
			{Query{Text: "SERDE-JSON"}, "serde_json"},       // '-' and '_' alike, any case
			{Query{Text: "framework generic"}, "serde"},     // all words, in any order
			{Query{Text: "  json   format "}, "serde_json"}, // spaces do not count
			{Query{Text: "rame"}, ""},                       // the beginning of words only
			{Query{Text: "foo("}, ""}, {Query{Text: "json("}, "json serde_json"}, {Query{Text: "!json"}, "json serde_json"},
			{Query{Text: "%"}, ""}, {Query{Text: "_"}, ""}, {Query{Text: "100%"}, "json"}, {Query{Text: `"'\`}, ""},
			{Query{Text: "über"}, "uber-crate"}, {Query{Text: "ÜBER schn"}, "uber-crate"}, {Query{Text: "日本"}, "uber-crate"},
			{Query{Text: "no_std"}, "serde"}, // a keyword as it stands
			{Query{Text: "secret"}, ""}, {Query{Text: "secret", Role: "admin"}, "secret"}, {Query{Text: "secret", UserID: 1}, "secret"}, {Query{Text: "secret", UserID: 2}, ""},
			{Query{}, "serde_json json serde uber-crate"},
			{Query{Sort: "alpha"}, "json serde serde_json uber-crate"},
			{Query{Sort: "new"}, "uber-crate json serde_json serde"},
			{Query{Sort: "recent-updates"}, "uber-crate json serde_json serde"},
			{Query{Sort: "downloads"}, "serde_json json serde uber-crate"},
			{Query{Sort: "recent-downloads"}, "serde_json json serde uber-crate"},
			{Query{Keyword: "json"}, "serde_json"}, {Query{Keyword: "Serde", Sort: "alpha"}, "serde serde_json"},
			{Query{Keyword: "json", Keywords: []string{"serde"}}, "serde_json"}, {Query{Keywords: []string{"no-such", "json"}}, ""},
			{Query{Names: []string{"JSON", "serde-json", "none"}, Sort: "alpha"}, "json serde_json"}, {Query{Group: 1}, ""},
			{Query{Letter: "S", Sort: "alpha"}, "serde serde_json"},
			{Query{Owner: 1, Sort: "alpha"}, "json serde serde_json uber-crate"}, {Query{Owner: 2}, ""},
			{Query{Category: "parsing"}, ""},
			{Query{Text: strings.Repeat("json ", 50)}, "serde_json json"},
		} {
			tc.q.Limit = 100
			page, total, err := c.Search(t.Context(), tc.q)
			var names []string
			for _, found := range page {
				names = append(names, found.Name)
			}
			if got := strings.Join(names, " "); err != nil || got != tc.want || total != len(page) {
				t.Errorf("%+v: %q of %d, %v; want %q", tc.q, got, total, err, tc.want)
			}
		}
		first, total, err := c.Search(t.Context(), Query{Sort: "alpha", Limit: 2})
		if err != nil || total != 4 || len(first) != 2 {
			t.Fatalf("%v of %d, %v", first, total, err)
		}
		second, total, err := c.Search(t.Context(), Query{Sort: "alpha", Limit: 2, Offset: 2})
		if err != nil || total != 4 || len(second) != 2 || second[0].Name != "serde_json" {
			t.Errorf("%v of %d, %v", second, total, err)
		}
	})
}

// A deleted version says nothing more of its crate, and a crate without a version stands in no list until it has one again.
func TestSearchForgetsDeletedVersions(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		now := func(what, description, found string) {
			t.Helper()
			if demo, err := c.Crate(t.Context(), "demo"); err != nil || demo.Description != description {
				t.Errorf("%s: %q, %v; want %q", what, demo.Description, err, description)
			}
			var got []string
			for _, q := range []Query{{Text: "alpha"}, {Text: "beta"}, {Keyword: "kone"}, {Keyword: "ktwo"}, {Category: "cone"}, {Text: "demo"}, {}} {
				q.Limit, q.Role = 10, "admin"
				_, total, err := c.Search(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(total))
			}
			keywords, k, err := c.Keywords(t.Context(), false, 10, 0)
			if err != nil || len(keywords) != k {
				t.Fatal(err)
			}
			categories, g, err := c.Categories(t.Context(), false, 10, 0)
			if err != nil || len(categories) != g {
				t.Fatal(err)
			}
			if got := strings.Join(got, "") + fmt.Sprintf(" %d %d", k, g); got != found {
				t.Errorf("%s: found %s, want %s", what, got, found)
			}
		}
		remove := func(num string) {
			t.Helper()
			if err := c.DeleteVersion(t.Context(), Actor{}, "demo", num); err != nil {
				t.Fatal(err)
			}
		}
		publishWith(t, c, "demo", "1.0.0", func(p *Publication) {
			p.Details = Details{Description: "alpha", Keywords: []string{"Kone"}, Categories: []string{"cone"}}
		})
		publishWith(t, c, "demo", "2.0.0", describe("beta", "ktwo"))
		publishWith(t, c, "demo", "0.9.0", describe("beta", "ktwo"))
		now("published", "beta", "0101011 1 0")
		remove("2.0.0")
		now("one deleted that is not the newest", "beta", "0101011 1 0")
		remove("0.9.0")
		now("the newest deleted", "alpha", "1010111 1 1")
		if err := setYanked(t, c, "demo", "1.0.0", true); err != nil {
			t.Fatal(err)
		}
		now("all yanked", "alpha", "1010111 1 1")
		remove("1.0.0")
		now("none left", "", "0000000 0 0")
		publishWith(t, c, "demo", "3.0.0", nil)
		now("published again, with nothing to say", "", "0000011 0 0")
	})
}

// What a crate is found by is that of its newest version.
func TestSearchFollowsTheNewestVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		found := func(text string) bool {
			page, _, err := c.Search(t.Context(), Query{Text: text, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			return slices.ContainsFunc(page, func(c Crate) bool { return c.Name == "demo" })
		}
		publishWith(t, c, "demo", "1.0.0", describe("old words", "ancient"))
		publishWith(t, c, "demo", "1.1.0", describe("new text", "modern"))
		for text, want := range map[string]bool{"old": false, "ancient": false, "new": true, "modern": true, "demo": true} {
			if found(text) != want {
				t.Errorf("%q: found %v", text, !want)
			}
		}
	})
}

// A crate at 0.0.0, as who only takes a name publishes it, has a version that is not yanked.
func TestSearchUnyanked(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		publishWith(t, c, "placeholder", "0.0.0", nil)
		if page, total, err := c.Search(t.Context(), Query{Unyanked: true, Sort: "alpha", Limit: 10}); err != nil || total != 1 || page[0].Name != "placeholder" {
			t.Errorf("%v, %d, %v", page, total, err)
		}
	})
}
