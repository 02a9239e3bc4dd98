package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/upkeep"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
)

// run runs a command line and wants an exit code.
func run(t *testing.T, code int, line string) (out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	if got := Main(strings.Fields(line), strings.NewReader(""), &o, &e); got != code {
		t.Errorf("crateyard %s: exit code %d, want %d\n%s%s", line, got, code, o.String(), e.String())
	}
	return o.String(), e.String()
}

func upload(t *testing.T, s *serve.Server, name, version string) {
	t.Helper()
	meta := fmt.Sprintf(`{"name":%q,"vers":%q,"deps":[],"features":{}}`, name, version)
	body := upkeeptest.Frame([]byte(meta), upkeeptest.Archive(t, name, version, "", nil))
	req, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL+"/api/v1/crates/new", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", s.AdminToken)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if text, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
		t.Fatalf("publish: %d %s", resp.StatusCode, text)
	}
}

func served(t *testing.T, url, path string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", path, resp.StatusCode, err)
	}
	return string(text)
}

func start(t *testing.T, data string) *serve.Server {
	t.Helper()
	s, err := serve.Start(data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Kill() }) // most are stopped before
	return s
}

// All that looks after a registry works beside its running server: check, repair, sweep, backup. What is restored from the backup serves the
// same.
func TestKeepBesideServer(t *testing.T) {
	data, backups := t.TempDir(), filepath.Join(t.TempDir(), "backups")
	s := start(t, data)
	for i := range 5 {
		upload(t, s, "demo", fmt.Sprintf("1.%d.0", i))
	}
	if out, _ := run(t, 0, "check --data "+data); !strings.Contains(out, "5 versions and 5 archives") {
		t.Error(out)
	}
	if out, _ := run(t, 0, "backup --data "+data+" --to "+backups); !strings.Contains(out, ": 5 archives (") || !strings.Contains(out, "5 of them") {
		t.Error(out)
	}
	upload(t, s, "demo", "2.0.0")
	var m backup.Manifest
	out, _ := run(t, 0, "backup create --data "+data+" --to "+backups+" -o json")
	if err := json.Unmarshal([]byte(out), &m); err != nil || m.Blobs != 6 || m.CopiedBlobs != 1 || m.Registry.ID == "" {
		t.Errorf("%v\n%s", err, out)
	}
	if out, _ := run(t, 0, "backup list --to "+backups); strings.Count(out, "\n") != 3 || !strings.Contains(out, m.Name) {
		t.Error(out)
	}
	run(t, 0, "backup verify --to "+backups)
	if _, errOut := run(t, 2, "backup --data "+data+" --to "+filepath.Join(data, "backups")); !strings.Contains(errOut, "would be lost together with the registry") {
		t.Error(errOut)
	}

	keys, err := filepath.Glob(filepath.Join(data, "storage", "crates", "demo", "1.2.0-*"))
	if err != nil || len(keys) != 1 {
		t.Fatal(keys, err)
	}
	if err := os.WriteFile(keys[0], []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errOut := run(t, 1, "check --data "+data)
	if !strings.Contains(out, "wrong-size  demo 1.2.0: ") || !strings.Contains(out, "check --repair --from BACKUP") || errOut != "crateyard: 1 thing is damaged\n" {
		t.Error(out, errOut)
	}
	problems := func() int64 {
		st, err := client.New(s.URL, s.AdminToken).Status(t.Context())
		if err != nil || st.Scrub == nil {
			t.Fatalf("%+v %v", st, err)
		}
		return st.Scrub.Problems
	}
	if n := problems(); n != 1 {
		t.Errorf("after the check the server knows of %d", n)
	}
	var r upkeep.Report
	out, _ = run(t, 1, "check --data "+data+" -o json --quick")
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Damaged() != 1 || r.Findings[0].Kind != upkeep.WrongSize {
		t.Errorf("%v\n%s", err, out)
	}
	if out, _ := run(t, 0, "check --data "+data+" --repair --from "+backups); !strings.Contains(out, "repaired: restored from "+backups) || !strings.Contains(out, "1 repaired") {
		t.Error(out)
	}
	if n := problems(); n != 0 {
		t.Errorf("after the repair the server knows of %d", n)
	}
	state := filepath.Join(t.TempDir(), "state")
	run(t, 0, "check --data "+data+" --resume "+state)
	if err := upkeep.WriteState(state, &upkeep.Report{Position: "crates/demo/1.3.0"}); err != nil {
		t.Fatal(err)
	}
	if _, errOut := run(t, 2, "check --data "+data+" --repair --resume "+state); !strings.Contains(errOut, "--repair=false: say the same") {
		t.Error(errOut)
	}
	run(t, 0, "check --data "+data+" --resume "+state)

	orphan := filepath.Join(data, "storage", "crates", "demo", "9.0.0-"+strings.Repeat("0", 64)+".crate")
	old := time.Now().Add(-100 * time.Hour)
	if err := os.WriteFile(orphan, []byte("orphan"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(orphan, old, old); err != nil {
		t.Fatal(err)
	}
	if out, _ := run(t, 0, "sweep --data "+data+" --dry-run"); !strings.Contains(out, "no version names it") || !strings.Contains(out, "1 of 7 archives (6 B) would be removed") {
		t.Error(out)
	}
	if out, _ := run(t, 0, "sweep --data "+data+" --older-than 5d"); !strings.Contains(out, "0 of 7 archives") {
		t.Error(out)
	}

	fresh := filepath.Join(t.TempDir(), "fresh")
	if out, _ := run(t, 0, "restore --data "+fresh+" --from "+backups); !strings.Contains(out, "restored: 6 archives copied") {
		t.Error(out)
	}
	if _, errOut := run(t, 1, "restore --data "+fresh+" --from "+backups); !strings.Contains(errOut, "the target is not empty") {
		t.Error(errOut)
	}
	if out, _ := run(t, 0, "restore --data "+fresh+" --if-empty --from "+backups); !strings.Contains(out, "nothing to restore") {
		t.Error(out)
	}
	run(t, 0, "check --data "+fresh)
	again := start(t, fresh)
	if was, is := served(t, s.URL, "/index/de/mo/demo"), served(t, again.URL, "/index/de/mo/demo"); was != is {
		t.Errorf("was\n%s\nis\n%s", was, is)
	}
	if _, errOut := run(t, 1, "restore --data "+fresh+" --from "+backups); !strings.Contains(errOut, "is in use by a server") {
		t.Error(errOut)
	}
	other := t.TempDir()
	if err := start(t, other).Stop(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"backup", "backup prune"} {
		if _, errOut := run(t, 1, line+" --data "+other+" --to "+backups); !strings.Contains(errOut, "crateyard: "+backups+": backups of another registry are there, crateyard of id "+m.Registry.ID+"; ") {
			t.Error(errOut)
		}
	}
	if out, _ := run(t, 0, "backup prune --keep 1 --data "+data+" --to "+backups); !strings.Contains(out, "1 backup and 0 archives") {
		t.Error(out)
	}
	for _, server := range []*serve.Server{s, again} {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}
}

func TestKeepUsage(t *testing.T) {
	empty := t.TempDir()
	for _, tt := range []struct {
		line string
		code int
		want string
	}{
		{"check --data " + empty, 1, "there is no registry in " + empty},
		{"check", 2, "say --data DIR"},
		{"check --data " + empty + " --from x", 2, "--from is for --repair"},
		{"check --data " + empty + " -o xml", 2, "it must be text or json"},
		{"sweep --data " + empty + " --older-than 5m", 2, "at least 1h"},
		{"backup --data " + empty, 1, "there is no registry"},
		{"backup list --data " + empty, 2, "no target: say --to DIR"},
		{"backup list --to " + empty + "/none", 1, "there is no folder"},
		{"backup verify --to " + empty, 1, "there is no backup"},
		{"backup verify x --to " + empty, 1, "is no name of a backup"},
		{"backup list --to s3://b/p?speed=fast", 2, "endpoint, region, pathStyle and caFile"},
		{"backup list --to s3://?endpoint=http://127.0.0.1:1", 2, "name a bucket: s3://BUCKET/PREFIX"},
		{"backup list --to s3://b:9000/p", 2, "it must be a bucket's name"},
		{"restore --data " + empty, 2, "where from?"},
		{"restore --data " + empty + " --owner a --from x", 2, "are for --from-blobs"},
	} {
		_, errOut := run(t, tt.code, tt.line)
		if !strings.Contains(errOut, tt.want) || strings.Count(errOut, "\n") != 1 {
			t.Errorf("crateyard %s says\n%swant\n%s", tt.line, errOut, tt.want)
		}
	}
}

// What was killed and left its lease keeps nobody from running the command again: a restore takes over from one, and others wait.
func TestAgainAfterKill(t *testing.T) {
	data, place, back := t.TempDir(), t.TempDir(), t.TempDir()
	s := start(t, data)
	upload(t, s, "demo", "1.0.0")
	leave := func(data, holder string, ttl time.Duration) {
		c, err := catalog.Open(t.Context(), filepath.Join(data, "catalog.db"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Lease(t.Context(), upkeep.BlobsLease, holder, ttl)
		if err := errors.Join(err, c.Close()); err != nil || !got {
			t.Fatal(got, err)
		}
	}
	for _, command := range []string{"sweep", "backup --to " + place, "backup prune --to " + place} {
		leave(data, "somebody", time.Second)
		run(t, 0, command+" --data "+data)
	}
	leave(back, restoreHolder(registry.Config{}), time.Hour)
	if out, _ := run(t, 0, "restore --data "+back+" --from "+place); !strings.Contains(out, "restored: 1 archive copied") {
		t.Error(out)
	}
}

// What is no path of a folder is none: a backup to `s3://$UNSET` must not go well and lie where the command ran.
func TestMistypedTarget(t *testing.T) {
	data := t.TempDir()
	s := start(t, data)
	upload(t, s, "demo", "1.0.0")
	t.Chdir(t.TempDir())
	for _, to := range []string{"s3://", "s3:///prefix", "s3://?endpoint=http://127.0.0.1:1", "s3:/bucket/x", "S3://bucket", "s3//bucket", "gs://bucket/x", "file:///mnt/x"} {
		for _, line := range []string{"backup --data " + data + " --to ", "restore --data fresh --from ", "backup list --to ", "check --data " + data + " --repair --from ",
			"import meuse --mirror m --store "} {
			if _, errOut := run(t, 2, line+to); !strings.Contains(errOut, "s3://BUCKET/PREFIX") {
				t.Errorf("%s%s says\n%s", line, to, errOut)
			}
		}
		t.Setenv("CRATEYARD_CONFIG", filepath.Join(data, "config.yaml"))
		if err := os.WriteFile(filepath.Join(data, "config.yaml"), []byte("backup: {folder: \""+to+"\"}"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, errOut := run(t, 2, "backup --data "+data); !strings.Contains(errOut, "a bucket goes below backup.s3") {
			t.Errorf("backup.folder %s: %s", to, errOut)
		}
		if err := os.Unsetenv("CRATEYARD_CONFIG"); err != nil {
			t.Fatal(err)
		}
	}
	if made, err := os.ReadDir("."); err != nil || len(made) > 0 {
		t.Error(made, err)
	}
}

// Without keys for a bucket it is said which to set, and where.
func TestBucketWithoutKeys(t *testing.T) {
	gateway := s3.New(t)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("HOME", t.TempDir())
	for key, line := range map[string]string{
		"backup.s3":      "backup list --to s3://backups?endpoint=" + gateway.Endpoint + "&region=us-east-1&pathStyle=true",
		"restoreFrom.s3": "restore --config " + filepath.Join(t.TempDir(), "config.yaml"),
	} {
		if _, file, ok := strings.Cut(line, "--config "); ok {
			text := fmt.Sprintf("data: %s\nrestoreFrom: {s3: {bucket: backups, endpoint: %q, region: us-east-1, forcePathStyle: true}}\n", t.TempDir(), gateway.Endpoint)
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, errOut := run(t, 1, line)
		if want := "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or " + key + ".credentialsDir"; !strings.Contains(errOut, want) {
			t.Errorf("%s says\n%swant\n%s", line, errOut, want)
		}
	}
}

// From a folder to PostgreSQL and a bucket, with a bucket of backups in between, and back again.
func TestMigrate(t *testing.T) {
	data := t.TempDir()
	s := start(t, data)
	for i := range 3 {
		upload(t, s, fmt.Sprintf("crate-%d", i), "1.0.0")
	}
	was := served(t, s.URL, "/index/cr/at/crate-1")
	gateway := s3.New(t)
	t.Setenv("AWS_ACCESS_KEY_ID", gateway.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", gateway.SecretKey)
	store, err := gateway.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	safe, err := gateway.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	place := "s3://" + safe + "/acme?endpoint=" + gateway.Endpoint + "&region=us-east-1&pathStyle=true"
	run(t, 0, "backup --data "+data+" --to "+place)

	db := postgres.StartTest(t, postgres.Options{})
	uri, err := db.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "uri"), []byte(uri+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "new.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, `data: %s/data
catalog: {postgres: {uriFile: %s/uri}}
storage: {s3: {bucket: %s, endpoint: %q, region: us-east-1, forcePathStyle: true}}
backup: {s3: {bucket: %s, prefix: other, endpoint: %q, region: us-east-1, forcePathStyle: true}}
`, dir, dir, store, gateway.Endpoint, safe, gateway.Endpoint), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := run(t, 0, "restore --config "+file+" --from "+place); !strings.Contains(out, "restored: 3 archives copied") {
		t.Error(out)
	}
	if out, _ := run(t, 0, "check --config "+file); !strings.Contains(out, "3 versions and 3 archives") {
		t.Error(out)
	}
	run(t, 0, "backup --config "+file)
	run(t, 0, "backup verify --config "+file)
	run(t, 0, "sweep --config "+file)
	back := filepath.Join(t.TempDir(), "back")
	run(t, 0, "restore --data "+back+" --from s3://"+safe+"/other?endpoint="+gateway.Endpoint+"&region=us-east-1&pathStyle=true")
	again := start(t, back)
	if is := served(t, again.URL, "/index/cr/at/crate-1"); was != is {
		t.Errorf("was\n%s\nis\n%s", was, is)
	}
}

// From archives alone: of backups, and in place where the catalog is lost.
func TestFromBlobs(t *testing.T) {
	data := t.TempDir()
	s := start(t, data)
	for i := range 3 {
		upload(t, s, "demo", fmt.Sprintf("1.%d.0", i))
	}
	was := served(t, s.URL, "/index/de/mo/demo")
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(data, "storage", "crates", "demo", "3.0.0-"+strings.Repeat("0", 64)+".crate")
	if err := os.WriteFile(bad, []byte("no archive"), 0o600); err != nil {
		t.Fatal(err)
	}
	if lost, err := filepath.Glob(filepath.Join(data, "catalog.db*")); err != nil || len(lost) == 0 {
		t.Fatal(lost, err)
	} else {
		for _, file := range lost {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		}
	}
	out, errOut := run(t, 1, "restore --data "+data+" --url http://127.0.0.1:8080 --from-blobs --take-over --owner bob")
	if !strings.Contains(out, "the archive is no gzip file") || !strings.Contains(out, "1 crate with 3 versions brought back, 0 were there") ||
		errOut != "crateyard: 1 archive could not be brought back\n" {
		t.Error(out, errOut)
	}
	if _, errOut := run(t, 1, "restore --data "+data+" --url http://127.0.0.1:8080 --from-blobs --take-over"); !strings.Contains(errOut, "say --continue") {
		t.Error(errOut)
	}
	if out, _ := run(t, 1, "restore --data "+data+" --url http://127.0.0.1:8080 --from-blobs --take-over --continue"); !strings.Contains(out, "0 versions brought back, 3 were there") {
		t.Error(out)
	}
	again := start(t, data)
	if is := served(t, again.URL, "/index/de/mo/demo"); len(strings.Split(is, "\n")) != 4 || !sameButTime(was, is) {
		t.Errorf("was\n%s\nis\n%s", was, is)
	}
	if owners := served(t, again.URL, "/api/v1/crates/demo/owners"); !strings.Contains(owners, `"bob"`) {
		t.Error(owners)
	}
}

// Where there are no archives no registry is made of them.
func TestFromNoBlobs(t *testing.T) {
	typo := filepath.Join(t.TempDir(), "typo")
	const flags = " --from-blobs --url http://127.0.0.1:8080"
	if _, errOut := run(t, 1, "restore --data "+typo+flags); !strings.Contains(errOut, "there are no archives in "+typo) {
		t.Error(errOut)
	}
	if _, err := os.Stat(typo); err == nil {
		t.Error("the folder was made")
	}
	if err := os.MkdirAll(filepath.Join(typo, "storage", "crates"), 0o750); err != nil {
		t.Fatal(err)
	}
	if _, errOut := run(t, 1, "restore --data "+typo+flags); !strings.Contains(errOut, "there are no archives in "+typo) {
		t.Error(errOut)
	}
	gateway := s3.New(t)
	t.Setenv("AWS_ACCESS_KEY_ID", gateway.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", gateway.SecretKey)
	bucket, err := gateway.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	text := fmt.Sprintf("data: %s\nstorage: {s3: {bucket: %s, endpoint: %q, region: us-east-1, forcePathStyle: true}}\n", t.TempDir(), bucket, gateway.Endpoint)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, errOut := run(t, 1, "restore --config "+file+flags); !strings.Contains(errOut, "there are no archives in s3://"+bucket) {
		t.Error(errOut)
	}
}

var pubtime = regexp.MustCompile(`"pubtime":"[^"]*"`)

func sameButTime(a, b string) bool {
	return pubtime.ReplaceAllString(a, "") == pubtime.ReplaceAllString(b, "")
}
