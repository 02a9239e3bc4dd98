package httpapi

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/mirror"
	"github.com/crateyard/crateyard/registry/wire"
)

// mirrorPrefix begins the path of all that mirrors serve: {prefix}{mirror}/ is a sparse index, and its archives lie below it.
const mirrorPrefix = "/mirrors/"

// mirrorOf splits a path below mirrorPrefix.
func (a *API) mirrorOf(r *http.Request) (m *mirror.Mirror, rest string, err error) {
	name, rest, _ := strings.Cut(r.URL.Path[len(mirrorPrefix):], "/")
	if a.Mirrors != nil {
		m = a.Mirrors.Mirror(name)
	}
	if m == nil {
		return nil, "", fault.New(fault.NotFound, "there is no mirror `%s` in this registry", name)
	}
	return m, rest, nil
}

// isMirrorDownload tells the addresses of archives, crates/{crate}/{version}/download, from those of the index, none of which ends so.
func isMirrorDownload(path string) bool { return strings.HasSuffix(path, "/download") }

// serveMirrorIndex answers for config.json and the index files of a mirror.
func (a *API) serveMirrorIndex(w *response, r *http.Request) error {
	m, path, err := a.mirrorOf(r)
	if err != nil {
		return err
	}
	if path == "config.json" {
		body := m.ConfigJSON(a.Private)
		h := w.Header()
		h["Content-Type"], h["Cache-Control"] = applicationJS, noCache
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
		h[wire.UpstreamHeader] = []string{m.Spec.Upstream.Index} // what cargo's configuration must name, for who is no admin
		_, _ = w.Write(body)                                     // the client is gone when this fails
		return nil
	}
	name, ok := mirror.IndexName(path)
	if !ok {
		return fault.New(fault.NotFound, "there is no index file %q", path)
	}
	f, err := m.Index(r.Context(), name)
	if err != nil {
		return a.denied(w, m, err)
	}
	sendIndexFile(w, r, f)
	return nil
}

// serveMirrorDownload sends an archive of a mirror: from the storage, or from upstream while it arrives.
func (a *API) serveMirrorDownload(w *response, r *http.Request) error {
	m, path, err := a.mirrorOf(r)
	if err != nil {
		return err
	}
	part := strings.Split(path, "/")
	if len(part) != 4 || part[0] != "crates" {
		return fault.New(fault.NotFound, "there is no file %q", path)
	}
	archive, err := m.Archive(r.Context(), part[1], part[2], a.Presign == nil)
	if err != nil {
		return a.denied(w, m, err)
	}
	defer func() { _ = archive.Close() }() // it was read only
	defer func() { m.Metrics.Sent(m.Name(), w.bytes) }()
	switch {
	case archive.Fetch != nil:
		return a.sendFetch(w, r, m, archive.Fetch)
	case archive.Blob == nil:
		return a.redirectDownload(w, r, archive.Key)
	}
	return a.sendBlob(w, r, archive.Blob, archive.Key, archive.SHA256, archive.Size, a.Private)
}

// sendFetch answers with an archive that is on its way. What goes wrong after the first byte cuts the connection, so that cargo does not take
// what it has for the whole.
func (a *API) sendFetch(w *response, r *http.Request, m *mirror.Mirror, f *mirror.Fetch) error {
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime)); err != nil {
		return err
	}
	if !plainGet(r) { // a part of it, or its headers: when it is there
		whole, err := f.Reader(r.Context())
		if err != nil {
			return a.denied(w, m, err)
		}
		archiveHeaders(w.Header(), f.SHA256, a.Private)
		http.ServeContent(w, r, "", time.Time{}, whole)
		return nil
	}
	size, err := f.Size(r.Context())
	if err != nil {
		return a.denied(w, m, err)
	}
	h := w.Header()
	archiveHeaders(h, f.SHA256, a.Private)
	h["Accept-Ranges"] = []string{"bytes"}
	if size >= 0 {
		h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	}
	if _, err := f.Stream(r.Context(), w); err != nil {
		if w.status == 0 {
			return a.denied(w, m, err)
		}
		w.cut = true
		a.Log.Warn("Download from upstream broke off", "request", w.requestID, "mirror", m.Name(), "error", err)
	}
	return nil
}

// denied notes what a policy kept from somebody.
func (a *API) denied(w *response, m *mirror.Mirror, err error) error {
	if d, ok := errors.AsType[*mirror.Denied](err); ok && m != nil {
		by := catalog.Actor{User: "anonymous", Address: w.address}
		if w.principal != nil {
			by = a.actor(w)
		}
		m.NoteDenial(by, d)
	}
	return err
}
