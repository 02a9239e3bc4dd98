package cmd

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// Users and groups are deleted when their name was typed again, or with --yes.
func TestDeleteAsks(t *testing.T) {
	t.Setenv("CRATEYARD_TOKEN", "cy_test")
	deleted := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/release") {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"errors":[{"detail":"there is no such thing"}]}`))
			return
		}
		if r.Method == http.MethodDelete {
			deleted = r.URL.RequestURI()
		}
		_, _ = w.Write([]byte(`{}`))
	}))
	defer server.Close()
	t.Setenv("CRATEYARD_URL", server.URL)
	script, err := os.Open("deletion_test.go") // a standard input that is no terminal
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = script.Close() }()
	for _, what := range []string{"user", "group"} {
		for _, tt := range []struct {
			args    string
			in      io.Reader
			code    int
			deletes string // the query that goes with it
			want    string
		}{
			{"release", script, 2, "none", "this deletes " + what + " `release` for ever, and nobody is here to ask: say --yes"},
			{"release", strings.NewReader("yes\n"), 1, "none", "nothing was deleted: that is not `release`"},
			{"release", strings.NewReader("release\n"), 0, "", "This deletes " + what + " release for ever. Type its name to go on: "},
			{"release --yes", script, 0, "", ""},
			{"relaese", strings.NewReader("relaese\n"), 1, "none", "there is no such thing"},
			{"release --force", script, 2, "none", "nobody is here to ask"},
			{"release --force --yes", script, 0, "?force=true", ""},
		} {
			if what == "group" && strings.Contains(tt.args, "--force") {
				continue
			}
			deleted = "none"
			var out, errOut strings.Builder
			code := Main(append([]string{what, "delete"}, strings.Fields(tt.args)...), tt.in, &out, &errOut)
			if tt.deletes != "none" {
				tt.deletes = "/api/v1/" + what + "s/release" + tt.deletes
			}
			if code != tt.code || deleted != tt.deletes || !strings.Contains(errOut.String(), tt.want) {
				t.Errorf("%s delete %s: exit code %d, deleted %s; want %d, %s and %q; it said\n%s", what, tt.args, code, deleted, tt.code, tt.deletes, tt.want, errOut.String())
			}
		}
	}
}
