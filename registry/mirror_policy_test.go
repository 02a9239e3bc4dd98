package registry_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/upstream"
)

// lockfileOf is a Cargo.lock that names some versions, NAME VERSION each, with the checksums of upstream's index.
func (m *mirrored) lockfileOf(crates ...string) io.Reader {
	m.t.Helper()
	text := "version = 4\n"
	for _, c := range crates {
		name, version, _ := strings.Cut(c, " ")
		sum := sums(m.t, m.from.do("GET", "/index/"+path(name), "", nil).body)[version]
		text += fmt.Sprintf("\n[[package]]\nname = %q\nversion = %q\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = %q\n", name, version, sum)
	}
	return strings.NewReader(text)
}

// pin gives a mirror a lockfile, and waits until it is cached.
func (m *mirrored) pin(crates ...string) {
	m.t.Helper()
	if _, err := m.client.PutLockfile(m.t.Context(), "m", "app", m.lockfileOf(crates...)); err != nil {
		m.t.Fatal(err)
	}
	m.synced()
}

// fetched downloads versions of the mirror, and fails where one does not come.
func (m *mirrored) fetched(crates ...string) {
	m.t.Helper()
	for _, c := range crates {
		name, version, _ := strings.Cut(c, " ")
		if a, whole := m.crate(name, version); a.status != 200 || !whole {
			m.t.Errorf("%s: %d %s", c, a.status, a.body)
		}
	}
}

// cached says which of some crates come without upstream being asked.
func (m *mirrored) cached(crates ...string) (there []string) {
	m.t.Helper()
	for _, c := range crates {
		name, version, _ := strings.Cut(c, " ")
		before := m.proxy.Count("/crates/" + name + "/")
		m.fetched(name + " " + version)
		if m.proxy.Count("/crates/"+name+"/") == before {
			there = append(there, c)
		}
	}
	return there
}

// The least recently used archive goes first when there are too many bytes, and never what a lockfile pins.
func TestMirrorRetention(t *testing.T) {
	m := openMirror(t, nil, "aaaa 1.0.0", "bbbb 1.0.0", "cccc 1.0.0", "dddd 1.0.0")
	m.pin("aaaa 1.0.0")
	m.fetched("bbbb 1.0.0", "cccc 1.0.0")
	eventually(t, "three are stored", func() bool { return m.status().Crates == 3 })
	size := m.status().Bytes
	m.put("m", func(s *wire.MirrorSpec) { s.Retention.MaxSize = size + size/6 })
	m.synced()
	m.fetched("bbbb 1.0.0") // used again, so cccc is the one that was not used for longest; aaaa was used before both
	m.fetched("dddd 1.0.0")
	eventually(t, "one went", func() bool {
		values, _ := m.metrics()
		return values[`crateyard_mirror_evicted_total{mirror="m"}`] == 1
	})
	if s := m.status(); s.Crates != 3 || s.Bytes > size+size/6 {
		t.Errorf("%+v", s)
	}
	if there := m.cached("aaaa 1.0.0", "bbbb 1.0.0", "dddd 1.0.0"); len(there) != 3 {
		t.Errorf("there are %q", there)
	}
	if files, err := filepath.Glob(filepath.Join(m.data, "storage", "mirrors", "m", "*", "*.crate")); err != nil || len(files) != 3 {
		t.Errorf("in the storage are %q %v", files, err)
	}
	if there := m.cached("cccc 1.0.0"); len(there) != 0 {
		t.Error("cccc is there")
	}
}

// What was not used for long goes; what a lockfile pins stays, and with KeepPinned what is listed.
func TestMirrorRetentionOfUnused(t *testing.T) {
	m := openMirror(t, nil, "aaaa 1.0.0", "bbbb 1.0.0", "cccc 1.0.0", "dddd 1.0.0")
	m.pin("aaaa 1.0.0")
	m.fetched("bbbb 1.0.0")
	m.put("m", func(s *wire.MirrorSpec) {
		s.Crates = []wire.MirrorCrate{{Name: "cccc"}}
		s.Retention = wire.MirrorRetention{MaxSize: 1 << 30, UnusedFor: wire.Duration(time.Second), KeepPinned: true}
	})
	m.synced()
	time.Sleep(1100 * time.Millisecond)
	m.fetched("dddd 1.0.0") // which has the rest be looked at
	eventually(t, "one went", func() bool {
		values, _ := m.metrics()
		return values[`crateyard_mirror_evicted_total{mirror="m"}`] > 0
	})
	if there := m.cached("aaaa 1.0.0", "cccc 1.0.0"); len(there) != 2 {
		t.Errorf("there are %q", there)
	}
	if there := m.cached("bbbb 1.0.0"); len(there) != 0 {
		t.Error("bbbb is there")
	}
}

// A dry run says what a policy would deny, and changes nothing.
func TestMirrorDryRun(t *testing.T) {
	m := openMirror(t, nil, "acme 1.0.0", "acme 2.0.0", "evil-one 1.0.0", "good 1.0.0")
	for _, name := range []string{"acme", "evil-one", "good"} {
		m.index(name)
	}
	m.fetched("acme 2.0.0")
	got, err := m.client.TryPolicy(t.Context(), "m", wire.MirrorPolicy{Deny: []string{"evil-*", "acme@2"}})
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	for _, d := range got.Denied {
		told = append(told, fmt.Sprint(d.Crate, " ", d.Version, " ", d.Rule, " ", d.Cached))
	}
	slices.Sort(told)
	if want := []string{"acme 2.0.0 deny true", "evil-one  deny false"}; !slices.Equal(told, want) || got.Total != 2 || got.Crates != 3 || got.Versions != 4 {
		t.Errorf("%q of %+v", told, got)
	}
	m.fetched("acme 2.0.0", "evil-one 1.0.0")
	if a := m.index("acme"); strings.Contains(a.body, `"yanked":true`) {
		t.Errorf("something changed: %s", a.body)
	}
	if _, err := m.client.TryPolicy(t.Context(), "m", wire.MirrorPolicy{Deny: []string{"acme@not a requirement"}}); err == nil || !strings.Contains(err.Error(), "not a requirement") {
		t.Errorf("a bad policy: %v", err)
	}
}

// What is denied is marked in the index, refused with the rule, counted, logged and in the audit.
func TestMirrorDenies(t *testing.T) {
	m := openMirror(t, func(s *wire.MirrorSpec) { s.Policy.Deny = []string{"acme@2"} }, "acme 1.0.0", "acme 2.0.0")
	want := m.from.do("GET", "/index/ac/me/acme", "", nil).body
	first, second, _ := strings.Cut(want, "\n")
	if a := m.index("acme"); a.body != first+"\n"+strings.Replace(second, `"yanked":false`, `"yanked":true`, 1) {
		t.Errorf("%s\nof\n%s", a.body, want)
	}
	for range 3 {
		if a, _ := m.crate("acme", "2.0.0"); a.status != 403 || !strings.Contains(a.body, "(rule deny)") || !strings.Contains(a.body, `deny "acme@2"`) || !strings.Contains(a.body, "`m`") {
			t.Errorf("%d %s", a.status, a.body)
		}
	}
	m.fetched("acme 1.0.0")
	if n := m.proxy.Count("/crates/acme/2.0.0/"); n != 0 {
		t.Errorf("it was fetched %d times", n)
	}
	values, _ := m.metrics()
	if n := values[`crateyard_mirror_denied_total{mirror="m",rule="deny"}`]; n != 3 {
		t.Errorf("the metric has %v", n)
	}
	if n := strings.Count(m.logs.String(), "Denied by policy"); n != 1 {
		t.Errorf("it was logged %d times", n)
	}
	eventually(t, "it is in the audit, once", func() bool {
		page, err := m.client.Audit(t.Context(), client.AuditQuery{Action: "mirror.deny"})
		if err != nil || len(page.Records) != 1 {
			return false
		}
		text, err := json.Marshal(page.Records[0])
		return err == nil && page.Records[0].Crate == "acme" && page.Records[0].Version == "2.0.0" && strings.Contains(string(text), `"rule":"deny"`)
	})
	// A changed policy holds at once, with what is cached.
	m.put("m", func(s *wire.MirrorSpec) { s.Policy.Deny = []string{"acme@1"} })
	m.fetched("acme 2.0.0")
	if a, _ := m.crate("acme", "1.0.0"); a.status != 403 {
		t.Errorf("what is cached: %d", a.status)
	}
}

// Pinned serves what is cached and says of the rest that it is not.
func TestMirrorPinned(t *testing.T) {
	m := openMirror(t, func(s *wire.MirrorSpec) { s.Mode = "Pinned" }, "acme 1.0.0", "acme 2.0.0", "other 1.0.0")
	m.pin("acme 1.0.0")
	before := m.proxy.Count("/")
	m.fetched("acme 1.0.0")
	if a := m.index("acme"); a.status != 200 || !strings.Contains(a.body, `"1.0.0"`) {
		t.Errorf("%d %s", a.status, a.body)
	} else if lines := strings.Split(a.body, "\n"); strings.Contains(lines[0], `"yanked":true`) || !strings.Contains(lines[1], `"yanked":true`) {
		t.Errorf("the index file is\n%s", a.body)
	}
	if a := m.index("other"); a.status != 404 {
		t.Errorf("other: %d", a.status)
	}
	for _, c := range []string{"acme 2.0.0", "other 1.0.0"} {
		name, version, _ := strings.Cut(c, " ")
		if a, _ := m.crate(name, version); a.status != 403 || !strings.Contains(a.body, "(rule pinned)") {
			t.Errorf("%s: %d %s", c, a.status, a.body)
		}
	}
	if n := m.proxy.Count("/") - before; n != 0 {
		t.Errorf("upstream was asked %d times", n)
	}
	if got, err := m.client.CacheCrate(t.Context(), "m", "acme", "2.0.0"); err != nil || !got.Fetched {
		t.Errorf("%v %+v", err, got)
	}
	m.fetched("acme 2.0.0")
}

// A new crate with the name of one of upstream's is warned of where it is known, or refused.
func TestShadowingIsTold(t *testing.T) {
	for _, mode := range []string{"Warn", "Refuse", "Allow"} {
		t.Run(mode, func(t *testing.T) {
			m := openUpstream(t, "known 1.0.0", "Not-Asked 1.0.0")
			m.yard = open(t, func(c *registry.Config) { c.Publishing.Shadowing = mode })
			m.client = client.New(m.url, m.admin)
			m.put("m", nil)
			m.index("known")
			eventually(t, "the index file is noted", func() bool { return m.status().IndexFiles == 1 })
			known, unknown, free := m.publish(good(t, "known", "0.1.0")), m.publish(good(t, "not_asked", "0.1.0")), m.publish(good(t, "free", "0.1.0"))
			told := func(a answer) bool {
				return strings.Contains(a.body, "the upstream of mirror `m` has a crate of this name")
			}
			if free.status != 200 || told(free) {
				t.Errorf("free: %d %s", free.status, free.body)
			}
			asked := m.proxy.Count("/index/no/t") > 0
			switch mode {
			case "Warn":
				if known.status != 200 || !told(known) || unknown.status != 200 || told(unknown) || asked {
					t.Errorf("%d %s\n%d %s, asked %v", known.status, known.body, unknown.status, unknown.body, asked)
				}
			case "Refuse":
				if known.status == 200 || !told(known) || unknown.status == 200 || !told(unknown) {
					t.Errorf("%d %s\n%d %s", known.status, known.body, unknown.status, unknown.body)
				}
			case "Allow":
				if known.status != 200 || told(known) || unknown.status != 200 || told(unknown) || asked {
					t.Errorf("%d %s\n%d %s, asked %v", known.status, known.body, unknown.status, unknown.body, asked)
				}
			}
		})
	}
}

// While an upstream is away nothing new is published where its names are refused, and the answer says why and what helps; a mirror that asks nobody stops nothing.
func TestShadowingWithoutUpstream(t *testing.T) {
	m := openUpstream(t, "known 1.0.0")
	m.yard = open(t, func(c *registry.Config) { c.Publishing.Shadowing = "Refuse" })
	m.client = client.New(m.url, m.admin)
	m.put("m", nil)
	m.index("known")
	eventually(t, "the index file is noted", func() bool { return m.status().IndexFiles == 1 })
	m.proxy.Fail("", upstream.Error, -1)
	if a := m.publish(good(t, "free", "0.1.0")); a.status != 503 || !strings.Contains(a.body, "500 Internal Server Error") || !strings.Contains(a.body, "mode Pinned") {
		t.Errorf("%d %s", a.status, a.body)
	}
	m.put("m", func(s *wire.MirrorSpec) { s.Mode = "Pinned" })
	if a := m.publish(good(t, "free", "0.1.0")); a.status != 200 {
		t.Errorf("with mode Pinned: %d %s", a.status, a.body)
	}
	if a := m.publish(good(t, "known", "0.1.0")); a.status == 200 || !strings.Contains(a.body, "has a crate of this name") {
		t.Errorf("a name that is cached: %d %s", a.status, a.body)
	}
}

// The other way round: a crate that upstream has, too, is told when the mirror learns of it.
func TestShadowedIsTold(t *testing.T) {
	m := openMirror(t, nil, "Ours 1.0.0", "theirs 1.0.0")
	m.ship("ours", "0.1.0")
	m.index("theirs")
	if s := m.status().Shadowed; len(s) != 0 {
		t.Errorf("%q", s)
	}
	m.index("ours")
	eventually(t, "it is in the status", func() bool { return slices.Equal(m.status().Shadowed, []string{"ours"}) })
	values, _ := m.metrics()
	if n := values[`crateyard_mirror_shadowed_crates{mirror="m"}`]; n != 1 {
		t.Errorf("the metric has %v", n)
	}
}

const advisoryText = "```toml\n[advisory]\nid = \"RUSTSEC-2020-0001\"\npackage = \"acme\"\ndate = \"2020-01-01\"\naliases = [\"CVE-2020-1\"]\n" +
	"cvss = \"CVSS:3.1/AV:L/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L\"\n[versions]\npatched = [\">= 2.0.0\"]\n```\n\n# It falls over\n" // 4.0, which is medium

// advisories makes a database of one advisory, and gives its folder and the address of a git repository of it.
func advisories(t *testing.T) (folder, address string) {
	t.Helper()
	root := t.TempDir()
	folder = filepath.Join(root, "db")
	if err := os.MkdirAll(filepath.Join(folder, "crates", "acme"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "crates", "acme", "RUSTSEC-2020-0001.md"), []byte(advisoryText), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"add", "."}, {"-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "-q", "-m", "one"}} {
		if out, err := exec.Command("git", append([]string{"-C", folder}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(&cgi.Handler{Path: git, Args: []string{"http-backend"}, Env: []string{"GIT_PROJECT_ROOT=" + root, "GIT_HTTP_EXPORT_ALL=1", "HOME=" + root}, Stderr: io.Discard})
	t.Cleanup(srv.Close)
	return folder, srv.URL + "/db/.git"
}

// What an advisory is about is denied, or warned of, or let in, as the policy says.
func TestMirrorAdvisories(t *testing.T) {
	folder, address := advisories(t)
	for name, c := range map[string]struct {
		rule   wire.MirrorAdvisories
		denied bool
		warned float64
	}{
		"folder":          {wire.MirrorAdvisories{Source: folder}, true, 0},
		"git":             {wire.MirrorAdvisories{Source: address}, true, 0},
		"warn":            {wire.MirrorAdvisories{Source: folder, Action: "Warn"}, false, 2},
		"severe enough":   {wire.MirrorAdvisories{Source: folder, MinimumSeverity: "Medium"}, true, 0},
		"not so severe":   {wire.MirrorAdvisories{Source: folder, MinimumSeverity: "High"}, false, 0},
		"exception":       {wire.MirrorAdvisories{Source: folder, Exceptions: []wire.MirrorException{{ID: "RUSTSEC-2020-0001", Reason: "we never call it"}}}, false, 0},
		"by alias":        {wire.MirrorAdvisories{Source: folder, Exceptions: []wire.MirrorException{{ID: "CVE-2020-1", Reason: "we never call it"}}}, false, 0},
		"other exception": {wire.MirrorAdvisories{Source: folder, Exceptions: []wire.MirrorException{{ID: "RUSTSEC-2020-0002", Reason: "we never call it"}}}, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := openMirror(t, func(s *wire.MirrorSpec) { s.Policy.Advisories = &c.rule }, "acme 1.0.0", "acme 2.0.0")
			eventually(t, "the advisories are read", func() bool {
				return strings.Contains(m.logs.String(), "Read advisories") && m.index("acme").status == 200
			})
			m.fetched("acme 2.0.0")
			for range 2 {
				a, _ := m.crate("acme", "1.0.0")
				if (a.status == http.StatusForbidden) != c.denied || c.denied && (!strings.Contains(a.body, "(rule advisory)") || !strings.Contains(a.body, "RUSTSEC-2020-0001")) {
					t.Errorf("%d %.200s", a.status, a.body)
				}
			}
			if marked := strings.Contains(m.index("acme").body, `"yanked":true`); marked != c.denied {
				t.Errorf("it is marked in the index: %v", marked)
			}
			values, _ := m.metrics()
			if n := values[`crateyard_mirror_warned_total{mirror="m",rule="advisory"}`]; n != c.warned {
				t.Errorf("%v were warned of", n)
			}
			if n := strings.Count(m.logs.String(), "Given out although the policy warns of it"); c.warned > 0 && n != 1 {
				t.Errorf("it was logged %d times", n)
			}
		})
	}
	m := openMirror(t, nil)
	for want, rule := range map[string]wire.MirrorAdvisories{
		"advisories.exceptions": {Source: folder, Exceptions: []wire.MirrorException{{ID: "RUSTSEC-2020-0001"}}},
		"advisories.source":     {Source: "db"},
	} {
		_, err := m.client.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: wire.MirrorSpec{Policy: wire.MirrorPolicy{Advisories: &rule}}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
