//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/crateyard/crateyard/test/port"
	"github.com/crateyard/crateyard/test/postgres"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/serve"
	"github.com/crateyard/crateyard/test/upload"
)

// Where pods find PostgreSQL and S3, which run on this machine.
const (
	postgresAddress = "10.88.0.1:15432"
	s3Address       = "10.88.0.1:17070"
)

// TestReplicas has three servers share PostgreSQL and S3 while cargo works and one thing after the other fails.
func TestReplicas(t *testing.T) {
	c := start(t)
	f := &fleet{cluster: c, outer: t}
	for _, step := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"three replicas become ready", f.becomesReady},
		{"cargo publishes and builds", f.cargoWorks},
		{"pods are replaced one by one", f.podsReplaced},
		{"two servers of three are killed at once", f.serversKilled},
		{"PostgreSQL is restarted", f.postgresRestarted},
		{"S3 is cut off", f.s3CutOff},
		{"the image is upgraded", f.upgraded},
		{"a user is suspended", f.suspended},
		{"the Secret of the database changes", f.secretChanged},
		{"a Registry starts from the backup of another", f.backedUp},
		{"a second Registry is kept out", f.keptOut},
		{"nothing is lost", f.nothingLost},
	} {
		if !t.Run(step.name, step.run) {
			t.Fatal("the steps build on each other")
		}
	}
}

// fleet is a Registry of three replicas, and what it was asked to keep.
type fleet struct {
	*cluster
	outer    *testing.T // of the whole test
	postgres *postgres.Server
	s3       *s3.Server
	bucket   string
	uri      string // of the database, as pods reach it
	user     *serve.Client

	files map[string]string // for a CARGO_HOME

	mu        sync.Mutex
	next      int
	published []upload.Crate // acknowledged
	byCargo   []string       // versions of busyCrate that are acknowledged
}

const fleetSpec = `
apiVersion: crateyard.dev/v1alpha1
kind: Registry
metadata: {name: fleet}
spec:
  url: http://%s
  replicas: 3
  catalog: {postgres: {uriSecretRef: {name: fleet-pg, key: uri}, maxConnections: 10}}
  storage: {s3: {bucket: %s, region: us-east-1, endpoint: "http://%s", forcePathStyle: true, credentialsSecretRef: {name: fleet-s3}}}
  backup: {schedule: "* * * * *", keep: 2, s3: {bucket: %s, prefix: backups, region: us-east-1, endpoint: "http://%s", forcePathStyle: true, credentialsSecretRef: {name: fleet-s3}}}
---
apiVersion: crateyard.dev/v1alpha1
kind: RegistryUser
metadata: {name: fleet-ci}
spec:
  registryRef: {name: fleet}
  role: Publisher
  tokens: [{name: t, secretName: fleet-cargo}]
`

func (f *fleet) becomesReady(t *testing.T) {
	f.kubectl(t, "apply", "-f", "hack/demo/namespace.yaml")
	var err error
	if f.postgres, err = postgres.Start(postgres.Options{}); err != nil {
		t.Fatal(err)
	}
	outer := f.outer
	outer.Cleanup(func() {
		if err := f.postgres.Close(); err != nil {
			outer.Error(err)
		}
	})
	f.s3 = s3.New(outer)
	if f.bucket, err = f.s3.Bucket(t.Context()); err != nil {
		t.Fatal(err)
	}
	database, err := f.postgres.NewDatabase()
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	f.must(t, f.tool, "expose", "--name", "e2e", "--listen", postgresAddress, "--to", u.Host)
	f.exposeS3(t)
	u.Host = postgresAddress
	f.uri = u.String()
	f.kubectl(t, "-n", namespace, "create", "secret", "generic", "fleet-pg", "--from-literal=uri="+f.uri)
	f.kubectl(t, "-n", namespace, "create", "secret", "generic", "fleet-s3", "--from-literal=AWS_ACCESS_KEY_ID="+f.s3.AccessKey, "--from-literal=AWS_SECRET_ACCESS_KEY="+f.s3.SecretKey)
	f.address = port.Address(t)
	began := time.Now()
	if err := f.apply(t, fmt.Sprintf(fleetSpec, f.address, f.bucket, s3Address, f.bucket, s3Address)); err != nil {
		t.Fatal(err)
	}
	f.waitReady(t, "registry/fleet")
	t.Logf("from apply to Ready: %.1f s", time.Since(began).Seconds())
	f.waitReady(t, "registryuser/fleet-ci")
	f.must(t, f.tool, "forward", "--name", "e2e", "--listen", f.address, "--service", namespace+"/fleet:80")
	f.user = serve.NewClient("http://"+f.address, f.secret(t, "fleet-cargo", "token"))
	f.files = map[string]string{}
	for _, file := range []string{"config.toml", "credentials.toml"} {
		f.files[file] = f.secret(t, "fleet-cargo", file)
	}
	if got := f.get(t, "registry/fleet", "{.status.readyReplicas}"); got != "3" {
		t.Errorf("%s replicas are ready", got)
	}
	f.kubectl(t, "-n", namespace, "get", "poddisruptionbudget", "fleet")
}

func (f *fleet) exposeS3(t *testing.T) {
	t.Helper()
	f.must(t, f.tool, "expose", "--name", "e2e", "--listen", s3Address, "--to", strings.TrimPrefix(f.s3.Endpoint, "http://"))
}

// publish publishes a new version of a crate, again until it is acknowledged or the time is over, as a CI pipeline would.
func (f *fleet) publish(ctx context.Context, crate string) error {
	f.mu.Lock()
	f.next++
	v := upload.New(crate, fmt.Sprintf("1.0.%d", f.next), []byte("pub fn f() -> u32 { 1 }\n"))
	f.mu.Unlock()
	for {
		status, text, err := f.user.Do("PUT", "/api/v1/crates/new", v.Frame)
		switch {
		case err == nil && (status == 200 || status == 409 && strings.Contains(string(text), "already uploaded")): // an answer that was lost
			f.mu.Lock()
			f.published = append(f.published, v)
			f.mu.Unlock()
			return nil
		case err == nil && status != 503:
			return fmt.Errorf("publish: %d %s", status, text)
		case ctx.Err() != nil:
			return fmt.Errorf("publish: %d %s %w", status, text, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func (f *fleet) cargoWorks(t *testing.T) {
	dir := crate(t, "fleet-base", "0.1.0", "")
	f.fleetCargo(t, dir, "publish", "--registry", "fleet", "--allow-dirty")
	f.fleetCargo(t, crate(t, "app", "0.1.0", `fleet-base = { version = "0.1", registry = "fleet" }`), "build")
}

func (f *fleet) fleetCargo(t *testing.T, dir string, args ...string) {
	t.Helper()
	if out, err := f.cargoAs(t, "fleet-cargo", dir, args...); err != nil {
		t.Fatalf("cargo %v: %v\n%s", args, err, out)
	}
}

func (f *fleet) rolledOut(t *testing.T) {
	t.Helper()
	f.kubectl(t, "-n", namespace, "rollout", "status", "deployment/fleet", "--timeout=180s")
}

func (f *fleet) pods(t *testing.T) []string {
	t.Helper()
	return strings.Fields(f.kubectl(t, "-n", namespace, "get", "pods", "-l", "app.kubernetes.io/instance=fleet", "--field-selector=status.phase=Running", "-o", "jsonpath={.items[*].metadata.name}"))
}

// A pod that is told to end loses no request.
func (f *fleet) podsReplaced(t *testing.T) {
	seen := f.during(t, "calm", func() {
		for _, pod := range f.pods(t) {
			f.kubectl(t, "-n", namespace, "delete", "pod", pod, "--wait")
			f.rolledOut(t)
		}
	})
	seen.nothingFailed(t)
}

// knownDead is how soon after its death nobody is sent to a server any more: the kubelet looks each second, and kube-proxy has to hear of it.
const knownDead = 5 * time.Second

// Servers that die take what they were at work on with them, and no more: cargo, which tries again on another connection, does not notice, also when
// one server of three is left.
func (f *fleet) serversKilled(t *testing.T) {
	var died []time.Time
	seen := f.during(t, "storm", func() {
		for _, kill := range []func(*testing.T){f.killTwo, f.deleteTwo} {
			died = append(died, time.Now())
			kill(t)
			f.fleetCargo(t, crate(t, "app", "0.1.0", `fleet-base = { version = "0.1", registry = "fleet" }`), "build")
			time.Sleep(2 * knownDead)
			f.rolledOut(t)
		}
	})
	seen.builds.none(t, "builds")
	seen.lost.none(t, "reads, however often they were tried,")
	for _, read := range seen.reads {
		if !slices.ContainsFunc(died, func(d time.Time) bool { return read.began.After(d) && read.began.Before(d.Add(knownDead)) }) {
			t.Errorf("a read failed when none of the dead was asked any more: %s", read)
		}
	}
}

// killTwo has the kernel kill two of the three servers at once; their pods start them again.
func (f *fleet) killTwo(t *testing.T) {
	t.Helper()
	pids := f.processes(t)
	if len(pids) != 3 {
		t.Fatalf("the servers are the processes %v", pids)
	}
	for _, pid := range pids[:2] {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}
}

// deleteTwo removes two of the three pods at once without giving them time.
func (f *fleet) deleteTwo(t *testing.T) {
	t.Helper()
	f.kubectl(t, append([]string{"-n", namespace, "delete", "pod", "--grace-period=0", "--force"}, f.pods(t)[:2]...)...)
}

// processes gives the servers' processes on this machine, which is their node.
func (f *fleet) processes(t *testing.T) (pids []int) {
	t.Helper()
	uids := strings.Fields(f.kubectl(t, "-n", namespace, "get", "pods", "-l", "app.kubernetes.io/instance=fleet", "-o", "jsonpath={.items[*].metadata.uid}"))
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		cgroup, err1 := os.ReadFile(filepath.Join(dir, "cgroup"))
		cmdline, err2 := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err1 != nil || err2 != nil { // it ended meanwhile
			continue
		}
		ours := slices.ContainsFunc(uids, func(uid string) bool { return strings.Contains(string(cgroup), uid) })
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && ours && strings.HasPrefix(string(cmdline), "/crateyard\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}

// While the database is away what is in memory is served, and the rest is a clear 503.
func (f *fleet) postgresRestarted(t *testing.T) {
	seen := f.during(t, "calm", func() {
		if err := f.postgres.Stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a publish is refused clearly", 30*time.Second, func() (string, bool) {
			status, text, err := f.user.Do("PUT", "/api/v1/crates/new", upload.New("refused", "1.0.0", nil).Frame)
			said := fmt.Sprint(status, " ", string(text), " ", err)
			return said, err == nil && status == 503 && strings.Contains(string(text), "catalog")
		})
		out, err := f.cargoAs(t, "fleet-cargo", crate(t, "fleet-base", "0.2.0", ""), "publish", "--registry", "fleet", "--allow-dirty", "--no-verify")
		if err == nil || !strings.Contains(out, "503") || !strings.Contains(out, "catalog") {
			t.Errorf("cargo publish without a catalog: %v\n%s", err, out)
		}
		eventually(t, "the Registry says so", time.Minute, func() (string, bool) {
			said := f.condition(t, "registry/fleet", "CatalogReady")
			return said, strings.HasPrefix(said, "False")
		})
		time.Sleep(3 * time.Second)
		if err := f.postgres.Up(); err != nil {
			t.Fatal(err)
		}
	})
	seen.reads.none(t, "reads of what was in memory")
	seen.builds.none(t, "builds of what was in memory")
	seen.publishes.clear(t, "a publish")
	f.waitReady(t, "registry/fleet")
}

// s3Away is how long S3 is cut off.
const s3Away = 30 * time.Second

func (f *fleet) s3CutOff(t *testing.T) {
	unread := f.published[slices.IndexFunc(f.published, func(v upload.Crate) bool { return strings.HasSuffix(v.Name, "-busy") })]
	seen := f.during(t, "calm", func() {
		f.must(t, f.tool, "expose", "--name", "e2e", "--listen", s3Address, "--stop")
		began := time.Now()
		eventually(t, "the Registry says so", time.Minute, func() (string, bool) {
			said := f.condition(t, "registry/fleet", "StorageReady")
			return said, strings.HasPrefix(said, "False")
		})
		// What a server has a copy of it goes on serving; this version nobody has asked for.
		status, text, err := f.user.Do("GET", "/crates/"+unread.Name+"/"+unread.Version+"/download", nil)
		if err != nil || status != 503 || !strings.Contains(string(text), "storage") {
			t.Errorf("a download without S3: %d %.300q %v", status, text, err)
		}
		time.Sleep(s3Away - time.Since(began))
		f.exposeS3(t)
	})
	seen.reads.none(t, "reads of what servers have a copy of")
	seen.builds.none(t, "builds of what servers have a copy of")
	seen.publishes.clear(t, "a publish")
	f.waitReady(t, "registry/fleet")
	f.fleetCargo(t, crate(t, "app", "0.1.0", `fleet-base = { version = "0.1", registry = "fleet" }`), "build")
}

func (f *fleet) upgraded(t *testing.T) {
	seen := f.during(t, "calm", func() {
		nextImage(t, f.cluster)
		f.kubectl(t, "-n", namespace, "patch", "registry", "fleet", "--type=merge", "-p", `{"spec":{"image":"crateyard:next"}}`)
		eventually(t, "the status shows the new version", 3*time.Minute, func() (string, bool) {
			v := f.get(t, "registry/fleet", "{.status.version}")
			return v, v == "v9.9.9"
		})
		f.rolledOut(t)
	})
	seen.nothingFailed(t)
	f.waitReady(t, "registry/fleet")
}

// A suspension holds on every replica within a second.
func (f *fleet) suspended(t *testing.T) {
	patch := func(access string) {
		f.kubectl(t, "-n", namespace, "patch", "registryuser", "fleet-ci", "--type=merge", "-p", `{"spec":{"access":"`+access+`"}}`)
	}
	yank := func() int {
		// Connections are to one replica each, so each request makes a new one.
		defer f.user.Close()
		status, _, err := f.user.Do("GET", "/api/v1/me", nil)
		if err != nil {
			t.Error(err)
		}
		return status
	}
	patch("Suspended")
	eventually(t, "the user is refused", 30*time.Second, func() (string, bool) {
		status := yank()
		return fmt.Sprint(status), status == 403
	})
	time.Sleep(time.Second)
	for range 30 {
		if status := yank(); status != 403 {
			t.Fatalf("a second after it is suspended a user gets %d", status)
		}
	}
	patch("Active")
	eventually(t, "the user works again", 30*time.Second, func() (string, bool) {
		status := yank()
		return fmt.Sprint(status), status == 200
	})
}

// Another URI in the Secret, as after a rotated password, reaches the pods.
func (f *fleet) secretChanged(t *testing.T) {
	before := f.get(t, "deployment/fleet", "{.metadata.generation}")
	f.kubectl(t, "-n", namespace, "patch", "secret", "fleet-pg", "--type=merge", "-p", `{"stringData":{"uri":"`+f.uri+`&application_name=after"}}`)
	eventually(t, "the pods are replaced", time.Minute, func() (string, bool) {
		now := f.get(t, "deployment/fleet", "{.metadata.generation}")
		return now, now != before
	})
	f.rolledOut(t)
	f.waitReady(t, "registry/fleet")
}

func (f *fleet) backedUp(t *testing.T) {
	eventually(t, "a backup is reported", 3*time.Minute, func() (string, bool) {
		said := f.condition(t, "registry/fleet", "BackupReady")
		return said, strings.HasPrefix(said, "True") && f.get(t, "registry/fleet", "{.status.backup.lastSuccessful}") != ""
	})
	err := f.apply(t, fmt.Sprintf(`
apiVersion: crateyard.dev/v1alpha1
kind: Registry
metadata: {name: again}
spec:
  deletionPolicy: Delete
  restoreFrom: {s3: {bucket: %s, prefix: backups, region: us-east-1, endpoint: "http://%s", forcePathStyle: true, credentialsSecretRef: {name: fleet-s3}}}
`, f.bucket, s3Address))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the new Registry is ready", 3*time.Minute, func() (string, bool) {
		said, err := f.run("kubectl", "-n", namespace, "get", "registry/again", "-o", `jsonpath={.status.restoredAt} {.status.conditions[?(@.type=="Ready")].status}`)
		return said, err == nil && strings.HasSuffix(said, " True") && !strings.HasPrefix(said, " ")
	})
	address := port.Address(t)
	f.must(t, f.tool, "forward", "--name", "e2e", "--listen", address, "--service", namespace+"/again:80")
	status, text, err := serve.NewClient("http://"+address, "").Do("GET", "/index/fl/ee/fleet-base", nil)
	if err != nil || status != 200 || !strings.Contains(string(text), `"vers":"0.1.0"`) {
		t.Errorf("the restored registry: %d %s %v", status, text, err)
	}
	f.kubectl(t, "-n", namespace, "delete", "registry", "again", "--timeout=60s")
}

func (f *fleet) keptOut(t *testing.T) {
	err := f.apply(t, fmt.Sprintf(`
apiVersion: crateyard.dev/v1alpha1
kind: Registry
metadata: {name: thief}
spec:
  catalog: {postgres: {uriSecretRef: {name: fleet-pg, key: uri}}}
  storage: {s3: {bucket: %s, region: us-east-1, endpoint: "http://%s", forcePathStyle: true, credentialsSecretRef: {name: fleet-s3}}}
`, f.bucket, s3Address))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it says whose the database is", 2*time.Minute, func() (string, bool) {
		said := f.condition(t, "registry/thief", "CatalogReady")
		return said, strings.HasPrefix(said, "False") && strings.Contains(said, namespace+"/fleet")
	})
	f.kubectl(t, "-n", namespace, "delete", "registry", "thief", "--timeout=60s")
}

// nothingLost reads every version that was acknowledged, and every one that the index has, and has the server look at all it has.
func (f *fleet) nothingLost(t *testing.T) {
	sums := map[string]string{} // of what was acknowledged; empty where only cargo has seen the archive
	names := map[string]bool{"fleet-base": true}
	for _, v := range f.published {
		sums[v.Name+" "+v.Version], names[v.Name] = v.SHA256, true
	}
	for _, version := range f.byCargo {
		sums[busyCrate+" "+version], names[busyCrate] = "", true
	}
	there := 0
	for name := range names {
		status, file, err := f.user.Do("GET", "/index/"+indexPath(name), nil)
		if err != nil || status != 200 {
			t.Fatalf("index of %s: %d %.300s %v", name, status, file, err)
		}
		for text := range strings.Lines(string(file)) {
			var line struct{ Vers, Cksum string }
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				t.Fatal(err)
			}
			status, data, err := f.user.Do("GET", "/crates/"+name+"/"+line.Vers+"/download", nil)
			got := fmt.Sprintf("%x", sha256.Sum256(data))
			if want := sums[name+" "+line.Vers]; err != nil || status != 200 || got != line.Cksum || want != "" && got != want {
				t.Errorf("%s %s: %d, %d bytes, %v; SHA-256 %s, in the index %s, published %q", name, line.Vers, status, len(data), err, got, line.Cksum, want)
			}
			delete(sums, name+" "+line.Vers)
			there++
		}
	}
	for version := range sums {
		t.Errorf("%s was acknowledged and is lost", version)
	}
	t.Logf("%d versions are there, %d of them published by cargo while something happened", there, len(f.byCargo))
	out := f.kubectl(t, "-n", namespace, "exec", "deployment/fleet", "--", "/crateyard", "check", "--config", "/etc/crateyard/config/config.yaml")
	t.Log(out)
}
