package httpapi

import (
	"net/http"
	"strconv"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// serveMe says whose token the request carries.
func (a *API) serveMe(w *response, r *http.Request) error {
	owned, _, err := a.Catalog.Search(r.Context(), catalog.Query{Owner: w.principal.UserID, Sort: "alpha", Limit: 1000,
		UserID: w.principal.UserID, Role: string(w.principal.Role)})
	if err != nil {
		return err
	}
	type crateRef struct {
		ID                 int64  `json:"id"`
		Name               string `json:"name"`
		EmailNotifications bool   `json:"email_notifications"`
	}
	crates := make([]crateRef, 0, len(owned))
	for _, c := range owned {
		crates = append(crates, crateRef{ID: c.ID, Name: c.Name})
	}
	u := a.person(catalog.Owner{ID: w.principal.UserID, Name: w.principal.User})
	return w.json(http.StatusOK, object{"user": u, "role": w.principal.Role, "owned_crates": crates})
}

// apiToken is a token in the shape of crates.io.
type apiToken struct {
	ID             int64      `json:"id"`
	Name           string     `json:"name"`
	Token          string     `json:"token,omitempty"`
	CreatedAt      time.Time  `json:"created_at"`
	LastUsedAt     *time.Time `json:"last_used_at"`
	CrateScopes    []string   `json:"crate_scopes"`    // patterns; null: every crate
	EndpointScopes []string   `json:"endpoint_scopes"` // null: all that the role allows
	ExpiredAt      *time.Time `json:"expired_at"`      // when it ends or ended
}

func newAPIToken(t catalog.Token) apiToken {
	out := apiToken{ID: t.ID, Name: t.Name, CreatedAt: t.CreatedAt, LastUsedAt: t.LastUsedAt, ExpiredAt: t.ExpiresAt}
	if len(t.Crates) > 0 {
		out.CrateScopes = t.Crates
	}
	if len(t.Scopes) > 0 {
		out.EndpointScopes = t.Scopes
	}
	return out
}

func (a *API) serveMyTokens(w *response, r *http.Request) error {
	tokens, err := a.Catalog.Tokens(r.Context(), w.principal.User)
	if err != nil {
		return err
	}
	list := make([]apiToken, 0, len(tokens))
	for _, t := range tokens {
		list = append(list, newAPIToken(t))
	}
	return w.json(http.StatusOK, object{"api_tokens": list})
}

func (a *API) serveMyToken(w *response, r *http.Request) error {
	tokens, err := a.Catalog.Tokens(r.Context(), w.principal.User)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if strconv.FormatInt(t.ID, 10) == r.PathValue("id") {
			return w.json(http.StatusOK, object{"api_token": newAPIToken(t)})
		}
	}
	return fault.New(fault.NotFound, "you have no token %s", r.PathValue("id"))
}

// serveCreateMyToken makes a token for whoever asks, which can do no more than the one that asks, and is revoked with it.
func (a *API) serveCreateMyToken(w *response, r *http.Request) error {
	var body struct {
		APIToken struct {
			Name           string     `json:"name"`
			CrateScopes    []string   `json:"crate_scopes"`
			EndpointScopes []string   `json:"endpoint_scopes"`
			ExpiredAt      *time.Time `json:"expired_at"`
		} `json:"api_token"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	t := body.APIToken
	if t.Name == "" {
		return fault.New(fault.Invalid, "api_token.name: a token needs a name, so that its owner knows it again")
	}
	if err := w.principal.CheckNarrower(t.EndpointScopes, t.CrateScopes, t.ExpiredAt); err != nil {
		return fault.New(fault.Forbidden, "%v", err)
	}
	made, secret, err := a.createToken(w, r, wire.CreateToken{User: w.principal.User, Name: t.Name, Scopes: t.EndpointScopes, Crates: t.CrateScopes, ExpiresAt: t.ExpiredAt}, w.principal.TokenID)
	if err != nil {
		return err
	}
	out := newAPIToken(made)
	out.Token = secret
	return w.json(http.StatusOK, object{"api_token": out})
}

// serveDeleteMyToken revokes a token of whoever asks: any of them with a token that nothing narrows, itself alone with another. A
// token for one job that leaked must not be able to lock its owner out.
func (a *API) serveDeleteMyToken(w *response, r *http.Request) error {
	if w.principal.IsNarrowed() && r.PathValue("id") != strconv.FormatInt(w.principal.TokenID, 10) {
		return fault.New(fault.Forbidden, "a token with scopes, crate patterns or an end can revoke no other than itself")
	}
	if err := a.deleteToken(w, r, r.PathValue("id"), w.principal.User); err != nil {
		return err
	}
	return w.json(http.StatusOK, object{})
}

// serveDeleteCurrentToken has a token revoke itself, as a CI job does at its end.
func (a *API) serveDeleteCurrentToken(w *response, r *http.Request) error {
	if w.principal.User == auth.BootstrapUser && w.principal.TokenName == auth.BootstrapToken {
		return fault.New(fault.Forbidden, "the token that the server was started with cannot revoke itself; change the admin token and restart the server")
	}
	if err := a.deleteToken(w, r, strconv.FormatInt(w.principal.TokenID, 10), w.principal.User); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
