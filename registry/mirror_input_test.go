package registry_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/port"
)

// refused fails the test unless an error is the client's own fault and says what is wanted.
func refused(t *testing.T, what string, err error, wants ...string) {
	t.Helper()
	e, ok := errors.AsType[*client.Error](err)
	if !ok || e.StatusCode < 400 || e.StatusCode > 499 {
		t.Errorf("%s: %v", what, err)
		return
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q is not in %v", what, want, err)
		}
	}
}

// What there is not is told as what it is: no crate, one that is spelled in another way, no version, no such name, nothing cached.
func TestMirrorSaysWhatThereIsNot(t *testing.T) {
	m := openMirror(t, nil, "Acme 1.0.0")
	for what, want := range map[string]string{
		"nope 1.0.0":    "has no crate `nope`",
		"acme 1.0.0":    "has no crate `acme`; it has `Acme`, and names must be spelled alike",
		"Acme 7.0.0":    "has no version `7.0.0` of crate `Acme`",
		"a%20b 1.0.0":   `"a b" is no name of a crate`,
		"../../x 1.0.0": "",
	} {
		name, version, _ := strings.Cut(what, " ")
		for _, a := range []answer{
			m.do("POST", "/api/v1/mirrors/m/crates/"+name+"/"+version, m.admin, nil),
			m.do("GET", "/mirrors/m/crates/"+name+"/"+version+"/download", "", nil),
		} {
			if a.status != 404 || !strings.Contains(strings.ReplaceAll(a.body, `\"`, `"`), want) {
				t.Errorf("%s: %d %s", what, a.status, a.body)
			}
		}
	}
	refused(t, "forget", m.client.ForgetCrate(t.Context(), "m", "never-heard"), "has nothing cached of crate `never-heard`")
	m.index("Acme")
	if err := m.client.ForgetCrate(t.Context(), "m", "acme"); err != nil {
		t.Error(err)
	}
	refused(t, "forget again", m.client.ForgetCrate(t.Context(), "m", "acme"), "has nothing cached of crate `acme`")
	m.put("pinned", func(s *wire.MirrorSpec) { s.Mode = "Pinned" })
	if a := m.do("GET", "/mirrors/pinned/"+path("Acme"), "", nil); a.status != 404 || !strings.Contains(a.body, "mode Pinned") || strings.Contains(a.body, "upstream") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// Values of the wrong kind are told by their place and in JSON's words, and names of lockfiles as such.
func TestMirrorInputOfTheWrongKind(t *testing.T) {
	m := openMirror(t, nil)
	for body, want := range map[string]string{
		`{"spec":{"policy":{"max_crate_size":"5Mi"}}}`: "spec.policy.max_crate_size: it must be a whole number, and is string",
		`{"spec":{"policy":{"minimum_age":3}}}`:        "spec.policy.minimum_age: it must be a string, and is number",
		`{"spec":{"policy":{"deny":"x"}}}`:             "spec.policy.deny: it must be an array, and is string",
		`{"spec":{"policy":[]}}`:                       "spec.policy: it must be an object, and is array",
		`[]`:                                           "all of it: it must be an object, and is array",
		`{"spec":{"suspend":1.5}}`:                     "spec.suspend: it must be true or false, and is number",
	} {
		if a := m.do("PUT", "/api/v1/mirrors/m", m.admin, strings.NewReader(body)); a.status != 400 || !strings.Contains(a.body, want) || strings.Contains(a.body, "Go ") {
			t.Errorf("%s: %d %s\nwant %s", body, a.status, a.body, want)
		}
	}
	if a := m.do("PUT", "/api/v1/mirrors/m/lockfiles/bad%20name", m.admin, strings.NewReader("")); a.status != 400 || !strings.Contains(a.body, "name of a lockfile") || strings.Contains(a.body, "user") {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A mirror cannot be called as its registry: cargo's configuration has no room for two of one name. One that is called so already stays, and is warned of.
func TestMirrorNamedAsItsRegistry(t *testing.T) {
	m := openUpstream(t, "acme 1.0.0")
	dir := t.TempDir()
	m.yard = openIn(t, dir, func(c *registry.Config) { c.Name = "acme" })
	m.client = client.New(m.url, m.admin)
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + m.proxy.URL + "/index/"}}
	_, err := m.client.PutMirror(t.Context(), "acme", wire.MirrorChange{Spec: spec})
	refused(t, "the registry's own name", err, `mirror name "acme"`, "acme-mirror")
	if _, err := m.client.PutMirror(t.Context(), "later", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	if err := m.stop(); err != nil {
		t.Fatal(err)
	}
	m.yard = openIn(t, dir, func(c *registry.Config) { c.Name = "later" })
	m.client = client.New(m.url, m.admin)
	spec.Schedule = "0 3 * * *"
	got, err := m.client.PutMirror(t.Context(), "later", wire.MirrorChange{Spec: spec})
	if err != nil || len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], "called so itself") {
		t.Errorf("%v %q", err, got.Warnings)
	}
}

// A spec that cannot be is refused with all that is wrong, each by its field and entry, and the mirror stays as it was.
func TestMirrorSpecsThatCannotBe(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	index := "sparse+" + m.proxy.URL + "/index/"
	for name, c := range map[string]struct {
		spec  wire.MirrorSpec
		wants []string
	}{
		"no sparse index":    {wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "https://github.com/rust-lang/index"}}, []string{"upstream.index", "sparse+https://"}},
		"password":           {wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+https://u:secret@example.com/"}}, []string{"upstream.index", "token apart"}},
		"itself":             {wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + m.url + "/index/"}}, []string{"upstream.index", "this registry itself"}},
		"no certificate":     {wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: index, CABundle: "hello"}}, []string{"upstream.ca_bundle"}},
		"mode":               {wire.MirrorSpec{Mode: "Sometimes"}, []string{`mode "Sometimes"`, "OnDemand", "Pinned"}},
		"name of a crate":    {wire.MirrorSpec{Crates: []wire.MirrorCrate{{Name: "good"}, {Name: "../bad"}}}, []string{"crates[1]", "../bad"}},
		"requirement":        {wire.MirrorSpec{Crates: []wire.MirrorCrate{{Name: "serde", Versions: "one"}}}, []string{"crates[0] (serde)", "one"}},
		"latest":             {wire.MirrorSpec{Crates: []wire.MirrorCrate{{Name: "serde", Latest: -1}}}, []string{"crates[0] (serde)", "latest -1"}},
		"no such schedule":   {wire.MirrorSpec{Schedule: "every day"}, []string{`schedule "every day"`}},
		"never":              {wire.MirrorSpec{Schedule: "0 0 30 2 *"}, []string{`schedule "0 0 30 2 *"`, "no such day"}},
		"pattern":            {wire.MirrorSpec{Policy: wire.MirrorPolicy{Deny: []string{"ok-*", "a b"}}}, []string{"deny", "a b"}},
		"contradiction":      {wire.MirrorSpec{Policy: wire.MirrorPolicy{Allow: []string{"acme-*", "serde"}, Deny: []string{"serde"}}}, []string{"serde", "deny"}},
		"exceptions of none": {wire.MirrorSpec{Policy: wire.MirrorPolicy{MinimumAgeExceptions: []string{"acme-*"}}}, []string{"minimum_age_exceptions", "minimum_age is not set"}},
		"licence":            {wire.MirrorSpec{Policy: wire.MirrorPolicy{Licenses: []string{"MIT", "Homemade"}}}, []string{"licenses", "Homemade"}},
		"all at once": {wire.MirrorSpec{Mode: "Sometimes", Schedule: "never", Crates: []wire.MirrorCrate{{Name: "serde", Versions: "one"}}, Policy: wire.MirrorPolicy{Yanked: "Perhaps"}},
			[]string{`"Sometimes"`, `"never"`, "(serde)", `"Perhaps"`}},
	} {
		if c.spec.Upstream.Index == "" {
			c.spec.Upstream.Index = index
		}
		_, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: c.spec})
		refused(t, name, err, c.wants...)
	}
	for _, name := range []string{"Upper", "under_score", "-dash", "dot.", strings.Repeat("a", 64)} {
		_, err := m.client.PutMirror(t.Context(), name, wire.MirrorChange{Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: index}}})
		refused(t, name, err, "mirror name", name)
	}
	token := "with\nline"
	_, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: index}}, Token: &token})
	refused(t, "token", err, "token")
	if got, err := m.client.Mirror(t.Context(), "m"); err != nil || got.Generation != 1 || got.HasToken {
		t.Errorf("%v %+v", err, got)
	}
	if list, err := m.client.Mirrors(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v %+v", err, list)
	}
	m.fetched("acme 1.0.0")
}

// Where a policy denies all that a requirement takes, the sync says so, and not that it is yanked alone.
func TestMirrorSyncOfWhatIsDenied(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0", "acme 1.1.0", "acme 2.0.0")
	m.put("m", func(s *wire.MirrorSpec) {
		s.Policy.Deny = []string{"acme@<2"}
		s.Crates = []wire.MirrorCrate{{Name: "acme", Versions: "^1"}, {Name: "acme"}}
	})
	s := m.synced().Status.Sync
	if s.Failed != 1 || s.Done != 1 || len(s.Failures) != 1 || !strings.Contains(s.Failures[0].Reason, `takes only what is denied or yanked (rule deny): the mirror's policy denies version 1.1.0 of acme (deny "acme@<2")`) {
		t.Errorf("%+v", s)
	}
}

// What cannot be cached is in the status, each entry with its reason, and the rest is cached.
func TestMirrorSyncsTheRest(t *testing.T) {
	m := openMirror(t, nil, "good 1.0.0", "old 1.0.0", "evil 1.0.0", "other 1.0.0")
	m.put("m", func(s *wire.MirrorSpec) {
		s.Policy.Deny = []string{"evil"}
		s.Crates = []wire.MirrorCrate{{Name: "good"}, {Name: "old", Versions: "^9"}, {Name: "nowhere"}, {Name: "evil"}, {Name: "other"}}
	})
	s := m.synced().Status.Sync
	var told []string
	for _, f := range s.Failures {
		told = append(told, f.Crate+" "+f.Version+", "+f.From+": "+f.Reason)
	}
	slices.Sort(told)
	if len(told) != 3 || !strings.HasPrefix(told[0], "evil *, crates: mirror `m` does not give out crate `evil` (rule deny)") || !strings.HasPrefix(told[1], "nowhere *, crates: ") ||
		!strings.HasPrefix(told[2], "old ^9, crates: ^9 takes no version; upstream has 1.0.0") {
		t.Errorf("%q", told)
	}
	if s.Failed != 3 || s.Done != 2 || s.LastSuccessful != nil {
		t.Errorf("%+v", s)
	}
	if there := m.cached("good 1.0.0", "other 1.0.0"); len(there) != 2 {
		t.Errorf("there are %q", there)
	}
	tells := func(incomplete float64) {
		t.Helper()
		values, _ := m.metrics()
		for name, want := range map[string]float64{"backlog": 3, "sync_failures": 3, "sync_cached": 2, "sync_running": 0, "sync_incomplete": incomplete} {
			if got, there := values["crateyard_mirror_"+name+`{mirror="m"}`]; !there || got != want {
				t.Errorf("crateyard_mirror_%s: %v (%t), want %v", name, got, there, want)
			}
		}
	}
	tells(1)
	m.put("m", func(s *wire.MirrorSpec) { s.Suspend = true }) // nothing is tried again
	tells(0)
}

const foreign = `
[[package]]
name = "app"
version = "0.1.0"

[[package]]
name = "from-git"
version = "0.2.0"
source = "git+https://user:secret@git.example.com/x.git?branch=main#0123456789012345678901234567890123456789"

[[package]]
name = "from-elsewhere"
version = "0.3.0"
source = "sparse+https://crates.partner.example/index/"
checksum = "0123456789012345678901234567890123456789012345678901234567890123"
`

// A lockfile is taken with what of it can be had, and the rest is told.
func TestMirrorLockfilesThatAreNotAllUpstreams(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0", "wrong 1.0.0")
	text := new(strings.Builder)
	if _, err := m.lockfileOf("acme 1.0.0", "wrong 1.0.0").(*strings.Reader).WriteTo(text); err != nil {
		t.Fatal(err)
	}
	all := text.String() + foreign
	all += "\n[[package]]\nname = \"acme\"\nversion = \"7.0.0\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"" + strings.Repeat("1", 64) + "\"\n"
	all = strings.Replace(all, sums(t, m.from.do("GET", "/index/"+path("wrong"), "", nil).body)["1.0.0"], strings.Repeat("2", 64), 1)
	lock, err := m.client.PutLockfile(t.Context(), "m", "app", strings.NewReader(all))
	if err != nil {
		t.Fatal(err)
	}
	told := fmt.Sprint(lock.Skipped)
	if lock.Versions != 3 || lock.SkippedTotal != 2 || len(lock.Skipped) != 2 { // app itself is nobody's to mirror
		t.Errorf("%+v", lock)
	}
	for _, want := range []string{"from-git 0.2.0", "git.example.com", "from-elsewhere 0.3.0", "crates.partner.example"} {
		if !strings.Contains(told, want) {
			t.Errorf("%q is not in %s", want, told)
		}
	}
	if strings.Contains(told, "secret") {
		t.Errorf("a password is shown: %s", told)
	}
	s := m.synced().Status.Sync
	told = ""
	for _, f := range s.Failures {
		told += f.Crate + " " + f.Version + ", " + f.From + ": " + f.Reason + "\n"
	}
	if s.Failed != 2 || s.Done != 1 || !strings.Contains(told, "acme 7.0.0, lockfile app: upstream has no such version; it has 1.0.0") ||
		!strings.Contains(told, "wrong 1.0.0, lockfile app: the lockfile has the checksum 2222") {
		t.Errorf("%+v\n%s", s, told)
	}
	if there := m.cached("acme 1.0.0"); len(there) != 1 {
		t.Error("acme is not there")
	}
}

// What is no lockfile, or too large a one, is refused with the place, and what was pinned stays so.
func TestMirrorLockfilesThatCannotBe(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	m.pin("acme 1.0.0")
	many := new(strings.Builder)
	for i := range 20_001 {
		fmt.Fprintf(many, "[[package]]\nname = \"p%d\"\nversion = \"1.0.0\"\n", i)
	}
	for name, c := range map[string]struct {
		text  string
		wants []string
	}{
		"too long":   {strings.Repeat("# no lockfile\n", 8<<20/14+1), []string{"8388608 bytes"}},
		"too many":   {"version = 4\n" + many.String(), []string{"lockfile `app`", "20000 packages"}},
		"a manifest": {"[package]\nname = \"app\"\n", []string{"lockfile `app`", "Cargo.lock"}},
		"merge":      {"version = 4\n<<<<<<< HEAD\n[[package]]\n", []string{"lockfile `app`", "line 2", "<<<<<<<"}},
		"newer":      {"version = 9\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n", []string{"version 9"}},
		"empty":      {"", []string{"no packages"}},
		"page":       {"<html>", []string{"lockfile `app`"}},
	} {
		_, err := m.client.PutLockfile(t.Context(), "m", "app", strings.NewReader(c.text))
		refused(t, name, err, c.wants...)
	}
	_, err := m.client.PutLockfile(t.Context(), "none", "app", m.lockfileOf("acme 1.0.0"))
	refused(t, "no mirror", err, "`none`")
	if got, err := m.client.Mirror(t.Context(), "m"); err != nil || len(got.Lockfiles) != 1 || got.Lockfiles[0].Versions != 1 {
		t.Errorf("%v %+v", err, got)
	}
	// 10,000 packages are taken at once.
	many.Reset()
	for i := range 10_000 {
		fmt.Fprintf(many, "[[package]]\nname = \"p%d\"\nversion = \"1.0.0\"\nsource = \"git+https://git.example.com/%d?rev=1#1\"\n", i, i)
	}
	if lock, err := m.client.PutLockfile(t.Context(), "m", "large", strings.NewReader("version = 4\n"+many.String())); err != nil || lock.SkippedTotal != 10_000 || len(lock.Skipped) != 20 {
		t.Errorf("%v %d", err, lock.SkippedTotal)
	}
}

// An upstream that is not there, or is none, is told as such, and other mirrors go on.
func TestMirrorsOfWrongUpstreams(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0")
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>welcome</html>")) }))
	defer page.Close()
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	for name, c := range map[string]struct{ address, says string }{
		"gone":    {"http://" + port.Address(t), "connection refused"},
		"page":    {page.URL, "no line that cargo could read"},
		"missing": {missing.URL, "it has no config.json: is it a sparse index?"},
	} {
		spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + c.address + "/", MaxAge: wire.Duration(time.Second)}, Crates: []wire.MirrorCrate{{Name: "acme"}}}
		got, err := m.client.PutMirror(t.Context(), name, wire.MirrorChange{Spec: spec})
		if err != nil {
			t.Fatal(err)
		}
		if name != "page" && (len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0], c.says)) || len(got.Warnings) == 0 {
			t.Errorf("%s: the warnings are %q", name, got.Warnings)
		}
		eventually(t, name+" has synced", func() bool {
			got, err = m.client.Mirror(t.Context(), name)
			return err == nil && got.Status.Sync.LastEnded != nil
		})
		if s := got.Status.Sync; s.Failed != 1 || len(s.Failures) != 1 || s.Failures[0].Crate != "acme" || !strings.Contains(s.Failures[0].Reason, c.says) {
			t.Errorf("%s: %+v", name, s)
		}
		if got.Status.Upstream.Ready || !strings.Contains(got.Status.Upstream.Message, c.says) {
			t.Errorf("%s: %+v", name, got.Status.Upstream)
		}
		if a := m.do("GET", "/mirrors/"+name+"/ac/me/acme", "", nil); a.status != 503 || !strings.Contains(a.body, c.says) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	m.fetched("acme 1.0.0")
	if s := m.status(); !s.Upstream.Ready {
		t.Errorf("%+v", s.Upstream)
	}
}
