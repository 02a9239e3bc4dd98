package auth

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
)

// CacheFor is how long the answer to a token is believed. What one server revokes is dead on the others within a second.
const CacheFor = 500 * time.Millisecond

// asymmetric begins what cargo signs with a key of its own instead of sending a token (RFC 3231).
const asymmetric = "v3.public."

// cacheMost bounds the cache; it is emptied when full, which costs one lookup for each token in use.
const cacheMost = 10_000

// Tokens is what the authenticator needs of the catalog.
type Tokens interface {
	TokenByHash(ctx context.Context, hash [32]byte) (catalog.Token, catalog.User, error)
}

// Authenticator turns tokens into principals.
type Authenticator struct {
	tokens Tokens
	now    func() time.Time

	mu    sync.RWMutex
	cache map[[32]byte]cached
	used  map[int64]time.Time // token id → last use, until TakeUsed
}

type cached struct {
	principal *Principal
	expires   *time.Time // of the token
	until     time.Time  // of the answer
}

// NewAuthenticator makes an authenticator over a catalog.
func NewAuthenticator(tokens Tokens) *Authenticator {
	return &Authenticator{tokens: tokens, now: time.Now, cache: map[[32]byte]cached{}, used: map[int64]time.Time{}}
}

// Authenticate finds who holds a token. An unknown, expired or suspended one is fault.Unauthenticated or fault.Forbidden, with
// a text that says which, for whoever holds the token may know.
func (a *Authenticator) Authenticate(ctx context.Context, token string) (*Principal, error) {
	if strings.HasPrefix(token, asymmetric) {
		return nil, fault.New(fault.Unauthenticated, "this registry takes no asymmetric tokens (credential provider cargo:paseto); use a token that it made, by `cargo login` with the provider cargo:token")
	}
	hash, now := Hash(token), a.now()
	a.mu.RLock()
	c, ok := a.cache[hash]
	a.mu.RUnlock()
	if !ok || now.After(c.until) {
		var err error
		if c, err = a.look(ctx, hash, now); err != nil {
			return nil, err
		}
	}
	if c.expires != nil && !now.Before(*c.expires) {
		return nil, fault.New(fault.Unauthenticated, "the token expired at %s; get a new one: the page /me of this registry says how", c.expires.Format(time.RFC3339))
	}
	return c.principal, nil
}

func (a *Authenticator) look(ctx context.Context, hash [32]byte, now time.Time) (cached, error) {
	t, u, err := a.tokens.TokenByHash(ctx, hash)
	if fault.KindOf(err) == fault.NotFound {
		return cached{}, fault.New(fault.Unauthenticated, "the token is not known here; it may be revoked, or belong to another registry; the page /me of this registry says how to get one")
	}
	if err != nil {
		return cached{}, err
	}
	if u.Suspended {
		return cached{}, fault.New(fault.Forbidden, "user `%s` is suspended; ask an administrator of this registry", u.Name)
	}
	c := cached{expires: t.ExpiresAt, until: now.Add(CacheFor), principal: &Principal{
		UserID: u.ID, User: u.Name, Role: Role(u.Role), TokenID: t.ID, TokenName: t.Name, expires: t.ExpiresAt, crates: t.Crates, claims: u.Claims,
	}}
	if len(t.Crates) == 0 {
		c.principal.crates = nil
	}
	for _, s := range t.Scopes {
		c.principal.scopes = append(c.principal.scopes, Scope(s))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.cache) >= cacheMost {
		clear(a.cache)
	}
	a.cache[hash] = c
	a.used[t.ID] = now
	return c, nil
}

// Forget drops all that is believed, after a change to users or tokens: it takes hold here at once.
func (a *Authenticator) Forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.cache)
}

// TakeUsed gives when which token was last used since the last call, for the catalog to keep.
func (a *Authenticator) TakeUsed() map[int64]time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	used := a.used
	a.used = map[int64]time.Time{}
	return used
}

// ReturnUsed gives back what could not be kept.
func (a *Authenticator) ReturnUsed(used map[int64]time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, at := range used {
		if at.After(a.used[id]) {
			a.used[id] = at
		}
	}
}
