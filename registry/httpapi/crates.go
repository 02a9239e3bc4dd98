package httpapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
)

// ok is what cargo needs to read after a change. ok:false would make it panic, so failures never use this shape; msg is
// required when owners change, though the cargo book calls it ignored.
type ok struct {
	OK  bool   `json:"ok"`
	Msg string `json:"msg,omitempty"`
}

func (a *API) serveYank(yank bool) handler {
	return func(w *response, r *http.Request) error {
		name, num := r.PathValue("crate"), r.PathValue("version")
		err := a.Catalog.SetYanked(r.Context(), name, num, yank, w.principal.UserID, func(s catalog.Standing) error {
			return auth.AllowChange(w.principal, auth.ScopeYank, name, s)
		})
		if err != nil {
			return err
		}
		a.Log.Info("Changed yank", "request", w.requestID, "crate", name, "version", num, "yanked", yank, "user", w.principal.User)
		return w.json(http.StatusOK, ok{OK: true})
	}
}

// serveOwners lists owners. id is a u32 to cargo; name is what it shows beside the login.
func (a *API) serveOwners(w *response, r *http.Request) error {
	users, err := a.Catalog.Owners(r.Context(), r.PathValue("crate"))
	if err != nil {
		return err
	}
	type owner struct {
		ID    int64   `json:"id"`
		Login string  `json:"login"`
		Name  *string `json:"name"`
	}
	list := make([]owner, 0, len(users))
	for _, u := range users {
		list = append(list, owner{ID: u.ID, Login: u.Name})
	}
	return w.json(http.StatusOK, map[string]any{"users": list})
}

// maxLogins bounds how many owners one request may change, as on crates.io.
const maxLogins = 10

func (a *API) serveAddOwners(w *response, r *http.Request) error {
	return a.changeOwners(w, r, a.Catalog.AddOwners, "added as an owner of")
}

func (a *API) serveRemoveOwners(w *response, r *http.Request) error {
	return a.changeOwners(w, r, a.Catalog.RemoveOwners, "removed from the owners of")
}

func (a *API) changeOwners(w *response, r *http.Request, change func(context.Context, string, []string, int64, func(catalog.Standing) error) error, done string) error {
	name := r.PathValue("crate")
	var body struct {
		Users []string `json:"users"`
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if len(body.Users) == 0 || len(body.Users) > maxLogins {
		return fault.New(fault.Invalid, "name 1 to %d users, not %d", maxLogins, len(body.Users))
	}
	err := change(r.Context(), name, body.Users, w.principal.UserID, func(s catalog.Standing) error {
		return auth.AllowChange(w.principal, auth.ScopeChangeOwners, name, s)
	})
	if err != nil {
		return err
	}
	msg := fmt.Sprintf("%s %s crate %s", strings.Join(body.Users, ", "), done, name)
	a.Log.Info("Changed owners", "request", w.requestID, "crate", name, "users", body.Users, "change", done, "user", w.principal.User)
	return w.json(http.StatusOK, ok{OK: true, Msg: msg})
}

// The page of a search: cargo asks for 10 by default and for 100 at most.
const (
	defaultPage = 10
	maxPage     = 100
)

func (a *API) serveSearch(w *response, r *http.Request) error {
	q := r.URL.Query()
	perPage, err := number(q.Get("per_page"), "per_page", defaultPage, maxPage)
	if err != nil {
		return err
	}
	page, err := number(q.Get("page"), "page", 1, 1_000_000)
	if err != nil {
		return err
	}
	text := q.Get("q")
	if len(text) > 200 {
		return fault.New(fault.Invalid, "the search text has %d bytes, the limit is 200", len(text))
	}
	found, total, err := a.Catalog.Search(r.Context(), text, perPage, (page-1)*perPage)
	if err != nil {
		return err
	}
	type hit struct {
		ID          string `json:"id"`
		Name        string `json:"name"`
		MaxVersion  string `json:"max_version"`
		Description string `json:"description"`
		Downloads   int64  `json:"downloads"`
	}
	hits := make([]hit, 0, len(found))
	for _, c := range found {
		hits = append(hits, hit{ID: c.Name, Name: c.Name, MaxVersion: c.MaxVersion, Description: c.Description, Downloads: c.Downloads})
	}
	return w.json(http.StatusOK, map[string]any{"crates": hits, "meta": map[string]int{"total": total}})
}

func number(s, name string, missing, most int) (int, error) {
	if s == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > most {
		return 0, fault.New(fault.Invalid, "%s must be a number from 1 to %d", name, most)
	}
	return n, nil
}

// maxBody bounds the JSON body of every request but a publish.
const maxBody = 64 << 10

// readJSON reads a JSON body whole; a DELETE may have one, too. Unknown fields are refused where a typing mistake could
// widen a right.
func readJSON(r *http.Request, into any) error {
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return fault.Wrap(fault.Invalid, err, "the request's body was cut off")
	}
	if len(data) > maxBody {
		return fault.New(fault.TooLarge, "the request's body has more than %d bytes", maxBody)
	}
	dec := json.NewDecoder(strings.NewReader(string(data)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fault.New(fault.Invalid, "the request's body is not the JSON expected here: %v", err)
	}
	return nil
}
