package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/conn"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
	"github.com/crateyard/crateyard/registry/storage"
)

// downloadTime bounds how long a reader may take: the largest crate fits through a line of 50 kB/s several times.
const downloadTime = 30 * time.Minute

// serveDownload sends an archive. Its bytes never change, so it may be cached for ever; and it is never compressed again:
// a Content-Encoding would make cargo's checksum fail.
func (a *API) serveDownload(w *response, r *http.Request) error {
	v, err := a.version(r.Context(), r.PathValue("crate"), r.PathValue("version"))
	if err == nil && v.Restricted {
		if err = a.maySee(w, r, v.CrateID, v.Crate); fault.KindOf(err) == fault.NotFound {
			err = catalog.ErrNoVersion(v.Crate, v.Num) // in the words for a version that is not there
		}
	}
	if err != nil {
		return err
	}
	key := storage.CrateKey(v.Crate, v.Num, v.SHA256)
	if a.Presign != nil && r.Method == http.MethodGet { // the address holds for no other method
		if err := a.redirectDownload(w, r, key); err != nil {
			return err
		}
		a.Metrics.Downloads.Inc()
		a.downloads.add(v.ID)
		return nil
	}
	blob, err := a.Store.Open(r.Context(), key)
	if errors.Is(err, fs.ErrNotExist) {
		// Not 404: the catalog knows the version, so a missing blob is a loss that must be seen.
		a.suspect(key)
		return fmt.Errorf("blob %s is missing from storage: %w", key, err)
	}
	if err != nil {
		return err
	}
	defer func() { _ = blob.Close() }() // it was read only
	if err := a.sendBlob(w, r, blob, key, v.SHA256, v.Size, a.Private || v.Restricted); err != nil {
		a.versions.Invalidate(versionKey(v.Crate, v.Num)) // what is in memory may be what a repair has corrected since
		return err
	}
	a.Metrics.DownloadedBytes.Add(float64(w.bytes))
	if r.Method == http.MethodGet && w.status == http.StatusOK && w.bytes == v.Size {
		a.Metrics.Downloads.Inc()
		a.downloads.add(v.ID)
	}
	return nil
}

// downloadsPrefix and downloadSuffix enclose crate and version in the path of an archive.
const (
	downloadsPrefix = "/crates/"
	downloadSuffix  = "/download"
)

// isSmallDownload reports whether a path is that of an archive which everybody may have, and which is read from the disk in one go. Of what is not in
// memory it knows nothing: the first who asks is the server's.
func (a *API) isSmallDownload(path string) bool {
	rest, begins := strings.CutPrefix(path, downloadsPrefix)
	rest, ends := strings.CutSuffix(rest, downloadSuffix)
	crate, num, ok := strings.Cut(rest, "/")
	if !begins || !ends || !ok {
		return false
	}
	v, ok := a.versions.GetIfPresent(versionKey(crate, num))
	return ok && !v.Restricted && v.Size <= conn.SmallFile
}

// wentAway reports whether an answer broke off because its client did.
func wentAway(r *http.Request, err error) bool {
	return r.Context().Err() != nil || errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, net.ErrClosed)
}

func (a *API) suspect(key string) {
	if a.Suspect != nil {
		a.Suspect(key)
	}
}

// sendBlob answers with an archive from the storage, or the part of it that is asked for.
func (a *API) sendBlob(w *response, r *http.Request, blob storage.Blob, key, sha256 string, size int64, private bool) error {
	info, err := blob.Stat()
	if err != nil {
		return err
	}
	if info.Size() != size {
		a.suspect(key)
		return fmt.Errorf("blob %s has %d bytes in storage, %d in the catalog", key, info.Size(), size)
	}
	archiveHeaders(w.Header(), sha256, private)
	if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(downloadTime)); err != nil {
		return err
	}
	if size > conn.ServerBuffer && plainGet(r) {
		conn.Gather(r.Context())
	}
	if !plainGet(r) {
		http.ServeContent(w, r, "", info.ModTime(), blob)
		return nil
	}
	h := w.Header()
	h["Content-Length"] = []string{strconv.FormatInt(size, 10)}
	h["Accept-Ranges"] = []string{"bytes"}
	h["Last-Modified"] = []string{info.ModTime().UTC().Format(http.TimeFormat)}
	if s, ok := blob.(storage.Streamer); ok {
		_, err = s.Stream(w)
	} else {
		_, err = io.CopyN(w, blob, size)
		if wentAway(r, err) {
			err = nil
		}
	}
	if err != nil {
		a.Log.Warn("Download broke off", "request", w.requestID, "error", err)
	}
	return nil
}

// archiveHeaders are those of an archive, however it is sent.
func archiveHeaders(h http.Header, sha256 string, private bool) {
	h["Content-Type"] = []string{"application/gzip"}
	h["Etag"] = []string{`"` + sha256 + `"`}
	h["Cache-Control"] = []string{"public, max-age=31536000, immutable"}
	if private {
		h["Cache-Control"] = []string{"private, max-age=31536000, immutable"}
	}
}

// presigned is how long an address in the storage holds: cargo follows it at once, and may try again a few times.
const presigned = 5 * time.Minute

// redirectDownload sends the client to the storage. The address is a secret of its own for as long as it holds, so no cache may
// keep it. It counts as a download: whether the bytes arrive, only the storage sees.
func (a *API) redirectDownload(w *response, r *http.Request, key string) error {
	url, err := a.Presign(r.Context(), key, presigned)
	if err != nil {
		return err
	}
	w.Header()["Cache-Control"] = []string{"no-store"}
	http.Redirect(w, r, url, http.StatusFound)
	return nil
}

// plainGet says whether the answer is the whole file for certain, and not a part of it, headers alone or 304.
func plainGet(r *http.Request) bool {
	if r.Method != http.MethodGet {
		return false
	}
	for _, h := range []string{"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if _, ok := r.Header[h]; ok {
			return false
		}
	}
	return true
}

func versionKey(crate, num string) string { return crate + "@" + num }

// version finds a version, in memory first. What a download needs of it changes only when its crate is restricted, opened or
// deleted, or the version is: then all are forgotten. As in fileCache, a version that was read before such a change is not
// kept after it.
func (a *API) version(ctx context.Context, crate, num string) (catalog.Version, error) {
	key := versionKey(crate, num)
	if v, ok := a.versions.GetIfPresent(key); ok {
		return v, nil
	}
	before := a.versionsGeneration.Load()
	v, err := a.Catalog.Version(ctx, crate, num)
	if err == nil {
		v.Line, v.Details = nil, catalog.Details{} // of no use to a download
		a.versions.ComputeIfAbsent(key, func() (catalog.Version, bool) { return v, a.versionsGeneration.Load() != before })
	}
	return v, err
}

// versionChanged follows the catalog.
func (a *API) versionChanged(ch catalog.Change) {
	switch ch.Kind {
	case index.KindPublish, index.KindYank, index.KindUnyank:
	default: // and when all may have changed
		a.versionsGeneration.Add(1)
		a.versions.InvalidateAll()
	}
}

// versionsMost bounds the versions that are kept in memory for downloads: some 4 MB.
const versionsMost = 10_000
