package auth

import (
	"fmt"
	"strings"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
)

// AllowPublish decides whether who may publish a crate, given how the two stand.
func AllowPublish(who *Principal, name string, s catalog.Standing) error {
	scope := ScopePublishNew
	if s.Exists {
		scope = ScopePublishUpdate
	}
	if err := Require(who, scope, name); err != nil {
		return err
	}
	switch {
	case !s.Exists && !who.MayClaim(name):
		return fault.New(fault.Forbidden, "user `%s` may make new crates only under the names %s; ask an administrator of this registry", who.User, strings.Join(who.claims, ", "))
	case s.Exists && !s.Visible && !who.IsAdmin():
		return fault.New(fault.Forbidden, "the name `%s` is taken by a crate that you cannot see; choose another", name)
	case s.Exists && !s.Owner && !who.IsAdmin():
		return fault.New(fault.Forbidden, "this crate exists and you don't own it; ask an owner to run `cargo owner --registry REGISTRY --add %s %s`", who.User, name)
	}
	return nil
}

// AllowChange decides whether who may yank versions (ScopeYank), or change owners and access (ScopeChangeOwners), of a crate. Who
// owns it through a group may do the first and not the second, as on crates.io. Who may not see it does not learn that it exists,
// nor how it is spelled: name is what was asked for, and the token's patterns are held against the crate's own name.
func AllowChange(who *Principal, scope Scope, name string, s catalog.Standing) error {
	if !s.Visible && !who.IsAdmin() {
		return fault.New(fault.NotFound, "crate `%s` does not exist", name)
	}
	name = s.Name
	if who.IsAdmin() {
		return Require(who, scope, name)
	}
	if err := Require(who, scope, name); err != nil {
		return err
	}
	switch {
	case scope == ScopeChangeOwners && s.Owner && !s.InPerson:
		return fault.New(fault.Forbidden, "only owners in person of `%s` may do this; `%s` owns it through a group", name, who.User)
	case !s.Owner:
		return fault.New(fault.Forbidden, "only owners of `%s` may do this, and `%s` is none; %s", name, who.User, askOwners(s.Owners))
	}
	return nil
}

// askOwners says whom to ask, of many owners the first.
func askOwners(owners []string) string {
	const most = 5
	switch more := len(owners) - most; {
	case len(owners) == 0:
		return "it has no owner, so ask an administrator of this registry"
	case more > 0:
		return fmt.Sprintf("ask one of them: %s and %d more", strings.Join(owners[:most], ", "), more)
	case len(owners) == 1:
		return "ask the one that it has: " + owners[0]
	}
	return "ask one of them: " + strings.Join(owners, ", ")
}

// Require reports why who may not use scope on a crate, role before token.
func Require(who *Principal, scope Scope, name string) error {
	switch {
	case who.May(scope, name):
		return nil
	case who == nil:
		return fault.New(fault.Unauthenticated, "this needs a token; run `cargo login`")
	case !who.Role.Has(scope):
		return fault.New(fault.Forbidden, "user `%s` has role %s, which lacks the right %s; ask an administrator of this registry", who.User, who.Role, scope)
	case name != "" && who.May(scope, ""):
		return fault.New(fault.Forbidden, "this token is not for crate `%s`; its crate patterns leave it out, they are %s; ask an administrator for another (crateyard token create --user %s --crates …)",
			name, strings.Join(who.crates, ", "), who.User)
	case scope == ScopeAdmin && who.crates != nil:
		return fault.New(fault.Forbidden, "this token is for some crates only, and the scope %s is for everything or for nothing; use a token without crate patterns", scope)
	}
	return fault.New(fault.Forbidden, "this token lacks the scope %s; ask an administrator for one that has it (crateyard token create --user %s --scope %s)", scope, who.User, scope)
}
