package httpapi

import (
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/crateyard/crateyard/registry/auth"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror"
	"github.com/crateyard/crateyard/registry/wire"
)

func (a *API) serveMirrors(w *response, r *http.Request) error {
	list, err := a.Mirrors.List(r.Context())
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, wire.Mirrors{Mirrors: list})
}

func (a *API) serveMirror(w *response, r *http.Request) error {
	return a.answerMirror(w, r, http.StatusOK)
}

func (a *API) answerMirror(w *response, r *http.Request, code int, warnings ...string) error {
	m, err := a.Mirrors.Get(r.Context(), r.PathValue("mirror"))
	if err != nil {
		return err
	}
	m.Warnings = warnings
	return w.json(code, m)
}

// servePutMirror makes a mirror, or makes it another. To put what is there changes nothing.
func (a *API) servePutMirror(w *response, r *http.Request) error {
	var body wire.MirrorChange
	if err := readJSONOf(r, &body, maxMirrorJSON); err != nil {
		return err
	}
	changed, warnings, err := a.Mirrors.Put(r.Context(), a.actor(w), r.PathValue("mirror"), body)
	if err != nil {
		return err
	}
	if changed {
		a.changed(w, "Changed mirror", "name", r.PathValue("mirror"))
	}
	return a.answerMirror(w, r, http.StatusOK, warnings...)
}

// maxMirrorJSON bounds the spec of a mirror: 10,000 crates, and a bundle of certificates.
const maxMirrorJSON = 4 << 20

func (a *API) serveDeleteMirror(w *response, r *http.Request) error {
	if err := a.Mirrors.Delete(r.Context(), a.actor(w), r.PathValue("mirror")); err != nil {
		return err
	}
	a.changed(w, "Deleted mirror", "name", r.PathValue("mirror"))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *API) serveSyncMirror(w *response, r *http.Request) error {
	if err := a.Mirrors.RequestSync(r.Context(), a.actor(w), r.PathValue("mirror")); err != nil {
		return err
	}
	return a.answerMirror(w, r, http.StatusAccepted)
}

func (a *API) serveTryPolicy(w *response, r *http.Request) error {
	var body wire.MirrorPolicy
	if err := readJSON(r, &body); err != nil {
		return err
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime)); err != nil { // it looks at all that is cached
		return err
	}
	d, err := a.Mirrors.Try(r.Context(), r.PathValue("mirror"), body)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, d)
}

func (a *API) servePutLockfile(w *response, r *http.Request) error {
	if name := r.PathValue("lockfile"); auth.CheckUserName(name) != nil { // the same rule
		return fault.New(fault.Invalid, "name of a lockfile %q: it is at most 253 letters, digits, '.', '_' and '-', the first a letter or digit", name)
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, mirror.MaxLockfile+1))
	switch {
	case err != nil:
		return fault.New(fault.TimedOut, "the lockfile did not arrive whole; send it again")
	case len(text) > mirror.MaxLockfile:
		return fault.New(fault.TooLarge, "a lockfile has at most %d bytes", mirror.MaxLockfile)
	}
	l, err := a.Mirrors.PutLockfile(r.Context(), a.actor(w), r.PathValue("mirror"), r.PathValue("lockfile"), text)
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, l)
}

func (a *API) serveDeleteLockfile(w *response, r *http.Request) error {
	if err := a.Mirrors.DeleteLockfile(r.Context(), a.actor(w), r.PathValue("mirror"), r.PathValue("lockfile")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// serveCacheCrate fetches one version now. What the policy denies is refused here, too.
func (a *API) serveCacheCrate(w *response, r *http.Request) error {
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime)); err != nil {
		return err
	}
	c, err := a.Mirrors.CacheFor(r.Context(), a.actor(w), r.PathValue("mirror"), r.PathValue("crate"), r.PathValue("version"))
	if err != nil {
		return a.denied(w, a.Mirrors.Mirror(r.PathValue("mirror")), err)
	}
	return w.json(http.StatusOK, c)
}

// serveStoredCrate lists what a mirror has stored of a crate.
func (a *API) serveStoredCrate(w *response, r *http.Request) error {
	list, err := a.Mirrors.Stored(r.Context(), r.PathValue("mirror"), r.PathValue("crate"))
	if err != nil {
		return err
	}
	return w.json(http.StatusOK, wire.MirroredCrates{Crates: list})
}

// serveAddCrate takes the archive of one version from who has it.
func (a *API) serveAddCrate(w *response, r *http.Request) error {
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(time.Now().Add(downloadTime)), c.SetWriteDeadline(time.Now().Add(downloadTime))); err != nil {
		return err
	}
	slow := a.patience
	slow.most = downloadTime
	body := &upload{r: r.Body, patience: slow, end: time.Now().Add(downloadTime), deadline: c.SetReadDeadline}
	m, err := a.Mirrors.Add(r.Context(), a.actor(w), r.PathValue("mirror"), r.PathValue("crate"), r.PathValue("version"), body)
	if err != nil {
		body.drain(r)
		return a.denied(w, a.Mirrors.Mirror(r.PathValue("mirror")), err)
	}
	return w.json(http.StatusOK, m)
}

func (a *API) serveForgetCrate(w *response, r *http.Request) error {
	if err := a.Mirrors.ForgetCrate(r.Context(), a.actor(w), r.PathValue("mirror"), r.PathValue("crate")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// bundleTime bounds an export or import: 100 GiB at 5 MB/s.
const bundleTime = 6 * time.Hour

func (a *API) serveExportMirror(w *response, r *http.Request) error {
	if _, err := a.Mirrors.Get(r.Context(), r.PathValue("mirror")); err != nil {
		return err
	}
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(bundleTime)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/x-tar")
	return a.Mirrors.Export(r.Context(), r.PathValue("mirror"), w) // what goes wrong after the first byte cuts the connection
}

func (a *API) serveImportMirror(w *response, r *http.Request) error {
	c := http.NewResponseController(w)
	if err := errors.Join(c.SetReadDeadline(time.Now().Add(bundleTime)), c.SetWriteDeadline(time.Now().Add(bundleTime))); err != nil {
		return err
	}
	slow := a.patience
	slow.most = bundleTime
	body := &upload{r: r.Body, patience: slow, end: time.Now().Add(bundleTime), deadline: c.SetReadDeadline}
	n, err := a.Mirrors.Import(r.Context(), a.actor(w), r.PathValue("mirror"), body)
	if err != nil {
		body.drain(r)
		return err
	}
	a.changed(w, "Loaded bundle into mirror", "name", r.PathValue("mirror"), "archives", n.Crates, "index_files", n.IndexFiles)
	return w.json(http.StatusOK, n)
}
