package auth

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
)

func TestMay(t *testing.T) {
	for name, tc := range map[string]struct {
		p     *Principal
		scope Scope
		crate string
		want  bool
	}{
		"nobody":                      {nil, ScopeRead, "", false},
		"reader reads":                {&Principal{Role: Reader}, ScopeRead, "a", true},
		"reader publishes":            {&Principal{Role: Reader}, ScopePublishNew, "a", false},
		"publisher publishes":         {&Principal{Role: Publisher}, ScopePublishNew, "a", true},
		"publisher manages":           {&Principal{Role: Publisher}, ScopeAdmin, "", false},
		"admin manages":               {&Principal{Role: Admin}, ScopeAdmin, "", true},
		"patterns keep from managing": {&Principal{Role: Admin, crates: []string{"*"}}, ScopeAdmin, "", false},
		"scope that is missing":       {&Principal{Role: Admin, scopes: []Scope{ScopeYank}}, ScopeAdmin, "", false},
		"every scope reads":           {&Principal{Role: Publisher, scopes: []Scope{ScopeYank}, crates: []string{"b"}}, ScopeRead, "a", true},
		"scope beyond the role":       {&Principal{Role: Reader, scopes: []Scope{ScopePublishNew}}, ScopePublishNew, "a", false},
		"pattern fits":                {&Principal{Role: Publisher, crates: []string{"b", "acme-*"}}, ScopeYank, "acme-x", true},
		"pattern is a prefix only":    {&Principal{Role: Publisher, crates: []string{"acme-*"}}, ScopeYank, "my-acme-x", false},
		"name is no prefix":           {&Principal{Role: Publisher, crates: []string{"acme"}}, ScopeYank, "acme2", false},
		"everything":                  {&Principal{Role: Publisher, crates: []string{"*"}}, ScopeYank, "a", true},
		"unknown role":                {&Principal{Role: "odd"}, ScopeRead, "a", false},
		"no crate in particular yet":  {&Principal{Role: Publisher, crates: []string{"acme"}}, ScopePublishNew, "", true},
	} {
		if got := tc.p.May(tc.scope, tc.crate); got != tc.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFromHeader(t *testing.T) {
	for header, want := range map[string]string{"cy_x": "cy_x", "Bearer cy_x": "cy_x", "bearer  cy_x ": "cy_x", "Basic cy_x": "Basic cy_x", "Bearer ": "Bearer", "": ""} {
		if got := FromHeader(header); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
	}
}

func TestNewToken(t *testing.T) {
	a, b := NewToken(), NewToken()
	if a == b || !strings.HasPrefix(a, TokenPrefix) || len(a) != len(TokenPrefix)+43 || CheckAdminToken(a) != nil {
		t.Errorf("%q %q", a, b)
	}
	for _, weak := range []string{"", "short", strings.Repeat("x", 31), strings.Repeat("x", 40) + " ", strings.Repeat("é", 40)} {
		if CheckAdminToken(weak) == nil {
			t.Errorf("%q passes", weak)
		}
	}
}

// fakeTokens is a catalog that can be made to fail, which a real one cannot.
type fakeTokens struct {
	token catalog.Token
	user  catalog.User
	err   error
	asked int
}

func (f *fakeTokens) TokenByHash(context.Context, [32]byte) (catalog.Token, catalog.User, error) {
	f.asked++
	return f.token, f.user, f.err
}

func TestAuthenticate(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	end := now.Add(CacheFor / 2)
	f := &fakeTokens{token: catalog.Token{ID: 7, ExpiresAt: &end}, user: catalog.User{ID: 1, Name: "alice", Role: "publisher"}}
	a := NewAuthenticator(f)
	a.now = func() time.Time { return now }
	want := func(kind fault.Kind, asked int) {
		t.Helper()
		p, err := a.Authenticate(t.Context(), "token")
		if (err != nil) != (kind != fault.Internal) || err != nil && fault.KindOf(err) != kind || err == nil && p.User != "alice" || f.asked != asked {
			t.Errorf("%+v %v after %d questions; want kind %d after %d", p, err, f.asked, kind, asked)
		}
	}
	want(0, 1)
	want(0, 1) // believed
	now = now.Add(CacheFor * 6 / 10)
	want(fault.Unauthenticated, 1) // its end is not a matter of belief
	f.token.ExpiresAt = nil
	now = now.Add(CacheFor)
	want(0, 2)
	f.user.Suspended = true
	a.Forget()
	want(fault.Forbidden, 3)
	f.err = fault.New(fault.NotFound, "gone")
	want(fault.Unauthenticated, 4)
	f.err = errors.New("disk on fire")
	if _, err := a.Authenticate(t.Context(), "token"); err == nil || fault.KindOf(err) != fault.Internal {
		t.Errorf("a catalog that fails: %v", err)
	}
	if used := a.TakeUsed(); len(used) != 1 || used[7].IsZero() || len(a.TakeUsed()) != 0 {
		t.Errorf("used: %v", used)
	}
}

// A refusal says what the token lacks, and how to have it.
func TestRequireSaysWhatToDo(t *testing.T) {
	for want, tt := range map[string]struct {
		p     *Principal
		scope Scope
		crate string
	}{
		"lacks the scope yank; ask an administrator for one that has it (crateyard token create --user ci --scope yank)": {&Principal{User: "ci", Role: Publisher, scopes: []Scope{ScopePublishUpdate}}, ScopeYank, "a"},
		"its crate patterns leave it out, they are acme-*, b; ask an administrator":                                      {&Principal{User: "ci", Role: Publisher, crates: []string{"acme-*", "b"}}, ScopeYank, "a"},
		"use a token without crate patterns": {&Principal{User: "root", Role: Admin, crates: []string{"*"}}, ScopeAdmin, ""},
	} {
		if err := Require(tt.p, tt.scope, tt.crate); err == nil || fault.KindOf(err) != fault.Forbidden || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
	a := NewAuthenticator(&fakeTokens{err: fault.New(fault.NotFound, "gone")})
	if _, err := a.Authenticate(t.Context(), "token"); err == nil || !strings.Contains(err.Error(), "/me of this registry says how to get one") {
		t.Error(err)
	}
}
