package httpapi

import (
	"net/http"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/wire"
)

func groupWire(g catalog.Group) wire.Group {
	return wire.Group{ID: g.ID, Name: g.Name, Members: append([]string{}, g.Members...), CreatedAt: g.CreatedAt}
}

func (a *API) serveGroups(w *response, r *http.Request) error {
	groups, err := a.Catalog.Groups(r.Context())
	if err != nil {
		return err
	}
	list := wire.Groups{Groups: make([]wire.Group, 0, len(groups))}
	for _, g := range groups {
		list.Groups = append(list.Groups, groupWire(g))
	}
	return w.json(http.StatusOK, list)
}

func (a *API) serveGroup(w *response, r *http.Request) error {
	g, err := a.Catalog.Group(r.Context(), r.PathValue("group"))
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, groupWire(g))
}

// maxMembers bounds a group; its members stand in one request.
const maxMembers = 1000

func checkMembers(members []string) error {
	if len(members) > maxMembers {
		return fault.New(fault.Invalid, "a group has at most %d members, not %d", maxMembers, len(members))
	}
	return nil
}

func (a *API) serveCreateGroup(w *response, r *http.Request) error {
	var body wire.CreateGroup
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if err := auth.CheckGroupName(body.Name); err != nil {
		return fault.New(fault.Invalid, "%v", err)
	}
	if err := checkMembers(body.Members); err != nil {
		return err
	}
	g, err := a.Catalog.CreateGroup(r.Context(), a.actor(w), body.Name, body.Members)
	if err != nil {
		return err
	}
	a.changed(w, "Created group", "name", g.Name, "members", len(g.Members))
	return w.json(http.StatusCreated, groupWire(g))
}

func (a *API) serveUpdateGroup(w *response, r *http.Request) error {
	var body wire.UpdateGroup
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.Members == nil {
		return fault.New(fault.Invalid, "name the members of the group, all of them; an empty list takes everybody out")
	}
	if err := checkMembers(body.Members); err != nil {
		return err
	}
	g, err := a.Catalog.SetMembers(r.Context(), a.actor(w), r.PathValue("group"), body.Members)
	if err != nil {
		return err
	}
	a.changed(w, "Updated group", "name", g.Name, "members", len(g.Members))
	return w.json(http.StatusOK, groupWire(g))
}

func (a *API) serveDeleteGroup(w *response, r *http.Request) error {
	name := r.PathValue("group")
	if err := a.Catalog.DeleteGroup(r.Context(), a.actor(w), name); err != nil {
		return err
	}
	a.changed(w, "Deleted group", "name", name)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveAccess shows who may see a crate, to its owners and admins.
func (a *API) serveAccess(w *response, r *http.Request) error {
	found, err := a.crate(w, r)
	if err != nil {
		return err
	}
	owner, err := a.Catalog.IsOwner(r.Context(), found.ID, w.principal.UserID)
	if err != nil {
		return err
	}
	if !owner && !w.principal.IsAdmin() {
		return fault.New(fault.Forbidden, "only owners of `%s` may see its access list", found.Name)
	}
	access, err := a.Catalog.Access(r.Context(), found)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, a.accessWire(access, false))
}

// serveSetAccess restricts a crate to its owners and an access list, or opens it.
func (a *API) serveSetAccess(w *response, r *http.Request) error {
	var body wire.SetAccess
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if body.Readers != nil {
		if err := checkMembers(*body.Readers); err != nil {
			return err
		}
	}
	name := r.PathValue("crate")
	before, err := a.Catalog.FindCrate(r.Context(), name)
	wasOpen := err == nil && !before.Restricted // what SetAccess says of the crate counts
	access, err := a.Catalog.SetAccess(r.Context(), a.actor(w), name, body.Restricted, body.Readers, func(s catalog.Standing) error {
		return auth.AllowChange(w.principal, auth.ScopeChangeOwners, name, s)
	})
	if err != nil {
		return err
	}
	a.Log.Info("Changed access", "request", w.requestID, "crate", name, "restricted", access.Restricted, "readers", len(access.Readers), "user", w.principal.User)
	return w.json(http.StatusOK, a.accessWire(access, wasOpen))
}

// accessWire is the answer; wasOpen says that everybody could see the crate until this request.
func (a *API) accessWire(access catalog.Access, wasOpen bool) wire.Access {
	out := wire.Access{Restricted: access.Restricted, Readers: []string{}}
	for _, o := range access.Readers {
		out.Readers = append(out.Readers, o.Login())
	}
	if access.Restricted && a.Git != nil && wasOpen {
		out.Warnings = append(out.Warnings, "the history of the git index begins anew without the crate; its lines stay with everybody who has fetched them before")
	}
	if access.Restricted && !a.Private {
		out.Warnings = append(out.Warnings, "this registry can be read without a token, so cargo sends none and nobody can build with a restricted crate; set access.anonymousRead to Disabled")
	}
	return out
}
