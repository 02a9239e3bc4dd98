package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/getkin/kin-openapi/openapi3"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/metrics"
)

func document(t *testing.T) *openapi3.T {
	t.Helper()
	parts, err := readOpenAPI(openapiFiles)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(parts)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(data)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return doc
}

// The document names all that the audit can be asked for, since the audit refuses anything else.
func TestOpenAPIDescribesTheAudit(t *testing.T) {
	doc := document(t)
	var actions []string
	for _, a := range doc.Components.Schemas["Action"].Value.Enum {
		actions = append(actions, a.(string))
	}
	if !slices.Equal(slices.Sorted(slices.Values(actions)), slices.Sorted(slices.Values(catalog.Actions))) {
		t.Errorf("described are the actions %q, known are %q", actions, catalog.Actions)
	}
	var described []string
	for _, p := range doc.Paths.Value("/api/v1/audit").Get.Parameters {
		described = append(described, p.Value.Name)
	}
	slices.Sort(described)
	if known := slices.Sorted(slices.Values(auditKeys)); !slices.Equal(described, known) {
		t.Errorf("described are %q, known are %q", described, known)
	}
}

// The document describes each route of the table, as open as it is, and no other.
func TestOpenAPIDescribesTheTable(t *testing.T) {
	doc := document(t)
	rt := newRouter(&API{Metrics: metrics.New("test"), Git: http.NotFoundHandler()})
	rt.routes()
	routes := map[string]access{"GET " + indexPrefix + "{file}": readers, "GET " + mirrorPrefix + "{mirror}/{file}": readers} // found without the table
	for _, e := range rt.table {
		if method, path, ok := strings.Cut(e.pattern, " "); ok { // those of any method are pages and git's own protocol
			routes[method+" "+strings.ReplaceAll(path, "...}", "}")] = e.who
		}
	}
	described := map[string]bool{}
	ids := map[string]string{}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			at := method + " " + path
			described[at] = true
			who, ok := routes[at]
			if !ok {
				t.Errorf("%s is described, and is no route", at)
				continue
			}
			if got := openTo(doc, op); got != who {
				t.Errorf("%s is described for %v, and is for %v (anyone, readers, holders, admins)", at, got, who)
			}
			if op.Summary == "" || len(op.Tags) != 1 || doc.Tags.Get(op.Tags[0]) == nil || op.Responses.Default() == nil {
				t.Errorf("%s lacks a summary, a tag that is described, or the answer for failures", at)
			}
			if before, taken := ids[op.OperationID]; taken || op.OperationID == "" {
				t.Errorf("%s and %s have the same operationId %q", at, before, op.OperationID)
			}
			ids[op.OperationID] = at
			for name := range strings.SplitSeq(path, "{") {
				if name, _, ok := strings.Cut(name, "}"); ok && op.Parameters.GetByInAndName("path", name) == nil && item.Parameters.GetByInAndName("path", name) == nil {
					t.Errorf("%s does not describe {%s}", at, name)
				}
			}
		}
	}
	for at := range routes {
		if !described[at] {
			t.Errorf("%s is not described", at)
		}
	}
}

// openTo reads who may use an operation out of its security requirements.
func openTo(doc *openapi3.T, op *openapi3.Operation) access {
	security := doc.Security
	if op.Security != nil {
		security = *op.Security
	}
	isOpen := func(r openapi3.SecurityRequirement) bool { return len(r) == 0 }
	isAdmin := func(r openapi3.SecurityRequirement) bool { return slices.Equal(r["token"], []string{"admin"}) }
	switch {
	case len(security) == 0:
		return anyone
	case slices.ContainsFunc(security, isOpen):
		return readers
	case !slices.ContainsFunc(security, func(r openapi3.SecurityRequirement) bool { return !isAdmin(r) }):
		return admins
	}
	return holders
}

func TestOpenAPIPartsDoNotOverlap(t *testing.T) {
	for name, files := range map[string]fstest.MapFS{
		"one path twice": {"openapi/a.yaml": {Data: []byte("paths: {/a: {get: {summary: one}}}")}, "openapi/b.yaml": {Data: []byte("paths: {/a: {get: {summary: two}}}")}},
		"no YAML":        {"openapi/a.yaml": {Data: []byte("paths: [")}},
	} {
		if doc, err := readOpenAPI(files); err == nil || !strings.Contains(err.Error(), "openapi/") {
			t.Errorf("%s: %v, %v", name, doc, err)
		}
	}
}
