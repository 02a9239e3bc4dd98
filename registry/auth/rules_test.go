package auth

import (
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
)

// Who is no owner learns whom to ask.
func TestWhoIsNoOwnerLearnsWhomToAsk(t *testing.T) {
	bob := &Principal{User: "bob", Role: Publisher}
	for owners, want := range map[string]string{
		"":                     "none; it has no owner, so ask an administrator of this registry",
		"alice":                "none; ask the one that it has: alice",
		"alice,group:platform": "none; ask one of them: alice, group:platform",
		"a,b,c,d,e":            "none; ask one of them: a, b, c, d, e",
		"a,b,c,d,e,f,g":        "none; ask one of them: a, b, c, d, e and 2 more",
	} {
		s := catalog.Standing{Name: "demo", Exists: true, Visible: true}
		if owners != "" {
			s.Owners = strings.Split(owners, ",")
		}
		if err := AllowChange(bob, ScopeYank, "demo", s); fault.KindOf(err) != fault.Forbidden || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", owners, err)
		}
	}
}
