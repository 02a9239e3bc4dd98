package cmd

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Whoever may read a registry may list its crates, without a token; of a crate without a version to choose the table shows none.
func TestCrateListWithoutToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := r.Header.Get("Authorization"); h != "" {
			t.Errorf("it sent %q", h)
		}
		text := `{"crates":[{"name":"left","max_version":"1.2.0"},{"name":"gone","max_version":"0.0.0"}],"meta":{"total":2}}`
		if strings.HasSuffix(r.URL.Path, "/left") {
			text = `{"crate":{"name":"left"},"versions":[]}`
		}
		_, _ = w.Write([]byte(text)) // a client that went away is its own affair
	}))
	defer server.Close()
	t.Setenv("CRATEYARD_URL", server.URL)
	t.Setenv("CRATEYARD_TOKEN", "")
	out, _ := run(t, 0, "crate list")
	if lines := strings.Split(out, "\n"); !strings.HasPrefix(lines[1], "left  1.2.0 ") || !strings.HasPrefix(lines[2], "gone  -  ") {
		t.Error(out)
	}
	run(t, 0, "crate show left")
	if _, errs := run(t, 2, "crate yank left@1.2.0"); !strings.Contains(errs, "no token") {
		t.Error(errs)
	}
}

// A token for a user that there is not: the user is made first.
func TestTokenOfNobody(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"detail":"user ` + "`bob`" + ` does not exist"}]}`)) // a client that went away is its own affair
	}))
	defer server.Close()
	t.Setenv("CRATEYARD_URL", server.URL)
	t.Setenv("CRATEYARD_TOKEN", "cy_test")
	if _, errs := run(t, 1, "token create --user bob"); !strings.Contains(errs, "user `bob` does not exist (HTTP 404); crateyard user create bob --role publisher makes it") {
		t.Error(errs)
	}
}
