package httpapi

import (
	"crypto/sha256"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"sync"

	"go.yaml.in/yaml/v3"
)

// openapiFiles describe every address below this registry in parts: paths by who uses them, and what they say.
//
//go:embed openapi/*.yaml
var openapiFiles embed.FS

// openapi gives the document for a registry as JSON, made once.
type openapi struct {
	once sync.Once
	body []byte
	etag string
	err  error
}

// serveOpenAPI describes the API, and says what cargo configurations call the registry (crateyard cargo-config asks). Nobody needs a token for it: it says nothing of what the registry holds.
func (a *API) serveOpenAPI(w *response, r *http.Request) error {
	o := &a.openapi
	o.once.Do(func() {
		doc, err := readOpenAPI(openapiFiles)
		if err != nil {
			o.err = err
			return
		}
		doc["servers"] = []any{object{"url": a.URL, "description": a.Name}}
		if a.Private { // then no operation is open to all that does not say so itself
			doc["security"] = []any{object{"token": []any{}}}
		}
		if o.body, o.err = json.Marshal(doc); o.err == nil {
			o.etag = fmt.Sprintf(`"%x"`, sha256.Sum256(o.body))
		}
	})
	if o.err != nil {
		return o.err
	}
	h := w.Header()
	h.Set("Etag", o.etag)
	h.Set("Cache-Control", "no-cache") // ask again each time: a new version of the server may say more
	if r.Header.Get("If-None-Match") == o.etag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	return w.json(http.StatusOK, json.RawMessage(o.body))
}

// readOpenAPI lays the parts of the document together.
func readOpenAPI(files fs.FS) (object, error) {
	names, err := fs.Glob(files, "openapi/*.yaml")
	if err != nil {
		return nil, err
	}
	doc := object{}
	for _, name := range names {
		data, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		var part object
		if err := yaml.Unmarshal(data, &part); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := merge(doc, part); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return doc, nil
}

// merge puts all of part into doc. Objects are merged; anything else may stand in one part only.
func merge(doc, part object) error {
	for key, value := range part {
		old, exists := doc[key]
		if !exists {
			doc[key] = value
			continue
		}
		into, ok1 := old.(object)
		from, ok2 := value.(object)
		if !ok1 || !ok2 {
			return fmt.Errorf("%s stands in another part, too", key)
		}
		if err := merge(into, from); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	return nil
}
