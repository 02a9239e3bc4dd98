package httpapi

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

func (a *API) serveStatus(w *response, r *http.Request) error {
	n, err := a.Catalog.Counts(r.Context())
	if err != nil {
		return err
	}
	st := wire.Status{Version: a.Version, Name: a.Name, URL: a.URL, IndexURL: wire.IndexURL(a.URL),
		Crates: n.Crates, Versions: n.Versions, Users: n.Users}
	if a.Status != nil {
		if err := a.Status(r.Context(), &st); err != nil {
			return err
		}
	}
	return w.json(http.StatusOK, st)
}

func userWire(u catalog.User) wire.User {
	return wire.User{ID: u.ID, Name: u.Name, Role: u.Role, Suspended: u.Suspended, Groups: append([]string{}, u.Groups...),
		Claims: append([]string{}, u.Claims...), CreatedAt: u.CreatedAt}
}

func (a *API) serveUsers(w *response, r *http.Request) error {
	users, err := a.Catalog.Users(r.Context())
	if err != nil {
		return err
	}
	list := wire.Users{Users: make([]wire.User, 0, len(users))}
	for _, u := range users {
		list.Users = append(list.Users, userWire(u))
	}
	return w.json(http.StatusOK, list)
}

func (a *API) serveUser(w *response, r *http.Request) error {
	u, err := a.Catalog.User(r.Context(), r.PathValue("user"))
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, userWire(u))
}

func (a *API) serveCreateUser(w *response, r *http.Request) error {
	var body wire.CreateUser
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if err := auth.CheckUserName(body.Name); err != nil {
		return fault.New(fault.Invalid, "%v", err)
	}
	role, err := auth.ParseRole(body.Role)
	if err != nil {
		return fault.New(fault.Invalid, "%v", err)
	}
	if err := checkGroupsAndClaims(body.Groups, body.Claims); err != nil {
		return err
	}
	u, err := a.Catalog.CreateUser(r.Context(), a.actor(w), catalog.User{Name: body.Name, Role: string(role), Suspended: body.Suspended,
		Groups: body.Groups, Claims: body.Claims})
	if err != nil {
		return err
	}
	a.changed(w, "Created user", "name", u.Name, "role", u.Role)
	return w.json(http.StatusCreated, userWire(u))
}

// maxGroups bounds the groups of a user.
const maxGroups = 100

func checkGroupsAndClaims(groups, claims []string) error {
	if len(groups) > maxGroups || len(claims) > maxPatterns {
		return fault.New(fault.Invalid, "a user has at most %d groups and %d claims", maxGroups, maxPatterns)
	}
	for _, g := range groups {
		if err := auth.CheckGroupName(g); err != nil {
			return fault.New(fault.Invalid, "%v", err)
		}
	}
	if err := auth.CheckPatterns(claims); err != nil {
		return fault.New(fault.Invalid, "claims: %v", err)
	}
	return nil
}

func (a *API) serveUpdateUser(w *response, r *http.Request) error {
	var body wire.UpdateUser
	if err := readJSON(r, &body); err != nil {
		return err
	}
	u, err := a.Catalog.UpdateUser(r.Context(), a.actor(w), r.PathValue("user"), func(u *catalog.User) error {
		if body.Role != nil {
			role, err := auth.ParseRole(*body.Role)
			if err != nil {
				return fault.New(fault.Invalid, "%v", err)
			}
			u.Role = string(role)
		}
		if body.Suspended != nil {
			u.Suspended = *body.Suspended
		}
		if body.Groups != nil {
			u.Groups = *body.Groups
		}
		if body.Claims != nil {
			u.Claims = *body.Claims
		}
		if err := checkGroupsAndClaims(u.Groups, u.Claims); err != nil {
			return err
		}
		if u.Name == auth.BootstrapUser && (u.Role != string(auth.Admin) || u.Suspended) {
			return fault.New(fault.Forbidden, "user `%s` holds the bootstrap token and stays an admin", u.Name)
		}
		return nil
	})
	if err != nil {
		return err
	}
	a.changed(w, "Updated user", "name", u.Name, "role", u.Role, "suspended", u.Suspended)
	return w.json(http.StatusOK, userWire(u))
}

func (a *API) serveDeleteUser(w *response, r *http.Request) error {
	name := r.PathValue("user")
	if name == auth.BootstrapUser {
		return fault.New(fault.Forbidden, "user `%s` holds the bootstrap token and cannot be deleted", name)
	}
	force, err := flag(r, "force")
	if err != nil {
		return err
	}
	ownerless, err := a.Catalog.DeleteUser(r.Context(), a.actor(w), name, force)
	if err != nil {
		return err
	}
	a.changed(w, "Deleted user", "name", name, "ownerless", len(ownerless))
	return w.json(http.StatusOK, wire.DeletedUser{Ownerless: append([]string{}, ownerless...)})
}

// flag reads a part of the query that is true or false; left out, it is false.
func flag(r *http.Request, name string) (bool, error) {
	switch s := r.URL.Query().Get(name); s {
	case "true", "false", "":
		return s == "true", nil
	}
	return false, fault.New(fault.Invalid, "%s must be true or false", name)
}

func tokenWire(t catalog.Token) wire.Token {
	return wire.Token{ID: t.ID, User: t.UserName, Name: t.Name, Scopes: append([]string{}, t.Scopes...), Crates: append([]string{}, t.Crates...),
		CreatedAt: t.CreatedAt, ExpiresAt: t.ExpiresAt, LastUsedAt: t.LastUsedAt}
}

func (a *API) serveTokens(w *response, r *http.Request) error {
	tokens, err := a.Catalog.Tokens(r.Context(), r.URL.Query().Get("user"))
	if err != nil {
		return err
	}
	list := wire.Tokens{Tokens: make([]wire.Token, 0, len(tokens))}
	for _, t := range tokens {
		list.Tokens = append(list.Tokens, tokenWire(t))
	}
	return w.json(http.StatusOK, list)
}

// maxPatterns bounds the scopes and crate patterns of a token.
const maxPatterns = 100

func (a *API) serveCreateToken(w *response, r *http.Request) error {
	var body wire.CreateToken
	if err := readJSON(r, &body); err != nil {
		return err
	}
	t, secret, err := a.createToken(w, r, body, 0)
	if err != nil {
		return err
	}
	out := tokenWire(t)
	out.Secret = secret
	return w.json(http.StatusCreated, out)
}

// createToken checks and makes a token, which ends with parent where that is not 0. The answer that carries it must not stay in a cache.
func (a *API) createToken(w *response, r *http.Request, body wire.CreateToken, parent int64) (t catalog.Token, secret string, err error) {
	if len(body.Name) > 100 || len(body.Scopes) > maxPatterns || len(body.Crates) > maxPatterns {
		return t, "", fault.New(fault.Invalid, "a token has a name of at most 100 bytes and at most %d scopes and crate patterns", maxPatterns)
	}
	if body.User == auth.BootstrapUser && body.Name == auth.BootstrapToken {
		return t, "", fault.New(fault.Invalid, "the token `%s` of user `%s` is the one that the server was started with; give this one another name", body.Name, body.User)
	}
	if err := auth.CheckScopes(body.Scopes); err != nil {
		return t, "", fault.New(fault.Invalid, "%v", err)
	}
	if err := auth.CheckPatterns(body.Crates); err != nil {
		return t, "", fault.New(fault.Invalid, "%v", err)
	}
	if slices.Contains(body.Scopes, string(auth.ScopeAdmin)) {
		if len(body.Crates) > 0 {
			return t, "", fault.New(fault.Invalid, "the scope admin cannot go with crate patterns: it is for everything or for nothing")
		}
		u, err := a.Catalog.User(r.Context(), body.User)
		if err != nil {
			return t, "", err
		}
		if u.Role != string(auth.Admin) {
			return t, "", fault.New(fault.Invalid, "the scope admin needs a user of role admin, and `%s` has role %s", u.Name, u.Role)
		}
	}
	if body.ExpiresAt != nil && !body.ExpiresAt.After(time.Now()) {
		return t, "", fault.New(fault.Invalid, "expires_at %s is in the past", body.ExpiresAt.Format(time.RFC3339))
	}
	secret = auth.NewToken()
	t, err = a.Catalog.CreateToken(r.Context(), a.actor(w), catalog.Token{UserName: body.User, Name: body.Name, ParentID: parent, Scopes: body.Scopes,
		Crates: body.Crates, ExpiresAt: body.ExpiresAt}, auth.Hash(secret))
	if err != nil {
		return t, "", err
	}
	a.changed(w, "Created token", "id", t.ID, "name", t.Name, "for", t.UserName)
	w.Header().Set("Cache-Control", "no-store")
	return t, secret, nil
}

func (a *API) serveDeleteToken(w *response, r *http.Request) error {
	if err := a.deleteToken(w, r, r.PathValue("id"), ""); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleteToken revokes a token, of one user where owner is not empty. The one that the server was started with stays.
func (a *API) deleteToken(w *response, r *http.Request, number, owner string) error {
	id, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fault.New(fault.Invalid, "a token's id is a number, not %q", number)
	}
	if err := a.Catalog.DeleteToken(r.Context(), a.actor(w), id, owner, catalog.Token{UserName: auth.BootstrapUser, Name: auth.BootstrapToken}); err != nil {
		return err
	}
	a.changed(w, "Revoked token", "id", id)
	return nil
}

// changed ends a change to users or tokens: it takes hold at once, and the log says who made it.
func (a *API) changed(w *response, what string, attrs ...any) {
	a.Auth.Forget()
	a.Log.Info(what, append([]any{"request", w.requestID, "user", w.principal.User}, attrs...)...)
}
