package crash

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/crateyard/crateyard/test/serve"
)

// Of what a server answers that lives, only 503 leaves open what became of a change. 500 fails the test.
func TestAnswers(t *testing.T) {
	for status, want := range map[int]struct {
		known  answer
		failed bool
	}{200: {yes, false}, 503: {unknown, false}, 500: {no, true}, 502: {no, true}, 404: {no, true}} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
		c := serve.NewClient(s.URL, "")
		known, err := change(c, "PUT", "/api/v1/crates/new", nil)
		if known != want.known || (err != nil) != want.failed {
			t.Errorf("%d: %v %v", status, known, err)
		}
		c.Close()
		s.Close()
		if known, err := change(c, "PUT", "/api/v1/crates/new", nil); known != unknown || err != nil {
			t.Errorf("a server that is gone: %v %v", known, err)
		}
	}
}
