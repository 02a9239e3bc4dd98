// Package auth says who may do what. A principal is a user seen through one of its tokens: the user's role sets the bounds,
// the token's scopes, crate patterns and expiry narrow them.
//
// Tokens are "cy_" and 256 random bits. Only their SHA-256 is stored; since the bits are random, a plain hash is enough and
// a lookup by it leaks nothing. What a lookup found is believed for CacheFor, so a revoked token is dead within a second.
package auth

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
)

// Role is what a user may do at most.
type Role string

// The roles, each with all that the one before may do.
const (
	Reader    Role = "reader"    // read index, crates and pages
	Publisher Role = "publisher" // publish new crates; change crates that it owns
	Admin     Role = "admin"     // everything, to every crate; users and tokens
)

// Scope is what a token may do at most.
type Scope string

// The scopes. Each of them implies ScopeRead: cargo reads the index before it publishes, with the same token.
const (
	ScopeRead          Scope = "read"
	ScopePublishNew    Scope = "publish-new"
	ScopePublishUpdate Scope = "publish-update"
	ScopeYank          Scope = "yank"
	ScopeChangeOwners  Scope = "change-owners"
	ScopeAdmin         Scope = "admin" // the management API; needs the role, too
)

var roleScopes = map[Role][]Scope{
	Reader:    {ScopeRead},
	Publisher: {ScopeRead, ScopePublishNew, ScopePublishUpdate, ScopeYank, ScopeChangeOwners},
	Admin:     {ScopeRead, ScopePublishNew, ScopePublishUpdate, ScopeYank, ScopeChangeOwners, ScopeAdmin},
}

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if _, ok := roleScopes[Role(s)]; !ok {
		return "", fmt.Errorf("unknown role %q: it must be reader, publisher or admin", s)
	}
	return Role(s), nil
}

// Has reports whether the role holds a right at all, whatever a token narrows.
func (r Role) Has(scope Scope) bool { return slices.Contains(roleScopes[r], scope) }

// CheckScopes reports the first scope that does not exist.
func CheckScopes(scopes []string) error {
	for _, s := range scopes {
		if !slices.Contains(roleScopes[Admin], Scope(s)) {
			return fmt.Errorf("unknown scope %q: scopes are read, publish-new, publish-update, yank, change-owners and admin", s)
		}
	}
	return nil
}

// CheckPatterns reports the first crate pattern that is none: a crate name, or the beginning of one with '*' behind it.
func CheckPatterns(patterns []string) error {
	for _, p := range patterns {
		name := strings.TrimSuffix(p, "*")
		if len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" || p == "" {
			return fmt.Errorf("invalid crate pattern %q: it is a crate name, or the beginning of one followed by '*'", p)
		}
	}
	return nil
}

// CheckGroupName reports why name cannot name a group; the rules are those of users.
func CheckGroupName(name string) error {
	if err := CheckUserName(name); err != nil {
		return fmt.Errorf("invalid group name %q: it is at most 253 letters, digits, '.', '_' and '-', the first a letter or digit", name)
	}
	return nil
}

// CheckUserName reports why name cannot name a user: it stands in addresses and on command lines.
func CheckUserName(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	if name == "" || len(name) > 253 || strings.Trim(name, letters+"._-") != "" || !strings.ContainsRune(letters, rune(name[0])) {
		return fmt.Errorf("invalid user name %q: it is at most 253 letters, digits, '.', '_' and '-', the first a letter or digit", name)
	}
	return nil
}

// Principal is who makes a request.
type Principal struct {
	UserID    int64
	User      string
	Role      Role
	TokenID   int64
	TokenName string
	expires   *time.Time // of the token; nil: never
	scopes    []Scope    // nil: all of the role
	crates    []string   // nil: every crate
	claims    []string   // nil: any name for a new crate
}

// Actor is the principal as the catalog knows it; address is the client's. A nil principal is nobody.
func (p *Principal) Actor(address string) catalog.Actor {
	if p == nil {
		return catalog.Actor{User: "anonymous", Address: address}
	}
	return catalog.Actor{UserID: p.UserID, User: p.User, Role: string(p.Role), TokenID: p.TokenID, TokenName: p.TokenName, Address: address}
}

// MayClaim reports whether the principal may give a new crate this name.
func (p *Principal) MayClaim(crate string) bool {
	return p.IsAdmin() || len(p.claims) == 0 || matches(p.claims, crate)
}

// matches reports whether one of the patterns fits: a name, or the beginning of names with '*' behind it.
func matches(patterns []string, crate string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
			return strings.HasPrefix(crate, prefix)
		}
		return pattern == crate
	})
}

// IsNarrowed reports whether the principal's token may do less than its user, or ends by itself.
func (p *Principal) IsNarrowed() bool { return p.scopes != nil || p.crates != nil || p.expires != nil }

// CheckNarrower reports why a token with these scopes, crate patterns and end could do more than the principal's own, whose
// holder makes it; nil when it could not.
func (p *Principal) CheckNarrower(scopes, crates []string, expires *time.Time) error {
	if p.scopes != nil && (len(scopes) == 0 || slices.ContainsFunc(scopes, func(s string) bool { return !slices.Contains(p.scopes, Scope(s)) })) {
		return fmt.Errorf("the token that asks has the scopes %v only; a new one must name some of these", p.scopes)
	}
	if p.crates != nil && (len(crates) == 0 || slices.ContainsFunc(crates, func(c string) bool { return !matches(p.crates, c) })) {
		return fmt.Errorf("the token that asks is for the crates %v only; a new one must name some of these", p.crates)
	}
	if p.expires != nil && (expires == nil || expires.After(*p.expires)) {
		return fmt.Errorf("the token that asks ends at %s; a new one must not live longer", p.expires.Format(time.RFC3339))
	}
	return nil
}

// May reports whether the principal may use scope on a crate; an empty crate name means none in particular.
func (p *Principal) May(scope Scope, crate string) bool {
	if p == nil || !p.Role.Has(scope) {
		return false
	}
	if p.scopes != nil && scope != ScopeRead && !slices.Contains(p.scopes, scope) {
		return false
	}
	if scope == ScopeAdmin { // a token for some crates must not be able to make one for all
		return p.crates == nil
	}
	return scope == ScopeRead || crate == "" || p.crates == nil || matches(p.crates, crate)
}

// IsAdmin reports whether the principal's role lets it act on crates that it does not own.
func (p *Principal) IsAdmin() bool { return p != nil && p.Role == Admin }

// BootstrapUser is the admin that exists from the first start on. Its token named BootstrapToken is the one that the
// administrator gave the server, and the only way in that does not need another admin.
const (
	BootstrapUser  = "admin"
	BootstrapToken = "bootstrap"
)
