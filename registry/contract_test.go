package registry_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// contract is what a server says of its own API. Whatever a test asks for through call is held against it.
type contract struct {
	doc  *openapi3.T
	mux  *http.ServeMux // finds the path of a request as the document writes it
	seen map[string]bool
}

// contract reads the document from the server itself, once. Objects may have no field that the document does not name.
func (y *yard) contract() *contract {
	y.t.Helper()
	if y.rules != nil {
		return y.rules
	}
	a := y.do("GET", "/api/openapi.json", "", nil)
	var parts map[string]any
	if err := json.Unmarshal([]byte(a.body), &parts); err != nil || a.status != 200 {
		y.t.Fatalf("the document: %d %v", a.status, err)
	}
	closeObjects(parts)
	data, err := json.Marshal(parts)
	if err != nil {
		y.t.Fatal(err)
	}
	c := &contract{mux: http.NewServeMux(), seen: map[string]bool{}}
	if c.doc, err = openapi3.NewLoader().LoadFromData(data); err != nil {
		y.t.Fatal(err)
	}
	for path, item := range c.doc.Paths.Map() {
		for method := range item.Operations() {
			c.mux.Handle(method+" "+strings.Replace(path, "{file}", "{file...}", 1), http.NotFoundHandler())
		}
	}
	y.rules = c
	return c
}

// closeObjects forbids what a schema does not name, where it does not allow more itself.
func closeObjects(node any) {
	switch n := node.(type) {
	case map[string]any:
		_, named := n["properties"].(map[string]any)
		if _, says := n["additionalProperties"]; named && !says && n["type"] == "object" {
			n["additionalProperties"] = false
		}
		for _, child := range n {
			closeObjects(child)
		}
	case []any:
		for _, child := range n {
			closeObjects(child)
		}
	}
}

// call makes a request, with body as JSON unless it is nil or text, and holds the answer against the API's description.
func (y *yard) call(method, path, token string, body any, headers ...string) answer {
	y.t.Helper()
	var sent []byte
	switch b := body.(type) {
	case nil:
	case string:
		sent = []byte(b)
	case []byte:
		sent = b
	default:
		var err error
		if sent, err = json.Marshal(b); err != nil {
			y.t.Fatal(err)
		}
	}
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(sent)
	}
	a := y.do(method, path, token, r, headers...)
	if err := y.contract().check(method, path, sent, a); err != nil {
		y.t.Errorf("%s %s: %d %s\nis not what the API's description says: %v", method, path, a.status, clipped(a.body), err)
	}
	return a
}

func clipped(s string) string { return s[:min(len(s), 2000)] }

func (c *contract) check(method, path string, sent []byte, a answer) error {
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return err
	}
	_, pattern := c.mux.Handler(&http.Request{Method: method, URL: u, Host: "registry"})
	if pattern == "" {
		if a.status == http.StatusNotFound {
			return nil
		}
		return fmt.Errorf("there is no such operation")
	}
	_, at, _ := strings.Cut(strings.Replace(pattern, "...}", "}", 1), " ")
	item := c.doc.Paths.Value(at)
	op := item.GetOperation(method)
	c.seen[op.OperationID] = c.seen[op.OperationID] || a.status < 400
	if a.status < 400 {
		if err := checkRequest(op, u.Query(), sent); err != nil {
			return err
		}
	}
	answers := op.Responses.Status(a.status)
	if answers == nil && a.status >= 400 {
		answers = op.Responses.Default()
	}
	if answers == nil {
		return fmt.Errorf("status %d is not described", a.status)
	}
	return checkBody(answers.Value.Content, a.header.Get("Content-Type"), a.body)
}

// checkRequest looks whether a request that was taken could have been made from the description.
func checkRequest(op *openapi3.Operation, query url.Values, sent []byte) error {
	for name := range query {
		if op.Parameters.GetByInAndName("query", name) == nil {
			return fmt.Errorf("parameter %s is not described", name)
		}
	}
	if op.RequestBody == nil {
		if len(sent) > 0 {
			return fmt.Errorf("a body is not described")
		}
		return nil
	}
	if media := op.RequestBody.Value.Content["application/json"]; media != nil {
		return checkJSON(media.Schema, string(sent))
	}
	return nil
}

func checkBody(content openapi3.Content, contentType, body string) error {
	if content == nil {
		if body != "" && !strings.HasPrefix(contentType, "text/html") { // net/http writes a link below a redirect
			return fmt.Errorf("a body is not described")
		}
		return nil
	}
	kind, _, err := mime.ParseMediaType(contentType)
	media := content[kind]
	switch {
	case err != nil || media == nil:
		return fmt.Errorf("content of type %q is not described", contentType)
	case kind == "application/json":
		return checkJSON(media.Schema, body)
	case kind == "application/x-ndjson":
		for line := range strings.Lines(body) {
			if err := checkJSON(media.Schema, line); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkJSON(schema *openapi3.SchemaRef, text string) error {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return err
	}
	return schema.Value.VisitJSON(v, openapi3.EnableJSONSchema2020())
}

// says picks values out of a JSON answer and compares them: each want is path=value. A path is names with dots between them;
// # stands for each element of a list, whose values come with commas between them; null and missing are words.
func (a answer) says(t *testing.T, wants ...string) {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Errorf("%d %q: %v", a.status, clipped(a.body), err)
		return
	}
	for _, want := range wants {
		path, value, _ := strings.Cut(want, "=")
		if got := pick(v, strings.Split(path, ".")); got != value {
			t.Errorf("%s is %q, want %q, in\n%s", path, got, value, clipped(a.body))
		}
	}
}

func pick(v any, path []string) string {
	if len(path) == 0 {
		switch v := v.(type) {
		case nil:
			return "null"
		case string:
			return v
		}
		b, _ := json.Marshal(v) // came from JSON
		return string(b)
	}
	if list, ok := v.([]any); ok && path[0] == "#" {
		var parts []string
		for _, e := range list {
			parts = append(parts, pick(e, path[1:]))
		}
		return strings.Join(parts, ",")
	}
	m, _ := v.(map[string]any)
	child, ok := m[path[0]]
	if !ok {
		return "missing"
	}
	return pick(child, path[1:])
}
