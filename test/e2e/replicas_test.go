//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

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
		{"a server is killed", f.serverKilled},
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

	mu        sync.Mutex
	next      int
	published []upload.Crate // acknowledged
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
	f.address = freeAddress(t)
	began := time.Now()
	if err := f.apply(t, fmt.Sprintf(fleetSpec, f.address, f.bucket, s3Address, f.bucket, s3Address)); err != nil {
		t.Fatal(err)
	}
	f.waitReady(t, "registry/fleet")
	t.Logf("from apply to Ready: %.1f s", time.Since(began).Seconds())
	f.waitReady(t, "registryuser/fleet-ci")
	f.must(t, f.tool, "forward", "--name", "e2e", "--listen", f.address, "--service", namespace+"/fleet:80")
	f.user = serve.NewClient("http://"+f.address, f.secret(t, "fleet-cargo", "token"))
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

// during publishes one crate and reads the index of another without a pause while something happens. Every publish must be acknowledged in the end. How many reads
// of the index failed is given back: it is for the caller to say whether one may.
func (f *fleet) during(t *testing.T, crate string, happens func()) (reads, failed int, first string) {
	t.Helper()
	if err := f.publish(t.Context(), crate); err != nil {
		t.Fatal(err)
	}
	path := fmt.Sprintf("/index/%s/%s/%s", crate[:2], crate[2:4], crate)
	for range 30 { // each on a new connection, so that all replicas have it in memory
		f.user.Close()
		if status, text, err := f.user.Do("GET", path, nil); err != nil || status != 200 {
			t.Fatal(status, string(text), err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			limit, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			if err := f.publish(limit, crate+"-busy"); err != nil {
				t.Error(err)
			}
			cancel()
			time.Sleep(50 * time.Millisecond)
		}
	})
	wg.Go(func() {
		for ctx.Err() == nil {
			status, text, err := f.user.Do("GET", path, nil)
			reads++
			if err != nil || status != 200 {
				if failed++; first == "" {
					first = fmt.Sprintf("%d %.300s %v", status, text, err)
				}
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
	happens()
	time.Sleep(time.Second)
	stop()
	wg.Wait()
	t.Logf("%d reads, %d of them failed (%s); %d versions acknowledged so far", reads, failed, first, len(f.published))
	return reads, failed, first
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
	_, failed, first := f.during(t, "calm", func() {
		for _, pod := range f.pods(t) {
			f.kubectl(t, "-n", namespace, "delete", "pod", pod, "--wait")
			f.rolledOut(t)
		}
	})
	if failed > 0 {
		t.Errorf("%d reads failed: %s", failed, first)
	}
}

// A server that dies takes what it was at work on with it, and no more: cargo, which tries again, does not notice.
func (f *fleet) serverKilled(t *testing.T) {
	_, _, _ = f.during(t, "storm", func() {
		for range 3 {
			f.kubectl(t, "-n", namespace, "delete", "pod", f.pods(t)[0], "--grace-period=0", "--force")
			f.fleetCargo(t, crate(t, "app", "0.1.0", `fleet-base = { version = "0.1", registry = "fleet" }`), "build")
			f.rolledOut(t)
		}
	})
}

// While the database is away what is in memory is served, and the rest is a clear 503.
func (f *fleet) postgresRestarted(t *testing.T) {
	_, failed, first := f.during(t, "calm", func() {
		if err := f.postgres.Stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a publish is refused clearly", 30*time.Second, func() (string, bool) {
			status, text, err := f.user.Do("PUT", "/api/v1/crates/new", upload.New("refused", "1.0.0", nil).Frame)
			said := fmt.Sprint(status, " ", string(text), " ", err)
			return said, err == nil && status == 503 && strings.Contains(string(text), "catalog")
		})
		eventually(t, "the Registry says so", time.Minute, func() (string, bool) {
			said := f.condition(t, "registry/fleet", "CatalogReady")
			return said, strings.HasPrefix(said, "False")
		})
		time.Sleep(3 * time.Second)
		if err := f.postgres.Up(); err != nil {
			t.Fatal(err)
		}
	})
	if failed > 0 {
		t.Errorf("%d reads of a file that was in memory failed: %s", failed, first)
	}
	f.waitReady(t, "registry/fleet")
}

// s3Away is how long S3 is cut off.
const s3Away = 30 * time.Second

func (f *fleet) s3CutOff(t *testing.T) {
	unread := f.published[0]
	_, failed, first := f.during(t, "calm", func() {
		f.must(t, f.tool, "expose", "--name", "e2e", "--listen", s3Address, "--stop")
		began := time.Now()
		eventually(t, "the Registry says so", time.Minute, func() (string, bool) {
			said := f.condition(t, "registry/fleet", "StorageReady")
			return said, strings.HasPrefix(said, "False")
		})
		// What a server has a copy of it goes on serving; this version nobody has asked for.
		status, text, err := f.user.Do("GET", "/crates/"+unread.Name+"/"+unread.Version+"/download", nil)
		if err != nil || status != 503 || !strings.Contains(string(text), "storage") {
			t.Errorf("a download without S3: %d %.300s %v", status, text, err)
		}
		time.Sleep(s3Away - time.Since(began))
		f.exposeS3(t)
	})
	if failed > 0 {
		t.Errorf("%d reads of the index failed: %s", failed, first)
	}
	f.waitReady(t, "registry/fleet")
	f.fleetCargo(t, crate(t, "app", "0.1.0", `fleet-base = { version = "0.1", registry = "fleet" }`), "build")
}

func (f *fleet) upgraded(t *testing.T) {
	_, failed, first := f.during(t, "calm", func() {
		nextImage(t, f.cluster)
		f.kubectl(t, "-n", namespace, "patch", "registry", "fleet", "--type=merge", "-p", `{"spec":{"image":"crateyard:next"}}`)
		eventually(t, "the status shows the new version", 3*time.Minute, func() (string, bool) {
			v := f.get(t, "registry/fleet", "{.status.version}")
			return v, v == "v9.9.9"
		})
		f.rolledOut(t)
	})
	if failed > 0 {
		t.Errorf("%d reads failed: %s", failed, first)
	}
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
	address := freeAddress(t)
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

// nothingLost reads every version that was acknowledged, and has the server look at all it has.
func (f *fleet) nothingLost(t *testing.T) {
	for _, v := range f.published {
		status, data, err := f.user.Do("GET", "/crates/"+v.Name+"/"+v.Version+"/download", nil)
		if err != nil || status != 200 || string(data) != string(v.Archive) {
			t.Errorf("%s %s was acknowledged: %d, %d bytes, %v", v.Name, v.Version, status, len(data), err)
		}
	}
	t.Logf("%d versions are there", len(f.published))
	out := f.kubectl(t, "-n", namespace, "exec", "deployment/fleet", "--", "/crateyard", "check", "--config", "/etc/crateyard/config/config.yaml")
	t.Log(out)
}
