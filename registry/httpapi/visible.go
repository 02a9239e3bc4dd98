package httpapi

import (
	"net/http"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
)

// asker gives the id and role of who asks, for the catalog to decide what they may see. A token's crate patterns do not
// narrow what it reads, as on crates.io: cargo reads dependencies with the token that it publishes with.
func asker(p *auth.Principal) (id int64, role string) {
	if p == nil {
		return 0, ""
	}
	return p.UserID, string(p.Role)
}

// maySee answers for a restricted crate as if it were not there, unless who asks may see it.
func (a *API) maySee(w *response, r *http.Request, crateID int64, name string) error {
	id, role := asker(w.principal)
	yes, err := a.Catalog.MaySee(r.Context(), crateID, id, role)
	if err == nil && !yes {
		err = fault.New(fault.NotFound, "crate `%s` does not exist", name)
	}
	return err
}

// crate finds the crate of a request, in any spelling, if who asks may see it.
func (a *API) crate(w *response, r *http.Request) (catalog.Crate, error) {
	found, err := a.Catalog.FindCrate(r.Context(), r.PathValue("crate"))
	if err == nil && found.Restricted {
		err = a.maySee(w, r, found.ID, r.PathValue("crate")) // as it was asked for: its own spelling would tell that it is there
	}
	return found, err
}
