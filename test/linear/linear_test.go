package linear

import (
	"os"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/crateyard/crateyard/test/serve"
)

// length is how long the clients of one test are at work.
const length = 5 * time.Second

func TestOneServer(t *testing.T) {
	s, err := serve.Start(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	check(t, serve.NewClient(s.URL, s.AdminToken))
}

func check(t *testing.T, servers ...*serve.Client) *recorder {
	t.Helper()
	return checkUntil(t, (*recorder).some, servers...)
}

func checkUntil(t *testing.T, enough func(r *recorder) bool, servers ...*serve.Client) *recorder {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	r, err := record(servers, 12, length, seed, enough)
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
	done := r.counts()
	t.Logf("seed %d: %d requests, done: %v", seed, len(r.ops)+len(r.index), done)
	for _, w := range kinds {
		if done[w] == 0 {
			t.Errorf("no %s among them", w)
		}
	}
	if err := r.checkIndex(); err != nil {
		t.Error(err)
	}
	result, info := porcupine.CheckOperationsVerbose(model(), r.ops, 5*time.Minute)
	if result != porcupine.Ok {
		file, err := os.CreateTemp("", "crateyard-history-*.html") //nolint:usetesting // a person looks at it after the test
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("history is %s; see %s: %v", result, file.Name(), porcupine.Visualize(model(), info, file))
	}
	return r
}

// The checker itself must refuse what a registry may not do.
func TestModelRefuses(t *testing.T) {
	op := func(call, end int64, in input, out output) porcupine.Operation {
		return porcupine.Operation{Input: in, Call: call, Output: out, Return: end}
	}
	a, b := input{publish, "x@1", "aa"}, input{publish, "x@1", "bb"}
	look := input{what: read, key: "x@1"}
	for name, history := range map[string][]porcupine.Operation{
		"two winners":           {op(0, 10, a, output{status: 200}), op(0, 10, b, output{status: 200})},
		"lost":                  {op(0, 10, a, output{status: 200}), op(11, 12, look, output{status: 404, missing: true})},
		"other bytes":           {op(0, 10, a, output{status: 200}), op(11, 12, look, output{status: 200, digest: "bb"})},
		"before its time":       {op(0, 1, look, output{status: 200, digest: "aa"}), op(2, 10, a, output{status: 200})},
		"refused for no reason": {op(0, 10, a, output{status: 409})},
		"back in time": {op(0, 10, a, output{status: 200}), op(11, 12, input{what: yank, key: "x@1"}, output{status: 200}),
			op(13, 14, look, output{status: 200, digest: "aa", yanked: true}), op(15, 16, look, output{status: 200, digest: "aa"})},
	} {
		if porcupine.CheckOperations(model(), history) {
			t.Errorf("%s is accepted", name)
		}
	}
	if !porcupine.CheckOperations(model(), []porcupine.Operation{op(0, forever, a, output{}), op(5, 6, look, output{status: 404, missing: true}),
		op(7, 8, look, output{status: 200, digest: "aa"})}) {
		t.Error("a publish without an answer that comes true late is refused")
	}
}

// So must the rule for the index.
func TestIndexRule(t *testing.T) {
	const s = time.Second
	pub := write{input: input{publish, "x@1", "aa"}, begin: 1 * s, end: 2 * s}
	yanked := write{input: input{what: yank, key: "x@1"}, begin: 10 * s, end: 11 * s}
	missing, there, gone := output{missing: true}, output{digest: "aa"}, output{digest: "aa", yanked: true}
	for _, tc := range []struct {
		name   string
		read   indexRead
		accept bool
	}{
		{"not yet known elsewhere", indexRead{server: 1, begin: 2500 * time.Millisecond, end: 3 * s, saw: missing}, true},
		{"not known where it was done", indexRead{server: 0, begin: 2500 * time.Millisecond, end: 3 * s, saw: missing}, false},
		{"not known a second later", indexRead{server: 1, begin: 4 * s, end: 5 * s, saw: missing}, false},
		{"known", indexRead{server: 1, begin: 4 * s, end: 5 * s, saw: there}, true},
		{"before it was done", indexRead{server: 0, begin: 0, end: s / 2, saw: there}, false},
		{"yank not known", indexRead{server: 1, begin: 13 * s, end: 14 * s, saw: there}, false},
		{"yank known", indexRead{server: 1, begin: 13 * s, end: 14 * s, saw: gone}, true},
		{"yank not known yet", indexRead{server: 1, begin: 11 * s, end: 14 * s, saw: there}, true},
		{"other bytes", indexRead{server: 1, begin: 4 * s, end: 5 * s, saw: output{digest: "bb"}}, false},
	} {
		if err := tc.read.stale([]write{pub, yanked}); (err == nil) != tc.accept {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
