package httpapi

import (
	"bytes"
	"context"
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

// What is rendered is bounded, since the time it takes grows with the square of what nests: links in links, quotes in quotes.
// Other readmes are shown as text. Real ones have some 20 KiB, and a few hundred brackets.
const (
	maxReadme     = 128 << 10 // bytes
	maxBrackets   = 4000      // '[' in all
	maxQuotes     = 50        // '>' before one line
	readmesCached = 500
)

// rendersMarkdown reports whether a readme is worth the time.
func rendersMarkdown(file, text string) bool {
	switch strings.ToLower(path.Ext(file)) {
	case "", ".md", ".markdown", ".mdown", ".mkdown":
		return len(text) <= maxReadme && strings.Count(text, "[") <= maxBrackets && quoteDepth(text) <= maxQuotes
	}
	return false
}

// quoteDepth is how deep quotes stand in quotes at most.
func quoteDepth(text string) (deepest int) {
	for line := range strings.Lines(text) {
		begin := line[:len(line)-len(strings.TrimLeft(line, "> \t"))]
		deepest = max(deepest, strings.Count(begin, ">"))
	}
	return deepest
}

// renderReadme gives a readme as HTML, from memory where it was asked for before. One is rendered at a time, so that readmes cannot take
// more than one processor from the rest.
func (a *API) renderReadme(ctx context.Context, versionID int64, text string) ([]byte, error) {
	if done, ok := a.readmes.GetIfPresent(versionID); ok {
		return done, nil
	}
	select {
	case a.rendering <- struct{}{}:
		defer func() { <-a.rendering }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if done, ok := a.readmes.GetIfPresent(versionID); ok { // somebody else's turn brought it
		return done, nil
	}
	var out bytes.Buffer
	if err := markdown.Convert([]byte(text), &out); err != nil {
		return nil, err
	}
	done := safeHTML.SanitizeBytes(out.Bytes())
	a.readmes.Set(versionID, done)
	return done, nil
}

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
	if rendersMarkdown(file, text) {
		done, err := a.renderReadme(r.Context(), v.ID, text)
		if err != nil {
			return err
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(done) // the client is gone when this fails
		return nil
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, text) // likewise
	return nil
}
