package cmd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// mirrorServer answers what crateyard mirror asks for, with one mirror, m, that becomes what it is told to be.
type mirrorServer struct {
	*testing.T
	url string
	own string // the address that it says is its own
	m   wire.Mirror

	token   *string // that was put last
	deleted int     // how often
	answer  string  // to what commands ask
	none    bool    // there is no mirror before one is put
	refuses bool    // any spec
	tried   wire.MirrorDryRun
	private bool // who asks as cargo does needs another token

	interrupt func() // when a sync is asked for
}

func serveMirror(t *testing.T, m wire.Mirror) *mirrorServer {
	t.Helper()
	s := &mirrorServer{T: t, m: m}
	s.m.Name = "m"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/api/openapi.json":
			_, _ = w.Write([]byte(`{"servers":[{"url":"` + s.own + `","description":"acme"}]}`))
			return
		case r.URL.Path == "/mirrors/m/config.json" && s.private:
			w.WriteHeader(http.StatusUnauthorized)
			return
		case r.URL.Path == "/api/v1/mirrors/m/sync" && s.interrupt != nil:
			s.interrupt()
		case r.URL.Path == "/mirrors/m/config.json":
			w.Header().Set(wire.UpstreamHeader, s.m.Spec.Upstream.Index)
			return
		case r.URL.Path == "/api/v1/mirrors/m/policy":
			_ = json.NewEncoder(w).Encode(s.tried)
			return
		case r.URL.Path != "/api/v1/mirrors/m":
			http.NotFound(w, r)
			return
		case r.Method == http.MethodGet && s.none:
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"errors":[{"detail":"there is no such mirror"}]}`))
			return
		case r.Method == http.MethodDelete:
			s.deleted++
			w.WriteHeader(http.StatusNoContent)
			return
		case r.Method == http.MethodPut && s.refuses:
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"errors":[{"detail":"that cannot be"}]}`))
			return
		case r.Method == http.MethodPut:
			var change wire.MirrorChange
			if err := json.NewDecoder(r.Body).Decode(&change); err != nil {
				t.Error(err)
			}
			s.m.Spec, s.token = change.Spec, change.Token
		}
		_ = json.NewEncoder(w).Encode(s.m) // a client that went away is its own affair
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// run runs crateyard with some arguments.
func (s *mirrorServer) run(args ...string) (stdout, stderr string, err error) {
	s.Helper()
	return s.runIn(s.Context(), args...)
}

func (s *mirrorServer) runIn(ctx context.Context, args ...string) (stdout, stderr string, err error) {
	s.Helper()
	s.Setenv("CRATEYARD_URL", s.url)
	s.Setenv("CRATEYARD_TOKEN", "cy_test")
	root := newRootCommand()
	var out, errs bytes.Buffer
	root.SetIn(strings.NewReader(s.answer))
	root.SetOut(&out)
	root.SetErr(&errs)
	root.SetArgs(args)
	err = root.ExecuteContext(ctx)
	return out.String(), errs.String(), err
}

// write writes a file of the test's, and gives its path.
func (s *mirrorServer) write(name, text string) string {
	s.Helper()
	path := filepath.Join(s.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	return path
}

// A create that names no upstream leaves the one that is there, and says what else it takes away.
func TestMirrorCreateAgain(t *testing.T) {
	const partner = "sparse+https://crates.partner.example/index/"
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: partner, CABundle: "PEM", Contact: "a@b.c"}, Mode: "Pinned", Crates: []wire.MirrorCrate{{Name: "serde", Versions: "^1"}, {Name: "anyhow"}}}
	s := serveMirror(t, wire.Mirror{Spec: spec})
	policy := s.write("policy.yaml", "policy: {deny: ['evil-*']}\ncrates: [{name: anyhow, latest: 2}]\n")
	s.refuses = true
	if _, told, err := s.run("mirror", "create", "m", "--spec", policy); err == nil || strings.Contains(told, "from now on") {
		t.Errorf("refused, it says %q, %v", told, err)
	}
	s.refuses = false
	_, told, err := s.run("mirror", "create", "m", "--spec", policy)
	if err != nil {
		t.Fatal(err)
	}
	if up := s.m.Spec.Upstream; up.Index != partner || up.CABundle != "PEM" || up.Contact != "" {
		t.Errorf("upstream is %+v", up)
	}
	for _, want := range []string{"listed serde ^1 to cache ahead, and lists 1 crate from now on", "mode Pinned"} {
		if !strings.Contains(told, want) {
			t.Errorf("it says %q, and not %q", told, want)
		}
	}
	if _, told, err = s.run("mirror", "create", "m", "--spec", policy); err != nil || told != "" {
		t.Errorf("the same again says %q, %v", told, err)
	}
	s.m.Warnings = []string{"mirror `m` is of another registry"}
	out, told, err := s.run("mirror", "create", "m", "--spec", policy, "--upstream", "crates-io")
	if err != nil || s.m.Spec.Upstream.Index != wire.CratesIOIndex || s.m.Spec.Upstream.CABundle != "" || !strings.Contains(told, "note: mirror `m` is of another registry") || strings.Contains(out, "--upstream") {
		t.Errorf("%v %+v\n%s%s", err, s.m.Spec.Upstream, out, told)
	}
}

// What a policy denies is no failure of try; one with which the mirror gives nothing out is.
func TestMirrorTry(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	policy := s.write("policy.yaml", "policy: {advisories: {source: /srv/db}}\n")
	s.tried = wire.MirrorDryRun{Crates: 1, Versions: 2, Total: 1, Denied: []wire.MirrorDenial{{Crate: "acme", Version: "1.0.0", Rule: "yanked"}}}
	if out, _, err := s.run("mirror", "try", "m", "--spec", policy); err != nil || !strings.Contains(out, "1 of 2 versions of 1 crate would be denied") {
		t.Errorf("%v\n%s", err, out)
	}
	s.tried = wire.MirrorDryRun{Withheld: "the mirror gives nothing out"}
	if out, _, err := s.run("mirror", "try", "m", "--spec", policy); err == nil || err.Error() != s.tried.Withheld || !strings.Contains(out, "would be denied") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A comma within the requirement of a pattern is none between patterns, and a crate with an @ has a requirement.
func TestMirrorCreatePatterns(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	for deny, want := range map[string]string{
		"evil-*":                            "evil-*",
		"time@>=0.2, <0.3":                  "time@>=0.2, <0.3",
		"time@>=0.2,<0.3,evil-*, b@1,2,*-x": "time@>=0.2, <0.3|evil-*|b@1, 2|*-x",
		"a,b":                               "a|b",
		"a,":                                "a|",
		"a,1b":                              "a|1b",
		"":                                  "",
	} {
		if _, _, err := s.run("mirror", "create", "m", "--deny", deny); err != nil || strings.Join(s.m.Spec.Policy.Deny, "|") != want || deny == "" && s.m.Spec.Policy.Deny != nil {
			t.Errorf("%q: %v %q", deny, err, s.m.Spec.Policy.Deny)
		}
	}
	if _, _, err := s.run("mirror", "create", "m", "--deny", "a", "--deny", "b@1, 2"); err != nil || strings.Join(s.m.Spec.Policy.Deny, "|") != "a|b@1, 2" {
		t.Errorf("twice: %v %q", err, s.m.Spec.Policy.Deny)
	}
	if _, _, err := s.run("mirror", "create", "m", "--crate", "serde@"); err == nil || !strings.Contains(err.Error(), "say --crate serde") {
		t.Errorf("--crate serde@: %v", err)
	}
}

// Who lets one version in, and says so without an operator, is told that it is more than one.
func TestMirrorCarets(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	file := s.write("policy.yaml", "policy: {minimum_age_exceptions: ['tokio@1.40.0', 'a@=1.0.0', 'b@1.2', 'c'], allow: ['serde-*@1.0.0-rc.1'], deny: ['evil@1.0.0']}\n")
	want := "note: policy.allow: serde-*@1.0.0-rc.1 means ^1.0.0-rc.1, so later versions, too; serde-*@=1.0.0-rc.1 is that one alone\n" +
		"note: policy.minimum_age_exceptions: tokio@1.40.0 means ^1.40.0, so later versions, too; tokio@=1.40.0 is that one alone\n"
	for _, command := range []string{"create", "try"} {
		if _, told, err := s.run("mirror", command, "m", "--spec", file); err != nil || told != want {
			t.Errorf("%s: %v\n%s", command, err, told)
		}
	}
}

// The name that cargo has for crates.io is one for a new mirror, too.
func TestMirrorCreateOfCratesIO(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	s.none = true
	if _, _, err := s.run("mirror", "create", "m", "--upstream", "crates-io"); err != nil || s.m.Spec.Upstream.Index != wire.CratesIOIndex {
		t.Errorf("%v %+v", err, s.m.Spec.Upstream)
	}
}

// A mirror that waits for its advisories does not look as if it were up.
func TestMirrorUnadvised(t *testing.T) {
	m := wire.Mirror{Name: "m", Spec: wire.MirrorSpec{Policy: wire.MirrorPolicy{Advisories: &wire.MirrorAdvisories{Source: "/srv/db"}}}}
	m.Status = wire.MirrorStatus{Upstream: wire.Backend{Ready: true}, IndexFiles: 1, Advisories: &wire.Backend{Backend: "/srv/db", Message: "no such folder"}}
	var list, details bytes.Buffer
	mirrorTable(m)(&list)
	mirrorDetails(&clientFlags{}, m)(&details)
	if !strings.Contains(list.String(), "\tno advisories\t") || !strings.Contains(details.String(), "Advisories:\t/srv/db: not read: no such folder; nothing is given out before they are") {
		t.Errorf("%s%s", list.String(), details.String())
	}
}

// An upstream that was never reached is told from one that answers, and nothing to sync from a sync that went well.
func TestMirrorNeverReached(t *testing.T) {
	now := time.Now()
	sync := wire.MirrorSync{LastStarted: &now, LastEnded: &now, LastSuccessful: &now}
	refused := wire.Backend{Message: "connection refused"}
	for _, tt := range []struct {
		st         wire.MirrorStatus
		up, detail string
	}{
		{wire.MirrorStatus{Upstream: refused}, "never", "never reached: connection refused"},
		{wire.MirrorStatus{Upstream: wire.Backend{Ready: true}}, "not asked", "not asked yet"},
		{wire.MirrorStatus{Upstream: wire.Backend{Ready: true}, UpstreamAnswered: &now}, "yes", ""},
		{wire.MirrorStatus{Upstream: wire.Backend{Ready: true}, IndexFiles: 1}, "yes", ""},
		{wire.MirrorStatus{Upstream: refused, IndexFiles: 1}, "no", "of no help: connection refused"},
	} {
		tt.st.Sync = sync
		m := wire.Mirror{Name: "m", Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "X"}, Mode: "OnDemand"}, Status: tt.st}
		var list, details bytes.Buffer
		mirrorTable(m)(&list)
		mirrorDetails(&clientFlags{}, m)(&details)
		if want := "m\tX\tOnDemand\t" + tt.up + "\t0\t0 B\t-\t-\t-\n"; !strings.HasSuffix(list.String(), want) {
			t.Errorf("the list is\n%swant\n%s", list.String(), want)
		}
		if got := details.String(); !strings.Contains(got, tt.detail) || tt.detail == "" && strings.Contains(got, "\n\t") || !strings.Contains(got, "Sync:\tnothing is listed") {
			t.Errorf("%+v:\n%s", tt.st, got)
		}
	}
}

// A mirror is deleted when its name was typed again, or with --yes.
func TestMirrorDeleteAsks(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	for _, tt := range []struct {
		args, answer string
		deletes      bool
		want         string
	}{
		{"m", "", false, "say --yes"}, {"m", "y\n", false, "that is not `m`"}, {"m", "m\n", true, ""}, {"m --yes", "", true, ""}, {"n", "n\n", false, "HTTP 404"},
	} {
		s.deleted, s.answer = 0, tt.answer
		out, _, err := s.run(append([]string{"mirror", "delete"}, strings.Fields(tt.args)...)...)
		if (s.deleted == 1) != tt.deletes || strings.Contains(out, "Deleted mirror  m") != tt.deletes || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s, %q: %d times, %v\n%s", tt.args, tt.answer, s.deleted, err, out)
		}
	}
}

// The status of a mirror says what its policy is.
func TestMirrorStatusPolicy(t *testing.T) {
	p := wire.MirrorPolicy{Allow: []string{"a*", "b"}, Deny: []string{"evil-*"}, MinimumAge: wire.Duration(72 * time.Hour), MinimumAgeExceptions: []string{"acme-*"}, Licenses: []string{"MIT"},
		Yanked: "Deny", MaxCrateSize: 5 << 20, Advisories: &wire.MirrorAdvisories{Source: "/srv/db", Action: "Warn", Exceptions: []wire.MirrorException{{ID: "RUSTSEC-1"}}}}
	s := serveMirror(t, wire.Mirror{Spec: wire.MirrorSpec{Policy: p}, Lockfiles: []wire.MirrorLockfile{{Name: "app", Versions: 1, SkippedTotal: 2}}})
	out, _, err := s.run("mirror", "status", "m")
	for _, want := range []string{"app: 1 version, 2 entries of other sources\n", "Policy:    allow: a*, b\n", "           deny: evil-*\n", "minimum_age: 72h, but for acme-*\n", "licenses: MIT\n", "yanked: Deny\n", "max_crate_size: 5.0 MiB\n",
		"advisories: Warn those of /srv/db, severity Low and above, but for RUSTSEC-1\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	s.m.Spec.Policy = wire.MirrorPolicy{}
	if out, _, _ := s.run("mirror", "status", "m"); err != nil || strings.Contains(out, "Policy") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What a command tells the user to run goes to the server that the user named.
func TestMirrorHints(t *testing.T) {
	s := serveMirror(t, wire.Mirror{Warnings: []string{"until `crateyard mirror sync m` has run"}, Status: wire.MirrorStatus{Problems: []string{"so `crateyard mirror forget m a`"}}})
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"mirror", "create", "m"}, "crateyard cargo-config --mirror m --url URL --upstream x\n"},
		{[]string{"mirror", "create", "m"}, "until `crateyard mirror --url URL sync m` has run"},
		{[]string{"mirror", "status", "m"}, "so `crateyard mirror --url URL forget m a`"},
	} {
		s.m.Spec.Upstream.Index = "x"
		out, errs, err := s.run(append(tt.args, "--url", s.url)...)
		if want := strings.ReplaceAll(tt.want, "URL", s.url); err != nil || !strings.Contains(out+errs, want) {
			t.Errorf("%q: %v\n%s%s\nwant %s", tt.args, err, out, errs, want)
		}
		if out, errs, err = s.run(tt.args...); err != nil || strings.Contains(out+errs, "--url") {
			t.Errorf("%q without --url: %v\n%s%s", tt.args, err, out, errs)
		}
	}
}

// The lines for cargo are told with the address that the registry calls its own, and where that is the one that is asked, with none.
func TestMirrorCreateTellsOwnAddress(t *testing.T) {
	const own = "https://crates.example.com/rust"
	s := serveMirror(t, wire.Mirror{IndexURL: "sparse+" + own + "/mirrors/m/", Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: wire.CratesIOIndex}}})
	for _, args := range [][]string{{}, {"--url", s.url}} {
		if out, _, err := s.run(append([]string{"mirror", "create", "m"}, args...)...); err != nil || !strings.Contains(out, "cargo-config --mirror m --url "+own+"\n") {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
	s.m.IndexURL = "sparse+" + s.url + "/mirrors/m/"
	if out, _, err := s.run("mirror", "create", "m"); err != nil || strings.Contains(out, "--url") {
		t.Errorf("%v\n%s", err, out)
	}
}

// What an error tells to run goes to the server of --url, too.
func TestHintsOfErrors(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"errors":[{"detail":"load it into one that ` + "`crateyard mirror create NAME --upstream x` makes, or see `crateyard mirror list --url y` and `crateyard serve --help`" + `"}]}`))
	}))
	defer server.Close()
	t.Setenv("CRATEYARD_TOKEN", "cy_test")
	var out, errs bytes.Buffer
	code := Main([]string{"mirror", "import", "m", "--from", "-", "--url", server.URL}, strings.NewReader(""), &out, &errs)
	want := "`crateyard mirror --url " + server.URL + " create NAME --upstream x` makes, or see `crateyard mirror list --url y` and `crateyard serve --help`"
	if code != 1 || !strings.Contains(errs.String(), want) {
		t.Errorf("%d %s\nwant %s", code, errs.String(), want)
	}
	errs.Reset()
	t.Setenv("CRATEYARD_URL", server.URL)
	if Main([]string{"mirror", "import", "m", "--from", "-"}, strings.NewReader(""), &out, &errs); strings.Contains(errs.String(), server.URL) {
		t.Errorf("without --url: %s", errs.String())
	}
}

// A token alone is changed without anything else.
func TestMirrorToken(t *testing.T) {
	s := serveMirror(t, wire.Mirror{Spec: wire.MirrorSpec{Mode: "Pinned", Upstream: wire.MirrorUpstream{Index: "sparse+https://partner.example/"}}})
	was := fmt.Sprint(s.m.Spec)
	file := s.write("token", " new-one\n")
	s.answer = "from-stdin\n"
	for _, tt := range []struct {
		args []string
		want string
	}{{[]string{"--upstream-token-file", file}, "new-one"}, {[]string{"--upstream-token-file", "-"}, "from-stdin"}, {[]string{"--remove"}, ""}} {
		s.token = nil
		out, _, err := s.run(append([]string{"mirror", "token", "m"}, tt.args...)...)
		if err != nil || s.token == nil || *s.token != tt.want || fmt.Sprint(s.m.Spec) != was || tt.want != "" && strings.Contains(out, tt.want) {
			t.Errorf("%q: %v %v %+v\n%s", tt.args, err, s.token, s.m.Spec, out)
		}
	}
	s.token = nil
	for _, args := range [][]string{{}, {"--upstream-token-file", file, "--remove"}, {"--upstream-token-file", s.write("empty", "\n")}} {
		if _, _, err := s.run(append([]string{"mirror", "token", "m"}, args...)...); err == nil || s.token != nil {
			t.Errorf("%q: %v %v", args, err, s.token)
		}
	}
}

// What broke off leaves no file behind.
func TestMirrorExportLeavesNothing(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	to := filepath.Join(t.TempDir(), "x.tar")
	if _, _, err := s.run("mirror", "export", "nowhere", "--to", to); err == nil {
		t.Error("it was written")
	}
	if left, err := filepath.Glob(to + "*"); err != nil || len(left) != 0 {
		t.Errorf("%q %v", left, err)
	}
}

// Who breaks off waiting for a sync is told that it goes on.
func TestMirrorSyncBrokenOff(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	ctx, cancel := context.WithCancel(t.Context())
	s.interrupt = func() { time.AfterFunc(50*time.Millisecond, cancel) }
	if _, _, err := s.runIn(ctx, "mirror", "sync", "m"); err == nil || !strings.Contains(err.Error(), "goes on at the server: `crateyard mirror status m`") {
		t.Error(err)
	}
}

// A sync of nothing says so.
func TestMirrorSyncOfNothing(t *testing.T) {
	var out bytes.Buffer
	cmd := newRootCommand()
	cmd.SetOut(&out)
	if err := reportSync(cmd, &clientFlags{}, wire.Mirror{Spec: wire.MirrorSpec{Mode: pinned}}, nil); err != nil || out.String() != "nothing is listed to be cached ahead\n" {
		t.Errorf("%v %q", err, out.String())
	}
}

// A registry's own address is what others reach it by: it stands in the lines unless another is given, and then that is said.
func TestCargoConfigOwnAddress(t *testing.T) {
	for _, tt := range [][4]string{{"", "", defaultURL, ""}, {"", "https://a.b", "https://a.b", ""}, {"http://a.b", "", "http://a.b", ""}, {"http://a.b", "https://a.b", "http://a.b", "is https://a.b;"}} {
		if got, why := publicAddress(tt[0], tt[1]); got != tt[2] || !strings.Contains(why, tt[3]) || tt[3] == "" && why != "" {
			t.Errorf("%q of %q: %q, %q", tt[0], tt[1], got, why)
		}
	}
	s := serveMirror(t, wire.Mirror{})
	server := client.New(s.url, "")
	for own, want := range map[string]client.Identity{
		"https://crates.example.com/rust": {Name: "acme", URL: "https://crates.example.com/rust"}, "x": {Name: "acme"}, s.url: {Name: "acme", URL: s.url},
	} {
		s.own = own
		if is := identityOf(t.Context(), server); is != want {
			t.Errorf("%s: %+v", own, is)
		}
		for _, args := range [][]string{{"cargo-config"}, {"cargo-config", "--mirror", "m", "--upstream", "sparse+https://crates.example.com/"}} {
			out, errs, err := s.run(args...)
			if differs := own != s.url && own != "x"; err != nil || !strings.Contains(out, `"sparse+`+s.url+"/") || strings.Contains(errs, "own address is "+own) != differs {
				t.Errorf("%s, %q: %v\n%s%s", own, args, err, out, errs)
			}
		}
	}
}

// cargo-config calls a registry what it calls itself, has a mirror replace the registry that it is of, and gives no lines for a mirror that there is not;
// without a server it does what it can.
func TestCargoConfigAsks(t *testing.T) {
	s := serveMirror(t, wire.Mirror{Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+https://partner.example/index/"}}})
	for _, tt := range []struct{ args, out, errs, fails string }{
		{"", "[registries.acme]", "", ""},
		{"--name other", "[registries.other]", "", ""},
		{"--mirror m", "[source.m-upstream]\nregistry = \"sparse+https://partner.example/index/\"\nreplace-with = \"m\"", "", ""},
		{"--mirror m --upstream sparse+https://other.example/", `registry = "sparse+https://other.example/"`, "", ""},
		{"--mirror n", "", "", "there is no mirror `n` at URL; `crateyard mirror list --url URL` names"},
		{"--url http://127.0.0.1:1", "[registries.crateyard]", "cannot be asked what it is called, so it is crateyard here", ""},
		{"--url http://127.0.0.1:1 --mirror n", "[source.crates-io]\nreplace-with = \"n\"", "cannot be asked what mirror n is of, so these lines are for one of crates.io", ""},
		{"--url http://127.0.0.1:1 --mirror n --upstream sparse+https://other.example/", `replace-with = "n"`, "", ""},
	} {
		out, errs, err := s.run(append([]string{"cargo-config"}, strings.Fields(tt.args)...)...)
		said := ""
		if err != nil {
			said = err.Error()
		}
		if want := strings.ReplaceAll(tt.fails, "URL", s.url); !strings.Contains(out, tt.out) || !strings.Contains(errs, tt.errs) || tt.errs == "" && errs != "" || !strings.Contains(said, want) || want == "" && said != "" {
			t.Errorf("cargo-config %s: %v\n%s%s", tt.args, err, out, errs)
		}
	}
}

// A registry that is not for all cannot be asked without a token, and the note says so.
func TestCargoConfigOfAPrivateRegistry(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	s.private = true
	if _, told, err := s.run("cargo-config", "--mirror", "m"); err != nil || !strings.Contains(told, "cannot be asked what mirror m is of (status 401: it does not know the token in CRATEYARD_TOKEN), so") {
		t.Errorf("%v %s", err, told)
	}
	t.Setenv("CRATEYARD_TOKEN", "")
	if got := refused(&client.Error{StatusCode: http.StatusUnauthorized}); !strings.Contains(got, "a token only") {
		t.Error(got)
	}
}

// A mistake in a file for --spec is told with the file, the field and what it should be.
func TestMirrorSpecMistakes(t *testing.T) {
	s := serveMirror(t, wire.Mirror{})
	for text, want := range map[string]string{
		"policy: {minimum_ages: 72h}":                    "there is no policy.minimum_ages; is it policy.minimum_age?",
		"policy: {minimumAge: 72h}":                      "there is no policy.minimumAge; is it policy.minimum_age?",
		"polcy: {}":                                      "there is no polcy; is it policy?",
		"max_size: 5":                                    "there is no max_size; is it retention.max_size?",
		"crates: [{name: a}, {nam: b}]":                  "there is no crates[1].nam; is it crates[1].name?",
		"colour: red":                                    "there is no colour; there are upstream, mode, crates,",
		"policy: {minimum_age: soon}":                    `policy.minimum_age: "soon" is no duration`,
		"policy: {minimum_age: 72}":                      "policy.minimum_age: it must be a time, such as 12h or 90d, and is 72",
		"policy: {deny: evil}":                           "policy.deny: it must be a list",
		"retention: {max_size: 50Gi}":                    `retention.max_size: it must be bytes, 53687091200, and is "50Gi"`,
		"policy: {max_crate_size: 5Mi}":                  `policy.max_crate_size: it must be bytes, 5242880, and is "5Mi"`,
		"policy: {max_crate_size: big}":                  `policy.max_crate_size: it must be a whole number of bytes, and is "big"`,
		"policy: {max_crate_size: 1.5}":                  `policy.max_crate_size: it must be a whole number, and is 1.5`,
		"suspend: maybe":                                 "suspend: it must be true or false",
		"crates: [{name: 5}]":                            "crates[0].name: it must be a text",
		"policy: [a]":                                    "policy: it must be keys and values, such as allow: …",
		"- a":                                            "all of it: it must be keys and values",
		"policy: {advisories: {source: x, acton: Deny}}": "there is no policy.advisories.acton; is it policy.advisories.action?",
		"mode: OnDemand\nretention: {unused_for: 90d}":   "",
		"":                 "it is empty; a mirror with the default of everything, and without a policy, is said with {}",
		"---\n# nothing\n": "it is empty",
		"null":             "it is empty",
		"{}":               "",
		"kind: red":        "there is no kind; there are",
		"apiVersion: crateyard.dev/v1alpha1\nkind: CrateMirror\nspec: {}": "it is a manifest, for kubectl apply; here goes what stands below its spec",
	} {
		file := s.write("policy.yaml", text)
		_, _, err := s.run("mirror", "create", "m", "--spec", file)
		if want == "" && err != nil || want != "" && (err == nil || !strings.HasPrefix(err.Error(), "--spec "+file+": "+want)) {
			t.Errorf("%q: %v\nwant %s", text, err, want)
		}
	}
}

// --help says of which kind the values of flags are, and no default that there is not.
func TestMirrorHelp(t *testing.T) {
	out, _, err := serveMirror(t, wire.Mirror{}).run("mirror", "create", "--help")
	for _, want := range []string{"--max-age duration ", "--minimum-age duration "} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if err != nil || strings.Contains(out, "default 0") {
		t.Errorf("%v\n%s", err, out)
	}
}

// A lockfile is pinned when all that it names is cached, whatever else a mirror lists.
func TestMirrorPinReports(t *testing.T) {
	text := "[[package]]\nname = \"shared\"\nversion = \"1.0.0\"\n"
	for name, tt := range map[string]struct {
		failed   int64
		failures []wire.MirrorFailure
		want     string
	}{
		"others":                {1, []wire.MirrorFailure{{Crate: "tokio", Version: "^9", From: "crates"}}, ""},
		"its own":               {2, []wire.MirrorFailure{{Crate: "tokio", Version: "^9", From: "crates"}, {Crate: "a", Version: "1.0.0", From: "lockfile app"}}, "1 of the lockfile could not be cached"},
		"in both":               {1, []wire.MirrorFailure{{Crate: "shared", Version: "1.0.0", From: "lockfile other"}}, "1 of the lockfile could not be cached"},
		"in both, failed twice": {2, []wire.MirrorFailure{{Crate: "shared", Version: "1.0.0", From: "lockfile app"}, {Crate: "shared", Version: "1.0.0", From: "lockfile other"}}, "1 of the lockfile could not be cached"},
		"another's":             {1, []wire.MirrorFailure{{Crate: "b", Version: "1.0.0", From: "lockfile other"}}, ""},
		"too many":              {2, []wire.MirrorFailure{{Crate: "b", Version: "1.0.0", From: "crates"}}, "2 could not be cached, and not all of them are listed"},
		"none":                  {0, nil, ""},
		"its own, and more":     {35, []wire.MirrorFailure{{Crate: "a", Version: "1.0.0", From: "lockfile app"}}, "1 of the lockfile could not be cached, and 34 more failed that are not listed"},
	} {
		m := wire.Mirror{Status: wire.MirrorStatus{Sync: wire.MirrorSync{Total: 9, Failed: tt.failed, Failures: tt.failures}}}
		cmd := newRootCommand()
		cmd.SetOut(&bytes.Buffer{})
		cmd.SetErr(&bytes.Buffer{})
		err := reportSync(cmd, &clientFlags{}, m, func(f wire.MirrorFailure) bool { return names(text, "app", f) })
		if said := fmt.Sprint(err); err == nil && tt.want != "" || err != nil && said != tt.want {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// Who makes a mirror another is told of every setting that goes with it, and of none that was said or is as it was.
func TestLost(t *testing.T) {
	was := wire.MirrorSpec{Mode: "OnDemand", Dependencies: "Normal", Schedule: "0 3 * * *", Suspend: true, Upstream: wire.MirrorUpstream{Index: "sparse+https://a.example/", MaxAge: wire.Duration(time.Hour)},
		Policy: wire.MirrorPolicy{Deny: []string{"evil-*"}, Advisories: &wire.MirrorAdvisories{Source: "/srv/db"}}, Retention: wire.MirrorRetention{MaxSize: 1}}
	for _, tt := range []struct {
		said wire.MirrorSpec
		want string
	}{
		{was, ""},
		{wire.MirrorSpec{}, "policy.advisories, policy.deny, retention.max_size, schedule, suspend, upstream.max_age"},
		{wire.MirrorSpec{Policy: wire.MirrorPolicy{Deny: []string{"b"}}, Schedule: "0 4 * * *"}, "policy.advisories, retention.max_size, suspend, upstream.max_age"},
	} {
		is := tt.said // as the server makes it
		is.Mode, is.Dependencies = "OnDemand", "Normal"
		if is.Upstream.MaxAge == 0 {
			is.Upstream.MaxAge = wire.Duration(5 * time.Minute)
		}
		if got := strings.Join(unsaid(was, tt.said, is), ", "); got != tt.want {
			t.Errorf("%+v: lost are %q, want %q", tt.said, got, tt.want)
		}
	}
}
