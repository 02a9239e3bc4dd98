package auth

import (
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
	if s.Exists && !s.Owner && !who.IsAdmin() {
		return fault.New(fault.Forbidden, "this crate exists and you don't own it; ask an owner to run `cargo owner --add %s %s`", who.User, name)
	}
	return nil
}

// AllowChange decides whether who may yank versions (ScopeYank) or change owners (ScopeChangeOwners) of a crate.
func AllowChange(who *Principal, scope Scope, name string, s catalog.Standing) error {
	if err := Require(who, scope, name); err != nil {
		return err
	}
	if !s.Owner && !who.IsAdmin() {
		return fault.New(fault.Forbidden, "only owners of `%s` may do this, and `%s` is none", name, who.User)
	}
	return nil
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
		return fault.New(fault.Forbidden, "this token is not for crate `%s`; its crate patterns leave it out", name)
	}
	return fault.New(fault.Forbidden, "this token lacks the scope %s", scope)
}
