package httpapi

import (
	"bytes"
	"io"
	"net/http"
	"path"
	"strings"

	"github.com/microcosm-cc/bluemonday"
	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/renderer/html"

	"github.com/crateyard/crateyard/registry/fault"
)

// markdown reads readmes as GitHub and crates.io do, with the HTML that stands in them: safeHTML decides what of it stays.
var markdown = goldmark.New(goldmark.WithExtensions(extension.GFM, extension.Footnote), goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	goldmark.WithRendererOptions(html.WithUnsafe()))

// safeHTML lets through what a readme needs. Its author is anybody who may publish.
var safeHTML = func() *bluemonday.Policy {
	p := bluemonday.UGCPolicy()
	p.RequireNoFollowOnLinks(true)
	p.AllowAttrs("class").Matching(bluemonday.SpaceSeparatedTokens).OnElements("code", "pre")
	return p
}()

// maxReadme bounds what is rendered; longer readmes are shown as text.
const maxReadme = 512 << 10

// serveReadme shows the readme of a version as a piece of HTML. As with downloads, a client that asks for JSON reads the address.
func (a *API) serveReadme(w *response, r *http.Request) error {
	v, err := a.versionOf(w, r)
	if err != nil {
		return err
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		return w.json(http.StatusOK, object{"url": a.URL + "/api/v1/crates/" + v.Crate + "/" + v.Num + "/readme"})
	}
	text, file, err := a.Catalog.Readme(r.Context(), v.ID)
	if err != nil {
		return err
	}
	if text == "" {
		return fault.New(fault.NotFound, "version `%s` of crate `%s` has no readme", v.Num, v.Crate)
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; img-src https: data:; style-src 'unsafe-inline'; sandbox")
	switch strings.ToLower(path.Ext(file)) {
	case "", ".md", ".markdown", ".mdown", ".mkdown":
		if len(text) <= maxReadme {
			var out bytes.Buffer
			if err := markdown.Convert([]byte(text), &out); err != nil {
				return err
			}
			h.Set("Content-Type", "text/html; charset=utf-8")
			_, _ = w.Write(safeHTML.SanitizeBytes(out.Bytes())) // the client is gone when this fails
			return nil
		}
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // likewise
	return nil
}
