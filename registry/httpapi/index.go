package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/crateyard/crateyard/registry/conn"
	"github.com/crateyard/crateyard/registry/fault"
	"github.com/crateyard/crateyard/registry/index"
)

// Header values that are the same for every file, as net/http keeps them.
var (
	textPlain     = []string{"text/plain; charset=utf-8"}
	noCache       = []string{"no-cache"} // ask again each time: the ETag makes that cheap
	noStore       = []string{"no-store"}
	noSniff       = []string{"nosniff"}
	acceptVary    = []string{"Accept-Encoding"}
	gzipEncoding  = []string{"gzip"}
	applicationJS = []string{"application/json"}
)

// gitRefs is what git asks for first.
const gitRefs = "info/refs"

// serveIndex answers for config.json and the files of crates. 404, and nothing else, means "no such crate" to cargo.
func (a *API) serveIndex(w *response, r *http.Request) error {
	p := r.URL.Path[len(indexPrefix):]
	if p == "config.json" {
		h := w.Header()
		h["Content-Type"], h["Cache-Control"] = applicationJS, noCache
		h["Content-Length"] = []string{strconv.Itoa(len(a.config))}
		_, _ = w.Write(a.config) // the client is gone when this fails
		return nil
	}
	f, err := a.files.get(r.Context(), p)
	if err == nil && f.restricted {
		err = a.maySee(w, r, f.crateID, p[strings.LastIndexByte(p, '/')+1:])
	}
	if err != nil && p == gitRefs {
		return fault.New(fault.NotFound, "git asks for this address, which is that of a sparse index: write sparse+%s/index/ in cargo's configuration", a.URL)
	}
	if err != nil {
		return err
	}
	sendIndexFile(w, r, f.File)
	return nil
}

// sendIndexFile answers with a file, in the form that the client takes, or with 304 when it has it already.
func sendIndexFile(w *response, r *http.Request, f *index.File) {
	body, fh := f.Plain, f.PlainHeader
	h := w.Header()
	if f.Gzip != nil {
		h["Vary"] = acceptVary
		if acceptsGzip(r.Header["Accept-Encoding"]) {
			body, fh = f.Gzip, f.GzipHeader
			h["Content-Encoding"] = gzipEncoding
		}
	}
	h["Etag"], h["Cache-Control"] = fh.ETag, noCache
	if inm := r.Header["If-None-Match"]; len(inm) > 0 && f.Matches(inm) {
		delete(h, "Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h["Content-Type"], h["Content-Length"] = textPlain, fh.Length
	if len(body) > conn.ServerBuffer && r.Method == http.MethodGet {
		conn.Gather(r.Context())
	}
	_, _ = w.Write(body) // the client is gone when this fails
}

// acceptsGzip reports whether a client takes gzip: named, or under "*", and not with a weight of zero.
func acceptsGzip(headers []string) bool {
	for _, header := range headers {
		for part := range strings.SplitSeq(header, ",") {
			coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
			if coding = strings.TrimSpace(coding); strings.EqualFold(coding, "gzip") || coding == "*" {
				q, isQ := strings.CutPrefix(strings.ReplaceAll(params, " ", ""), "q=")
				return !isQ || strings.Trim(q, "0.") != ""
			}
		}
	}
	return false
}
