package operations

import (
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	_ "modernc.org/sqlite" // the driver "sqlite", for Kellnr's database

	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/process"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

// machine is what the text supposes to be there: folders, which lie below one of the test's, a database, S3, the server that is looked after at
// /var/lib/crateyard, and the registry at old.example.com.
type machine struct {
	t        *testing.T
	root     string // its /
	home     string // where commands run
	address  string // of https://crates.example.com
	token    string // of its admin
	server   *process.Process
	old      *serve.Server
	bucket   *s3.Server
	env      []string
	replaced []string // what stands in the text, and what is meant here, in turns
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, root: t.TempDir(), bucket: s3.New(t)}
	m.home = m.path("/root")
	for _, dir := range []string{"/root", "/var/lib", "/mnt/bundles", "/etc/crateyard/s3", "/etc/backup-keys", "/srv", "/bin"} {
		m.must(os.MkdirAll(m.path(dir), 0o750))
	}
	m.address = port.Address(t)
	var err error
	m.old, err = serve.Start(t.TempDir())
	m.must(err)
	t.Cleanup(func() { m.must(m.old.Stop()) })
	for _, name := range []string{"backups", "crates"} {
		_, err := m.bucket.Client().CreateBucket(t.Context(), &sdk.CreateBucketInput{Bucket: aws.String(name)})
		m.must(err)
	}
	m.must(m.bucket.WriteCredentials(m.path("/etc/crateyard/s3")))
	m.write("/etc/crateyard/postgres-uri", postgres.Database(t)+"\n")
	bin, err := serve.Binary()
	m.must(err)
	m.must(os.Symlink(bin, m.path("/bin/crateyard")))
	m.env = []string{"HOME=" + m.home, "PATH=" + m.path("/bin") + ":" + os.Getenv("PATH"), "CRATEYARD_LISTEN=" + m.address, "CRATEYARD_OPS_LISTEN=127.0.0.1:0",
		"AWS_ACCESS_KEY_ID=" + m.bucket.AccessKey, "AWS_SECRET_ACCESS_KEY=" + m.bucket.SecretKey}
	m.replace("/var/lib/crateyard", m.path("/var/lib/crateyard"), "/mnt/", m.path("/mnt")+"/", "/etc/crateyard", m.path("/etc/crateyard"),
		"/srv/", m.path("/srv")+"/", "https://s3.example.com", m.bucket.Endpoint, "eu-1", m.bucket.Region,
		"https://crates.example.com", "http://"+m.address, "https://old.example.com", m.old.URL, "--data DIR", "--data "+m.path("/var/lib/crateyard"))
	m.write("/root/old-token", m.old.AdminToken+"\n")
	m.publish(m.old.URL, m.old.AdminToken, "veteran", "1.0.0")

	m.serve("crateyard serve --data /var/lib/crateyard")
	token, err := os.ReadFile(m.path("/var/lib/crateyard/admin-token"))
	m.must(err)
	m.token = strings.TrimSpace(string(token))
	m.write("/root/admin-token", string(token))
	for _, version := range []string{"1.0.0", "1.1.0"} {
		m.publish("http://"+m.address, m.token, "demo", version)
	}
	t.Cleanup(m.stop)
	return m
}

func (m *machine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// path gives where a file of the text lies.
func (m *machine) path(of string) string { return filepath.Join(m.root, filepath.FromSlash(of)) }

func (m *machine) write(file, text string) {
	m.t.Helper()
	m.must(os.MkdirAll(filepath.Dir(m.path(file)), 0o750))
	m.must(os.WriteFile(m.path(file), []byte(text), 0o600))
}

func (m *machine) remove(file string) {
	m.t.Helper()
	m.must(os.RemoveAll(m.path(file)))
}

func (m *machine) replace(pairs ...string) { m.replaced = append(m.replaced, pairs...) }

func (m *machine) here(text string) string { return strings.NewReplacer(m.replaced...).Replace(text) }

func (m *machine) command(text string) *exec.Cmd {
	cmd := exec.Command("bash", "-euo", "pipefail", "-c", m.here(text))
	cmd.Dir, cmd.Env = m.home, m.env
	return cmd
}

// run runs a command of the text, which must go well.
func (m *machine) run(text string) string {
	m.t.Helper()
	if exports, ok := strings.CutPrefix(text, "export "); ok { // for the commands that follow
		out, err := m.command("export " + exports + "; env | grep ^CRATEYARD_").CombinedOutput()
		if err != nil {
			m.t.Fatalf("%s: %v\n%s", text, err, out)
		}
		m.env = append(m.env, strings.Split(strings.TrimSpace(string(out)), "\n")...)
		return ""
	}
	begin := time.Now()
	out, err := m.command(text).CombinedOutput()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", text, err, out)
	}
	m.t.Logf("%s (%s)\n%s", text, time.Since(begin).Round(time.Millisecond), out)
	return string(out)
}

// serve starts the server of https://crates.example.com.
func (m *machine) serve(text string) {
	m.t.Helper()
	p, err := process.Start(m.command("exec "+text), syscall.SIGKILL)
	m.must(err)
	m.server = p
	for end := time.Now().Add(time.Minute); !strings.Contains(p.Logs(), "msg=Serving"); time.Sleep(10 * time.Millisecond) {
		select {
		case <-p.Ended():
			m.t.Fatalf("%s ended:\n%s", text, p.Logs())
		default:
		}
		if time.Now().After(end) {
			m.t.Fatalf("%s does not serve:\n%s", text, p.Logs())
		}
	}
}

func (m *machine) stop() {
	m.t.Helper()
	if m.server == nil {
		return
	}
	p := m.server
	m.server = nil
	if err := errors.Join(p.Signal(syscall.SIGTERM), p.Wait(time.Minute)); err != nil {
		m.t.Errorf("the server did not stop cleanly: %v\n%s", err, p.Logs())
	}
}

func (m *machine) publish(url, token, name, version string) {
	m.t.Helper()
	c := serve.NewClient(url, token)
	defer c.Close()
	status, text, err := c.Do("PUT", "/api/v1/crates/new", upload.New(name, version, nil).Frame)
	if err != nil || status != 200 {
		m.t.Fatalf("publish %s %s: %d %s %v", name, version, status, text, err)
	}
}

// has wants the server to have a crate with so many versions.
func (m *machine) has(name string, versions int) {
	m.t.Helper()
	c := serve.NewClient("http://"+m.address, "")
	defer c.Close()
	status, text, err := c.Do("GET", fmt.Sprintf("/index/%s/%s/%s", name[:2], name[2:4], name), nil)
	if err != nil || strings.Count(string(text), "\n") != versions || status != 200 {
		m.t.Errorf("index of %s: %d, want %d versions, %v\n%s", name, status, versions, err, text)
	}
}

// blob gives the file of an archive below a folder.
func (m *machine) blob(folder, part string) string {
	m.t.Helper()
	found := ""
	m.must(filepath.WalkDir(m.path(folder), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(filepath.Base(path), part) {
			found = path
		}
		return err
	}))
	if found == "" {
		m.t.Fatalf("there is no archive of %s in %s", part, folder)
	}
	return found
}

// backup gives the name of the newest backup at /mnt/backups.
func (m *machine) backup() string {
	m.t.Helper()
	list, err := os.ReadDir(m.path("/mnt/backups/backups"))
	if err != nil || len(list) == 0 {
		m.t.Fatal("there is no backup: ", err)
	}
	return list[len(list)-1].Name()
}

// mirrors makes the mirrors of the text, of the registry at old.example.com.
func (m *machine) mirrors() {
	m.t.Helper()
	m.write("/root/partner-token", m.old.AdminToken+"\n")
	m.run("crateyard mirror create crates-mirror --upstream sparse+https://old.example.com/index/")
	m.run("crateyard mirror create partner --upstream sparse+https://old.example.com/index/ --deny 'evil-*' --upstream-token-file partner-token")
	c := serve.NewClient("http://"+m.address, "")
	defer c.Close()
	for _, path := range []string{"/ve/te/veteran", "/crates/veteran/1.0.0/download"} {
		if status, text, err := c.Do("GET", "/mirrors/crates-mirror"+path, nil); status != 200 || err != nil {
			m.t.Fatalf("%s of the mirror: %d %s %v", path, status, text, err)
		}
	}
}

// meuse makes Meuse's folder of crates and its index, kellnr a folder of Kellnr.
func (m *machine) meuse() {
	m.t.Helper()
	c := upload.New("from-meuse", "1.0.0", nil)
	m.write("/srv/meuse/crates/from-meuse/1.0.0/download", string(c.Archive))
	m.write("/srv/meuse/index/config.json", `{"dl":"x","api":"y"}`)
	m.write("/srv/meuse/index/.git/HEAD", "ref: refs/heads/master\n")
	m.write("/srv/meuse/index/fr/om/from-meuse", `{"name":"from-meuse","vers":"1.0.0","deps":[],"cksum":"`+c.SHA256+`","features":{},"yanked":false}`+"\n")
}

func (m *machine) kellnr() {
	m.t.Helper()
	c := upload.New("from-kellnr", "1.0.0", nil)
	m.write("/srv/kellnr/crates/from-kellnr-1.0.0.crate", string(c.Archive))
	db, err := sql.Open("sqlite", m.path("/srv/kellnr/db.sqlite"))
	m.must(err)
	for _, stmt := range []string{
		"CREATE TABLE krate (id integer PRIMARY KEY, name text, original_name text, restricted_download boolean)",
		"CREATE TABLE crate_index (id integer PRIMARY KEY, name text, vers text, deps blob, cksum text, features blob, yanked boolean, links text, v integer, crate_fk integer)",
		"CREATE TABLE crate_meta (id integer PRIMARY KEY, version text, created text, downloads integer, crate_fk integer)",
		"INSERT INTO krate VALUES (1, 'from-kellnr', 'from-kellnr', 0)",
		"INSERT INTO crate_index VALUES (1, 'from-kellnr', '1.0.0', '[]', '" + c.SHA256 + "', '{}', 0, NULL, 1, 1)",
		"INSERT INTO crate_meta VALUES (1, '1.0.0', '2024-03-01 10:20:30', 5, 1)",
	} {
		_, err := db.ExecContext(m.t.Context(), stmt)
		m.must(err)
	}
	m.must(db.Close())
}
