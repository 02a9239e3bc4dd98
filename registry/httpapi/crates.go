package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

// ok is what cargo needs to read after a change. ok:false would make it panic, so failures never use this shape; msg is
// required when owners change, though the cargo book calls it ignored.
type ok struct {
	OK  bool   `json:"ok"`
	Msg string `json:"msg,omitempty"`
}

func (a *API) serveYank(yank bool) handler {
	return func(w *response, r *http.Request) error {
		if err := a.setYanked(w, r, &yank, nil); err != nil {
			return err
		}
		return w.json(http.StatusOK, ok{OK: true})
	}
}

func (a *API) setYanked(w *response, r *http.Request, yank *bool, message *string) error {
	name, num := r.PathValue("crate"), r.PathValue("version")
	var giveBack func() // of what the limit took
	changed, err := a.Catalog.SetYanked(r.Context(), a.actor(w), name, num, yank, message, func(s catalog.Standing) error {
		err := auth.AllowChange(w.principal, auth.ScopeYank, name, s)
		if err == nil && giveBack == nil {
			giveBack, err = a.Limits.yank(w.principal, w.address)
		}
		return err
	})
	if giveBack != nil && !changed { // it was refused, or was so before
		giveBack()
	}
	if err == nil {
		a.Log.Info("Changed yank", "request", w.requestID, "crate", name, "version", num, "user", w.principal.User)
	}
	return err
}

// maxYankMessage bounds what is said about a yanked version, in bytes.
const maxYankMessage = 1000

// servePatchVersion yanks or unyanks with a message for people, as crates.io's pages do.
func (a *API) servePatchVersion(w *response, r *http.Request) error {
	var body wire.UpdateVersion
	if err := readJSON(r, &body); err != nil {
		return err
	}
	v := body.Version
	switch {
	case v.YankMessage != nil && len(*v.YankMessage) > maxYankMessage:
		return fault.New(fault.Invalid, "yank_message has %d bytes, the limit is %d", len(*v.YankMessage), maxYankMessage)
	case v.YankMessage != nil && *v.YankMessage != "" && v.Yanked != nil && !*v.Yanked:
		return fault.New(fault.Invalid, "a version that is not yanked has no yank_message")
	}
	if err := a.setYanked(w, r, v.Yanked, v.YankMessage); err != nil {
		return err
	}
	return a.serveVersion(w, r)
}

func (a *API) serveDeleteVersion(w *response, r *http.Request) error {
	name, num := r.PathValue("crate"), r.PathValue("version")
	if err := a.Catalog.DeleteVersion(r.Context(), a.actor(w), name, num); err != nil {
		return err
	}
	a.Log.Info("Deleted version", "request", w.requestID, "crate", name, "version", num, "user", w.principal.User)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) serveDeleteCrate(w *response, r *http.Request) error {
	name, message := r.PathValue("crate"), r.URL.Query().Get("message")
	if len(message) > maxYankMessage {
		return fault.New(fault.Invalid, "message has %d bytes, the limit is %d", len(message), maxYankMessage)
	}
	if err := a.Catalog.DeleteCrate(r.Context(), a.actor(w), name, message); err != nil {
		return err
	}
	a.Log.Info("Deleted crate", "request", w.requestID, "crate", name, "user", w.principal.User)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// actor is who makes the change of a request, for the catalog.
func (a *API) actor(w *response) catalog.Actor { return w.principal.Actor(w.address) }

// serveOwners lists owners. id is a u32 to cargo; name is what it shows beside the login.
func (a *API) serveOwners(w *response, r *http.Request) error {
	return a.listOwners(w, r, "users", func(catalog.Owner) bool { return true })
}

func (a *API) serveOwnerUsers(w *response, r *http.Request) error {
	return a.listOwners(w, r, "users", func(o catalog.Owner) bool { return !o.Group })
}

func (a *API) serveOwnerTeams(w *response, r *http.Request) error {
	return a.listOwners(w, r, "teams", func(o catalog.Owner) bool { return o.Group })
}

func (a *API) listOwners(w *response, r *http.Request, key string, choose func(catalog.Owner) bool) error {
	found, err := a.crate(w, r)
	if err != nil {
		return err
	}
	owners, err := a.Catalog.Owners(r.Context(), found.ID)
	if err != nil {
		return err
	}
	list := make([]personShape, 0, len(owners))
	for _, o := range owners {
		if choose(o) {
			list = append(list, a.person(o))
		}
	}
	return w.json(http.StatusOK, object{key: list})
}

// maxLogins bounds how many owners one request may change, as on crates.io.
const maxLogins = 10

func (a *API) serveAddOwners(w *response, r *http.Request) error {
	return a.changeOwners(w, r, a.Catalog.AddOwners, "added as an owner of")
}

func (a *API) serveRemoveOwners(w *response, r *http.Request) error {
	return a.changeOwners(w, r, a.Catalog.RemoveOwners, "removed from the owners of")
}

func (a *API) changeOwners(w *response, r *http.Request, change func(context.Context, catalog.Actor, string, []string, func(catalog.Standing) error) error, done string) error {
	name := r.PathValue("crate")
	var body struct {
		Users  []string `json:"users"`  // cargo's key
		Owners []string `json:"owners"` // that of crates.io's pages, and of tools made for them
	}
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.Users != nil && body.Owners != nil {
		return fault.New(fault.Invalid, "users and owners are the same; say one of them")
	}
	body.Users = append(body.Users, body.Owners...)
	if len(body.Users) == 0 || len(body.Users) > maxLogins {
		return fault.New(fault.Invalid, "name 1 to %d users, not %d", maxLogins, len(body.Users))
	}
	err := change(r.Context(), a.actor(w), name, body.Users, func(s catalog.Standing) error {
		return auth.AllowChange(w.principal, auth.ScopeChangeOwners, name, s)
	})
	if err != nil {
		return err
	}
	msg := fmt.Sprintf("%s %s crate %s", strings.Join(body.Users, ", "), done, name)
	a.Log.Info("Changed owners", "request", w.requestID, "crate", name, "users", body.Users, "change", done, "user", w.principal.User)
	return w.json(http.StatusOK, ok{OK: true, Msg: msg})
}
