package registry_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// shipLicensed publishes a version with a license.
func (y *yard) shipLicensed(name, version, license string) {
	y.t.Helper()
	text := strings.Replace(manifest(name, version), "[package]", "[package]\nlicense = \""+license+"\"", 1)
	crate := archive(y.t, file(name+"-"+version+"/Cargo.toml", text), file(name+"-"+version+"/src/lib.rs", ""))
	if a := y.publish(frame(strings.Replace(metadata(name, version), `"license":null`, `"license":"`+license+`"`, 1), crate)); a.status != 200 {
		y.t.Fatalf("publish %s %s: %d %s", name, version, a.status, a.body)
	}
}

// A licence rule holds for what was cached before there was one, and for what came in a bundle, as it does for what is fetched.
func TestMirrorLicensesOfWhatIsCached(t *testing.T) {
	m := openMirror(t, nil)
	m.from.shipLicensed("free", "1.0.0", "MIT")
	m.from.shipLicensed("copyleft", "1.0.0", "GPL-3.0-only")
	m.from.shipLicensed("copyleft", "1.1.0", "GPL-3.0-only")
	for _, name := range []string{"free", "copyleft"} {
		if a, _ := m.crate(name, "1.0.0"); a.status != 200 {
			t.Fatal(name, a.status, a.body)
		}
	}
	var bundle bytes.Buffer
	if _, err := m.client.ExportMirror(t.Context(), "m", &bundle); err != nil {
		t.Fatal(err)
	}
	mit := func(s *wire.MirrorSpec) { s.Policy.Licenses = []string{"MIT"} }
	d, err := m.client.TryPolicy(t.Context(), "m", wire.MirrorPolicy{Licenses: []string{"MIT"}})
	if err != nil || d.Total != 1 || d.Denied[0].Rule != "license" || !d.Denied[0].Cached {
		t.Errorf("dry run: %+v %v", d, err)
	}
	check := func(what string, spec func(*wire.MirrorSpec), rule string) {
		t.Helper()
		m.put("m", spec)
		if a, _ := m.crate("copyleft", "1.0.0"); a.status != 403 || !strings.Contains(a.body, "rule "+rule) {
			t.Errorf("%s: the cached one: %d %s", what, a.status, clipped(a.body))
		}
		if a, _ := m.crate("copyleft", "1.1.0"); a.status != 403 || !strings.Contains(a.body, "rule "+rule) {
			t.Errorf("%s: one that is fetched: %d %s", what, a.status, clipped(a.body))
		}
		if a := m.index("copyleft"); strings.Count(a.body, `"yanked":true`) != 2 {
			t.Errorf("%s: the index: %s", what, a.body)
		}
	}
	check("licences", mit, "license")
	if a, _ := m.crate("free", "1.0.0"); a.status != 200 {
		t.Errorf("what is free: %d %s", a.status, a.body)
	}
	check("size", func(s *wire.MirrorSpec) { s.Policy.MaxCrateSize = 10 }, "max-size")

	// What is forgotten while it is looked into does not come back.
	m.put("m", func(s *wire.MirrorSpec) {})
	m.from.shipLicensed("late", "1.0.0", "MIT")
	if a, _ := m.crate("late", "1.0.0"); a.status != 200 {
		t.Fatal(a.status, a.body)
	}
	m.put("m", mit)
	for _, name := range []string{"late", "copyleft"} { // the second waits for all that the first has written
		if err := m.client.ForgetCrate(t.Context(), "m", name); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := m.client.StoredCrate(t.Context(), "m", "late"); err != nil || len(list) != 0 {
		t.Errorf("forgotten, and there: %v %v", list, err)
	}

	if err := m.client.DeleteMirror(t.Context(), "m"); err != nil {
		t.Fatal(err)
	}
	m.put("m", mit)
	if _, err := m.client.ImportMirror(t.Context(), "m", &bundle, int64(bundle.Len())); err != nil {
		t.Fatal(err)
	}
	if a, _ := m.crate("copyleft", "1.0.0"); a.status != 403 {
		t.Errorf("out of a bundle: %d %s", a.status, a.body)
	}
	if a, _ := m.crate("free", "1.0.0"); a.status != 200 {
		t.Errorf("out of a bundle, free: %d %s", a.status, a.body)
	}
}

// The audit says who had something come into a mirror that nobody asked for by a list, and nothing of what was there already.
func TestMirrorAuditsWhatIsBrought(t *testing.T) {
	m := openMirror(t, func(s *wire.MirrorSpec) { s.Mode = "Pinned" }, "acme 1.0.0", "acme 2.0.0")
	var bundle bytes.Buffer
	for range 2 { // the second time all is there
		if _, err := m.client.CacheCrate(t.Context(), "m", "acme", "1.0.0"); err != nil {
			t.Fatal(err)
		}
		if _, err := m.client.AddCrate(t.Context(), "m", "acme", "2.0.0", crateFile(t, "acme", "2.0.0")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.client.ExportMirror(t.Context(), "m", &bundle); err != nil {
		t.Fatal(err)
	}
	m.put("other", func(s *wire.MirrorSpec) { s.Mode = "Pinned" })
	for range 2 {
		if _, err := m.client.ImportMirror(t.Context(), "other", bytes.NewReader(bundle.Bytes()), int64(bundle.Len())); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for r, err := range m.client.AuditLines(t.Context(), client.AuditQuery{}) {
		if err != nil {
			t.Fatal(err)
		}
		switch r.Action {
		case "mirror.cache", "mirror.add", "mirror.import":
			got = append(got, strings.Join([]string{r.Actor, r.Action, r.Subject, r.Crate, r.Version, string(r.After)}, " "))
		}
	}
	want := `admin mirror.import other   {"index_files":1,"crates":2}
admin mirror.add m acme 2.0.0 
admin mirror.cache m acme 1.0.0 `
	if all := strings.Join(got, "\n"); all != want {
		t.Errorf("the audit has\n%s\nwant\n%s", all, want)
	}
}

// A bundle of another upstream is refused with what to do: a mirror of that upstream takes it.
func TestMirrorBundleOfAnotherUpstream(t *testing.T) {
	m := openMirror(t, nil)
	var bundle bytes.Buffer
	if _, err := m.client.ExportMirror(t.Context(), "m", &bundle); err != nil {
		t.Fatal(err)
	}
	if _, err := m.client.PutMirror(t.Context(), "other", wire.MirrorChange{Spec: wire.MirrorSpec{Mode: "Pinned", Upstream: wire.MirrorUpstream{Index: "sparse+http://127.0.0.1:1/"}}}); err != nil {
		t.Fatal(err)
	}
	_, err := m.client.ImportMirror(t.Context(), "other", &bundle, int64(bundle.Len()))
	if want := "`crateyard mirror create NAME --mode Pinned --upstream " + wire.IndexURL(m.proxy.URL) + "` makes"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v; want %s", err, want)
	}
}

// What a rule denies for what is in its archive is given to nobody, also in the moment in which it is stored and not yet noted, and by servers whose index file of
// it is from before.
func TestMirrorDeniesWhatJustCame(t *testing.T) {
	mit := func(s *wire.MirrorSpec) {
		s.Policy.Licenses, s.Upstream.MaxAge = []string{"MIT"}, wire.Duration(time.Hour)
	}
	m, other := openFleet(t, mit)
	for i := range 5 {
		m.from.shipLicensed(fmt.Sprintf("copyleft-%d", i), "1.0.0", "GPL-3.0-only")
	}
	for i := range 5 {
		name := fmt.Sprintf("copyleft-%d", i)
		for _, server := range []*mirrored{m, other} {
			if a := server.index(name); strings.Contains(a.body, `"yanked":true`) {
				t.Fatalf("%s is denied before it is known what is in it: %s", name, a.body)
			}
		}
		denied := func(server *mirrored) {
			if a, _ := server.crate(name, "1.0.0"); a.status != 403 || !strings.Contains(a.body, "rule license") {
				t.Errorf("%s: %d %s", name, a.status, clipped(a.body))
			}
		}
		var askers sync.WaitGroup
		for range 50 { // some come while it is on its way, some while it is noted
			askers.Go(func() { denied(m) })
			time.Sleep(2 * time.Millisecond)
		}
		askers.Wait()
		denied(other)
		for _, server := range []*mirrored{m, other} {
			if a := server.index(name); !strings.Contains(a.body, `"yanked":true`) {
				t.Errorf("the index goes on to offer %s: %s", name, a.body)
			}
		}
	}

	// One server has it removed. The other, which has it in memory, comes to know and to say in the index what it refuses.
	asked := m.proxy.Count("/index/" + path("copyleft-0"))
	if err := m.client.ForgetCrate(t.Context(), "m", "copyleft-0"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other server asks upstream anew", func() bool {
		other.index("copyleft-0")
		return m.proxy.Count("/index/"+path("copyleft-0")) > asked
	})
	eventually(t, "the other server says in its index what it refuses", func() bool {
		if a, _ := other.crate("copyleft-0", "1.0.0"); a.status != 403 {
			t.Fatal(a.status, a.body)
		}
		return strings.Contains(other.index("copyleft-0").body, `"yanked":true`)
	})
}
