package importer_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/importer"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
	"github.com/crateyard/crateyard/test/upstream"
)

// meuse is what a Meuse had mirrored, and the registry that it was mirrored from, behind a proxy.
type meuse struct {
	proxy           *upstream.Proxy
	dir             string
	serde, newer    upload.Crate
	cut, other      upload.Crate
	denied, foreign upload.Crate
}

func newMeuse(t *testing.T) *meuse {
	t.Helper()
	m := &meuse{proxy: upstream.New(t), dir: t.TempDir()}
	address := port.Address(t)
	from := start(t, "--url", m.proxy.URL, "--listen", address)
	m.proxy.To("http://" + address)
	m.serde, m.newer = upload.New("serde", "1.0.0", nil), upload.New("serde", "1.0.1+build.2", nil)
	m.cut, m.other = upload.New("serde", "1.1.0", []byte("// long enough to be cut")), upload.New("tokio", "1.0.0", nil)
	m.denied, m.foreign = upload.New("evil-one", "1.0.0", nil), upload.New("serde", "7.0.0", nil)
	for _, c := range []upload.Crate{m.serde, m.newer, m.cut, m.other, m.denied} {
		if status, text, err := serve.NewClient(from.URL, from.AdminToken).Do("PUT", "/api/v1/crates/new", c.Frame); err != nil || status != 200 {
			t.Fatal(status, string(text), err)
		}
		m.write(t, c, c.Archive)
	}
	m.write(t, m.cut, m.cut.Archive[:100])
	m.write(t, m.foreign, m.foreign.Archive)
	write(t, filepath.Join(m.dir, ".crates.io", "notes.txt"), []byte("no crate"))
	write(t, filepath.Join(m.dir, "acme", "1.0.0", "download"), []byte("published, not mirrored"))
	return m
}

func (m *meuse) write(t *testing.T, c upload.Crate, data []byte) {
	t.Helper()
	write(t, filepath.Join(m.dir, ".crates.io", c.Name, c.Version, "download"), data)
}

// mirror makes a registry with a mirror of what Meuse mirrored.
func (m *meuse) mirror(t *testing.T) (*serve.Server, *client.Client) {
	t.Helper()
	yard := start(t)
	c := client.New(yard.URL, yard.AdminToken)
	spec := wire.MirrorSpec{Upstream: wire.MirrorUpstream{Index: "sparse+" + m.proxy.URL + "/index/"}, Policy: wire.MirrorPolicy{Deny: []string{"evil-*"}, Licenses: []string{"MIT"},
		LicenseExceptions: []string{"serde", "tokio"}}}
	if _, err := c.PutMirror(t.Context(), "m", wire.MirrorChange{Spec: spec}); err != nil {
		t.Fatal(err)
	}
	return yard, c
}

// What Meuse mirrored goes into a mirror: each file that upstream vouches for, and no other.
func TestMeuseMirror(t *testing.T) {
	m := newMeuse(t)
	yard, c := m.mirror(t)
	source := importer.MeuseMirror{Dir: m.dir}
	dry := &importer.MirrorImporter{Target: c, Mirror: "m", DryRun: true}
	if r, err := dry.Run(t.Context(), source); err != nil || r.Imported != 6 || r.Present != 0 || r.Failed != 1 {
		t.Errorf("a dry run: %+v %v", r, err)
	}
	i := &importer.MirrorImporter{Target: c, Mirror: "m"}
	r, err := i.Run(t.Context(), source)
	if err != nil || r.Imported != 3 || r.Present != 0 || r.Failed != 4 || r.Crates != 3 {
		t.Errorf("%+v %v", r, err)
	}
	reasons := map[string]string{}
	for _, f := range r.Failures {
		reasons[strings.TrimSpace(f.Crate+" "+f.Version)] = f.Reason
	}
	for what, reason := range map[string]string{"serde 1.1.0": "not the bytes of serde 1.1.0", "serde 7.0.0": "has no version `7.0.0`", "evil-one 1.0.0": "rule deny",
		"notes.txt": "none of Meuse's files"} {
		if !strings.Contains(reasons[what], reason) {
			t.Errorf("%s: %q, want %q", what, reasons[what], reason)
		}
	}
	// It is served without upstream, and to run it again passes over it.
	if n := m.proxy.Count("/download"); n != 0 {
		t.Errorf("upstream was asked for %d archives", n)
	}
	m.proxy.Fail("/", upstream.Down, -1)
	for _, v := range []upload.Crate{m.serde, m.newer, m.other} {
		status, text, err := serve.NewClient(yard.URL, "").Do("GET", "/mirrors/m/crates/"+v.Name+"/"+v.Version+"/download", nil)
		if err != nil || status != 200 || !bytes.Equal(text, v.Archive) {
			t.Errorf("%s %s: %d %v", v.Name, v.Version, status, err)
		}
	}
	again := &importer.MirrorImporter{Target: c, Mirror: "m"}
	if r, err := again.Run(t.Context(), importer.MeuseMirror{Dir: filepath.Join(m.dir, ".crates.io")}); err != nil || r.Imported != 0 || r.Present != 3 || r.Failed != 4 {
		t.Errorf("again: %+v %v", r, err)
	}
	if err := os.WriteFile(filepath.Join(m.dir, ".crates.io", "serde", "1.0.0", "download"), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err = (&importer.MirrorImporter{Target: c, Mirror: "m"}).Run(t.Context(), source)
	if err != nil || r.Present != 2 || r.Failed != 5 {
		t.Errorf("with one that was changed: %+v %v", r, err)
	}
	for _, dir := range []string{t.TempDir(), filepath.Join(m.dir, "nowhere")} {
		if _, err := again.Run(t.Context(), importer.MeuseMirror{Dir: dir}); err == nil || !strings.Contains(err.Error(), "crate.path") {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if _, err := (&importer.MirrorImporter{Target: c, Mirror: "none"}).Run(t.Context(), source); err == nil || !strings.Contains(err.Error(), "mirror `none`") {
		t.Errorf("into no mirror: %v", err)
	}
}

// While upstream is away and was asked for nothing before, nothing vouches for the files. It goes on when upstream is back.
func TestMeuseMirrorWithoutUpstream(t *testing.T) {
	m := newMeuse(t)
	for _, name := range []string{"a", "b", "c", "d"} {
		c := upload.New(name, "1.0.0", nil)
		m.write(t, c, c.Archive)
	}
	_, c := m.mirror(t)
	m.proxy.Fail("/", upstream.Down, -1)
	i := &importer.MirrorImporter{Target: c, Mirror: "m"}
	r, err := i.Run(t.Context(), importer.MeuseMirror{Dir: m.dir})
	if err == nil || !strings.Contains(err.Error(), "could not be held against upstream's index") || r.Imported != 0 || len(r.Failures) == 0 {
		t.Errorf("%+v %v", r, err)
	}
	m.proxy.Heal()
	if r, err := (&importer.MirrorImporter{Target: c, Mirror: "m"}).Run(t.Context(), importer.MeuseMirror{Dir: m.dir}); err != nil || r.Imported+r.Present != 3 { // one may have been on its way when the first run ended
		t.Errorf("afterwards: %+v %v", r, err)
	}
}

// The same from the bucket of a Meuse.
func TestMeuseMirrorInABucket(t *testing.T) {
	m, server := newMeuse(t), s3.New(t)
	_, c := m.mirror(t)
	bucket, err := server.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []upload.Crate{m.serde, m.newer, m.other, m.foreign} {
		key := ".crates.io/" + v.Name + "/" + v.Version + "/download"
		if _, err := server.Client().PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(v.Archive)}); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", server.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", server.SecretKey)
	store, err := storage.OpenS3(t.Context(), storage.S3Options{Bucket: bucket, Endpoint: server.Endpoint, ForcePathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	for _, want := range []importer.Report{{Crates: 2, Imported: 3, Failed: 1}, {Crates: 2, Present: 3, Failed: 1}} {
		r, err := (&importer.MirrorImporter{Target: c, Mirror: "m"}).Run(t.Context(), importer.MeuseMirror{Bucket: store})
		if err != nil || r.Crates != want.Crates || r.Imported != want.Imported || r.Present != want.Present || r.Failed != want.Failed {
			t.Errorf("%+v %v, want %+v", r, err, want)
		}
	}
}
