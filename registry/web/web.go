// Package web is the pages that people see. They are server-rendered, need no script, and show nothing secret.
package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"strings"

	"github.com/crateyard/crateyard/registry/wire"
)

//go:embed templates/*.html
var files embed.FS

var pages = template.Must(template.ParseFS(files, "templates/*.html"))

// Site describes the registry to its visitors.
type Site struct {
	Name    string // what cargo configurations call the registry
	URL     string // public base, without a slash at its end
	Version string // of the program
	Private bool   // reading needs a token
}

// Handler serves / and /me, which show how to use the registry, and 404 for the rest. `cargo login` sends people to /me.
func Handler(s Site) http.Handler {
	var page bytes.Buffer
	err := pages.ExecuteTemplate(&page, "me.html", struct {
		Site
		Config, IndexURL template.HTML
		EnvName          string
	}{s, text(wire.CargoConfig(s.Name, s.URL)), text(wire.IndexURL(s.URL)), wire.EnvName(s.Name)})
	if err != nil {
		panic(err) // the template is part of the program; a test renders it
	}
	mux := http.NewServeMux()
	show := func(w http.ResponseWriter, _ *http.Request) {
		h := w.Header()
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "same-origin")
		_, _ = w.Write(page.Bytes()) // the client is gone when this fails
	}
	mux.HandleFunc("GET /{$}", show)
	mux.HandleFunc("GET /me", show)
	return mux
}

// text escapes what stands between tags. html/template would also turn '+' and '"' into entities, which is right and
// unreadable for whoever reads the page with curl.
func text(s string) template.HTML {
	return template.HTML(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s))
}
