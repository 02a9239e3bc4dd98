package catalog

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The audit is filtered by all that a record says. A crate is found in any spelling: one that is there, one that was deleted, and one of an
// upstream.
func TestAuditFilters(t *testing.T) {
	onBoth(t, func(t *testing.T, c *Catalog) {
		now := time.Now()
		c.now = func() time.Time { return now }
		publishWith(t, c, "Del-Me", "1.0.0", func(p *Publication) { p.By.Address, p.By.TokenName = "192.0.2.1", "laptop" })
		publishWith(t, c, "del-me-2", "1.0.0", func(p *Publication) { p.By.Address = "192.0.2.2" })
		if err := c.DeleteCrate(t.Context(), Actor{}, "Del-Me", ""); err != nil {
			t.Fatal(err)
		}
		now = now.Add(NameBlock)
		publishWith(t, c, "DEL_ME", "2.0.0", nil)
		denied := func(tx *tx) ([]change, error) {
			return nil, c.audit(t.Context(), tx, Actor{}, Record{Action: ActionMirrorDeny, Crate: "Up-Stream", Version: "1.0.0"}, nil, nil)
		}
		if err := c.write(t.Context(), denied); err != nil {
			t.Fatal(err)
		}
		tokens, err := c.Tokens(t.Context(), "alice")
		if err != nil || len(tokens) != 3 {
			t.Fatalf("%+v %v", tokens, err)
		}
		const all = "DEL_ME crate.publish, Del-Me crate.delete, Del-Me crate.publish"
		for _, tc := range []struct {
			f    AuditFilter
			want string
		}{
			{AuditFilter{Crate: "Del-Me"}, all}, {AuditFilter{Crate: "del_me"}, all}, {AuditFilter{Crate: "DEL-me"}, all},
			{AuditFilter{Crate: "del"}, ""}, {AuditFilter{Crate: "%"}, ""}, {AuditFilter{Crate: "del_me_"}, ""},
			{AuditFilter{Crate: "Up-Stream"}, "Up-Stream mirror.deny"},
			{AuditFilter{Version: "2.0.0"}, "DEL_ME crate.publish"}, {AuditFilter{Crate: "del-me", Version: "1.0.0"}, "Del-Me crate.publish"},
			{AuditFilter{Token: "laptop"}, "Del-Me crate.publish"}, {AuditFilter{Token: "desktop"}, ""},
			{AuditFilter{TokenID: tokens[1].ID}, "del-me-2 crate.publish"}, {AuditFilter{TokenID: 99}, ""},
			{AuditFilter{Address: "192.0.2.2"}, "del-me-2 crate.publish"}, {AuditFilter{Address: "192.0.2.2", Token: "laptop"}, ""},
		} {
			var got []string
			for r, err := range c.Audit(t.Context(), tc.f) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, fmt.Sprint(r.Crate, " ", r.Action))
			}
			if got := strings.Join(got, ", "); got != tc.want {
				t.Errorf("%+v: %s; want %s", tc.f, got, tc.want)
			}
		}
	})
}
