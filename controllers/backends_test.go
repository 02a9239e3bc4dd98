package controllers_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	server "github.com/crateyard/crateyard/registry"
)

// grown is a Registry of n replicas over PostgreSQL and S3.
func grown(n int32) v1alpha1.RegistrySpec {
	return v1alpha1.RegistrySpec{
		Replicas: &n,
		Storage:  v1alpha1.StorageSpec{S3: &v1alpha1.S3Storage{S3Location: v1alpha1.S3Location{Bucket: "crates", CredentialsSecretRef: &v1alpha1.SecretReference{Name: "s3"}}}},
		Catalog:  v1alpha1.CatalogSpec{Postgres: &v1alpha1.PostgresCatalog{URISecretRef: v1alpha1.SecretKeyReference{Name: "pg-app"}}},
	}
}

// putSecret makes or replaces a Secret as somebody else does, without any of our labels.
func (h *harness) putSecret(name string, data map[string]string) {
	h.Helper()
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: name}, StringData: data}
	h.must(client.IgnoreNotFound(h.client.Delete(h.Context(), s.DeepCopy())))
	h.must(h.client.Create(h.Context(), s))
}

var (
	pgSecret = map[string]string{"uri": "postgresql://app:secret@pg-rw/app", "username": "app"}
	s3Secret = map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key"}
)

// digest is what replaces a Registry's pods when it changes.
func (h *harness) digest(registry string) string {
	h.Helper()
	return get(h, registry, &appsv1.Deployment{}).Spec.Template.Annotations["crateyard.dev/config"]
}

func TestSecretsOfOthers(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", grown(3))
	r, _ := h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.CatalogReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing), "there is no Secret pg-app; make it, or name another in spec.catalog.postgres.uriSecretRef")
	h.wantContains(h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing), "spec.storage.s3.credentialsSecretRef")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing)
	if h.exists("acme", &appsv1.Deployment{}) || h.exists("acme-config", &corev1.ConfigMap{}) {
		t.Error("pods are made that cannot start")
	}
	if h.exists("acme-data", &corev1.PersistentVolumeClaim{}) {
		t.Error("there is a volume for a registry that keeps nothing on one")
	}

	h.putSecret("pg-app", map[string]string{"uri": " ", "username": "app"})
	h.putSecret("s3", map[string]string{"AWS_ACCESS_KEY_ID": "id"})
	r, _ = h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.CatalogReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretKeyMissing), "Secret pg-app has nothing under the key uri")
	h.wantContains(h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretKeyMissing), "AWS_SECRET_ACCESS_KEY")

	h.putSecret("pg-app", pgSecret)
	h.putSecret("s3", s3Secret)
	h.registry("acme")
	h.runPods("acme")
	h.startServer("acme")
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.wantContains(h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonAvailable), "bucket crates")
	h.wantContains(h.want(r, v1alpha1.CatalogReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonAvailable), "PostgreSQL")
	before := h.writes.Load()
	for range 3 {
		h.registry("acme")
	}
	if n := h.writes.Load() - before; n != 0 {
		t.Errorf("reconciling a Registry that is as it should be wrote %d times", n)
	}

	was := h.digest("acme")
	changed := func(secret string, data map[string]string) bool {
		h.putSecret(secret, data)
		h.registry("acme")
		now := h.digest("acme")
		defer func() { was = now }()
		return now != was
	}
	if changed("pg-app", map[string]string{"uri": pgSecret["uri"], "username": "other"}) {
		t.Error("a key that nobody reads replaces the pods")
	}
	if !changed("pg-app", map[string]string{"uri": "postgresql://app:new@pg-rw/app"}) {
		t.Error("another password leaves the pods as they are")
	}
	if !changed("s3", map[string]string{"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "new"}) {
		t.Error("another key leaves the pods as they are")
	}
	changed("s3", map[string]string{"AWS_ACCESS_KEY_ID": "t1", "AWS_SECRET_ACCESS_KEY": "t1", "AWS_SESSION_TOKEN": "t1"})
	if changed("s3", map[string]string{"AWS_ACCESS_KEY_ID": "t2", "AWS_SECRET_ACCESS_KEY": "t2", "AWS_SESSION_TOKEN": "t2"}) {
		t.Error("credentials that expire replace the pods whenever they are renewed; the server reads them anew")
	}

	// A Secret that goes, together with a change of the spec, breaks nothing that runs.
	h.runPods("acme")
	h.must(h.client.Delete(t.Context(), h.secret("pg-app")))
	r = get(h, "acme", &v1alpha1.Registry{})
	r.Spec.Access.AnonymousRead = v1alpha1.Disabled
	h.must(h.client.Update(t.Context(), r))
	deployment, config := get(h, "acme", &appsv1.Deployment{}).ResourceVersion, get(h, "acme-config", &corev1.ConfigMap{}).ResourceVersion
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing)
	h.want(r, v1alpha1.WorkloadReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonRunning)
	if get(h, "acme", &appsv1.Deployment{}).ResourceVersion != deployment || get(h, "acme-config", &corev1.ConfigMap{}).ResourceVersion != config {
		t.Error("pods are replaced by ones that cannot start")
	}
	if r.Status.ObservedGeneration == r.Generation {
		t.Error("observedGeneration moved before the new spec is in effect")
	}
	if said := h.said(); strings.Contains(said, "secret@") || strings.Contains(said, "new@") {
		t.Errorf("events hold a password:\n%s", said)
	}
}

// A backup's Secret holds up the backup alone.
func TestBackupWithoutItsSecret(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Backup: &v1alpha1.BackupSpec{Schedule: "0 3 * * *", S3: v1alpha1.S3Location{
		Bucket: "backup", CredentialsSecretRef: &v1alpha1.SecretReference{Name: "s3-backup"}}}})
	h.registry("acme")
	h.bindVolume("acme")
	h.runPods("acme")
	h.startServer("acme")
	r, _ := h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	h.wantContains(h.want(r, v1alpha1.BackupReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonSecretMissing), "spec.backup.s3.credentialsSecretRef")
	h.putSecret("s3-backup", s3Secret)
	r, _ = h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.BackupReadyCondition, metav1.ConditionUnknown, v1alpha1.ReasonBackupPending), "0 3 * * *")
}

// A schedule that can never be holds up the backup alone: with it in its configuration a server would not start.
func TestBackupWithAnImpossibleSchedule(t *testing.T) {
	for schedule, says := range map[string]string{
		"61 3 * * *": `spec.backup.schedule "61 3 * * *": minute "61": it must be 0 to 59`,
		"0 3 30 2 *": `spec.backup.schedule "0 3 30 2 *": there is no such day`,
	} {
		h := newHarness(t)
		h.ready("acme")
		h.said()
		r := get(h, "acme", &v1alpha1.Registry{})
		r.Spec.Backup = &v1alpha1.BackupSpec{Schedule: schedule, S3: v1alpha1.S3Location{Bucket: "backup"}}
		h.must(h.client.Update(t.Context(), r))
		h.registry("acme")
		h.runPods("acme")
		r, _ = h.registry("acme")
		h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
		h.wantContains(h.want(r, v1alpha1.BackupReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonInvalidSpec), says)
		h.wantSaid("Warning InvalidSpec no backups are made: " + says)
		config := server.DefaultConfig()
		file := filepath.Join(t.TempDir(), "config.yaml")
		h.must(os.WriteFile(file, []byte(get(h, "acme-config", &corev1.ConfigMap{}).Data["config.yaml"]), 0o600))
		h.must(server.ReadConfig(file, &config))
		h.must(config.Check())
	}
}

func TestReplicasComeAndGo(t *testing.T) {
	h := newHarness(t)
	h.putSecret("pg-app", pgSecret)
	h.putSecret("s3", s3Secret)
	h.makeRegistry("acme", grown(3))
	h.registry("acme")
	h.runPods("acme")
	if !h.exists("acme", &policyv1.PodDisruptionBudget{}) {
		t.Fatal("three replicas have no PodDisruptionBudget")
	}
	r, _ := h.registry("acme")
	if want := "app.kubernetes.io/component=registry,app.kubernetes.io/instance=acme,app.kubernetes.io/name=crateyard"; r.Status.Selector != want || r.Status.Replicas != 3 || r.Status.ReadyReplicas != 3 {
		t.Errorf("status = %+v, want the selector %s and 3 replicas", r.Status, want)
	}

	// kubectl scale
	scale := &autoscalingv1.Scale{}
	h.must(h.client.SubResource("scale").Get(t.Context(), r, scale))
	if scale.Spec.Replicas != 3 || scale.Status.Replicas != 3 || scale.Status.Selector != r.Status.Selector {
		t.Errorf("scale = %+v", scale)
	}
	scale.Spec.Replicas = 1
	h.must(h.client.SubResource("scale").Update(t.Context(), r, client.WithSubResourceBody(scale)))
	was := h.digest("acme")
	h.registry("acme")
	d := get(h, "acme", &appsv1.Deployment{})
	if *d.Spec.Replicas != 1 || h.digest("acme") != was || d.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
		t.Errorf("one replica: %d of strategy %s, and pods that are replaced: %t", *d.Spec.Replicas, d.Spec.Strategy.Type, h.digest("acme") != was)
	}
	if h.exists("acme", &policyv1.PodDisruptionBudget{}) {
		t.Error("one replica has a PodDisruptionBudget, which keeps its node from being drained")
	}

	h.makeRegistry("small", v1alpha1.RegistrySpec{})
	small := get(h, "small", &v1alpha1.Registry{})
	h.must(h.client.SubResource("scale").Get(t.Context(), small, scale))
	scale.Spec.Replicas = 2
	if err := h.client.SubResource("scale").Update(t.Context(), small, client.WithSubResourceBody(scale)); err == nil || !strings.Contains(err.Error(), "replicas above 1 need spec.catalog.postgres") {
		t.Errorf("a registry on SQLite can be scaled: %v", err)
	}
}

func TestRestore(t *testing.T) {
	h := newHarness(t)
	h.putSecret("pg-app", pgSecret)
	h.putSecret("s3", s3Secret)
	h.putSecret("old", s3Secret)
	spec := grown(3)
	spec.RestoreFrom = &v1alpha1.RestoreSpec{S3: v1alpha1.S3Location{Bucket: "backup", CredentialsSecretRef: &v1alpha1.SecretReference{Name: "old"}}}
	h.makeRegistry("acme", spec)
	h.registry("acme")
	d := get(h, "acme", &appsv1.Deployment{})
	pod := d.Spec.Template.Spec
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType || len(pod.InitContainers) != 1 {
		t.Fatalf("a restore runs in %d pods of strategy %s with %d init containers, want one, alone", *d.Spec.Replicas, d.Spec.Strategy.Type, len(pod.InitContainers))
	}
	if args := pod.InitContainers[0].Args; !slices.Equal(args, []string{"restore", "--config", "/etc/crateyard/config/config.yaml", "--if-empty"}) {
		t.Errorf("args = %q", args)
	}

	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "acme-1", Labels: d.Spec.Template.Labels}, Spec: pod}
	p.Spec.ServiceAccountName = ""
	h.must(h.client.Create(t.Context(), p))
	p.Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "restore", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: 1, Message: "time=1 level=INFO msg=Restoring\ncrateyard: s3: there is no bucket backup\n"}}}}
	h.must(h.client.Status().Update(t.Context(), p))
	r, _ := h.registry("acme")
	c := h.want(r, v1alpha1.WorkloadReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRestoreFailed)
	h.wantContains(c, "exit code 1: crateyard: s3: there is no bucket backup")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRestoreFailed)

	r.Spec.RestoreFrom.S3.Bucket = "other-backup" // while nothing was served, a mistake can be mended
	h.must(h.client.Update(t.Context(), r))
	h.must(h.client.Delete(t.Context(), p, client.GracePeriodSeconds(0)))
	h.registry("acme")
	h.runPods("acme")
	r, result := h.registry("acme")
	if r.Status.RestoredAt == nil || result.RequeueAfter == 0 {
		t.Fatalf("the restore is not noted: %+v", r.Status)
	}
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRestoring)
	h.wantSaid("Restored from spec.restoreFrom")

	h.must(h.client.Delete(t.Context(), h.secret("old"))) // it is not needed any more
	h.registry("acme")
	h.runPods("acme")
	h.startServer("acme")
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	d = get(h, "acme", &appsv1.Deployment{})
	if *d.Spec.Replicas != 3 || len(d.Spec.Template.Spec.InitContainers) != 0 || strings.Contains(get(h, "acme-config", &corev1.ConfigMap{}).Data["config.yaml"], "restoreFrom") {
		t.Errorf("after the restore there are %d replicas and init containers %v", *d.Spec.Replicas, d.Spec.Template.Spec.InitContainers)
	}
	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Name == "restore" {
			t.Error("the backup's credentials are still mounted")
		}
	}
}

// A pod that is not ready is asked why, and what it says of catalog and storage stands in their conditions.
func TestPodsThatAreNotReadyAreAsked(t *testing.T) {
	for _, tt := range []struct{ name, answer, condition, reason, message string }{
		{"catalog", "catalog: password authentication failed for user app at postgresql://app:secret@pg/app", v1alpha1.CatalogReadyCondition, v1alpha1.ReasonCatalogUnavailable, "the server cannot use its database: password authentication failed"},
		{"wrong keys", "storage: the storage does not accept this server's keys; check them", v1alpha1.StorageReadyCondition, v1alpha1.ReasonStorageUnavailable, "the server cannot use its storage: the storage does not accept this server's keys"},
		{"missing bucket", "storage: the bucket of this registry does not exist", v1alpha1.StorageReadyCondition, v1alpha1.ReasonStorageUnavailable, "does not exist"},
		{"read-only bucket", "storage: the server may not write to its bucket, or the bucket is read-only", v1alpha1.StorageReadyCondition, v1alpha1.ReasonStorageUnavailable, "the bucket is read-only"},
		{"full disk", "storage: the registry's disk is full; make room there", v1alpha1.StorageReadyCondition, v1alpha1.ReasonStorageUnavailable, "the registry's disk is full"},
		{"full disk of the database", "catalog: the registry's catalog takes no writes at the moment", v1alpha1.CatalogReadyCondition, v1alpha1.ReasonCatalogUnavailable, "takes no writes"},
		{"newer schema", "catalog: its schema is version 999, made by a newer crateyard", v1alpha1.CatalogReadyCondition, v1alpha1.ReasonCatalogUnavailable, "made by a newer crateyard"},
		{"another's database", "catalog: the catalog's database belongs to registry ns/b; this is ns/a", v1alpha1.CatalogReadyCondition, v1alpha1.ReasonCatalogUnavailable, "belongs to registry ns/b"},
		{"another's prefix", "storage: it belongs to another registry, of id 00ff", v1alpha1.StorageReadyCondition, v1alpha1.ReasonStorageUnavailable, "belongs to another registry"},
		{"other", "stopping", v1alpha1.WorkloadReadyCondition, v1alpha1.ReasonNotReady, "the server runs and is not ready yet: stopping"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/readyz" {
					t.Errorf("asked for %s", r.URL.Path)
				}
				http.Error(w, tt.answer, http.StatusServiceUnavailable)
			}))
			t.Cleanup(server.Close)
			h.registries.OpsAddress = func(*corev1.Pod) string { return strings.TrimPrefix(server.URL, "http://") }
			h.putSecret("pg-app", pgSecret)
			h.putSecret("s3", s3Secret)
			h.makeRegistry("acme", grown(1))
			h.registry("acme")
			template := get(h, "acme", &appsv1.Deployment{}).Spec.Template
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "acme-1", Labels: template.Labels}, Spec: template.Spec}
			pod.Spec.ServiceAccountName = ""
			h.must(h.client.Create(t.Context(), pod))
			pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "192.0.2.1", PodIPs: []corev1.PodIP{{IP: "192.0.2.1"}}}
			h.must(h.client.Status().Update(t.Context(), pod))
			r, _ := h.registry("acme")
			h.wantContains(h.want(r, tt.condition, metav1.ConditionFalse, tt.reason), tt.message)
			h.wantContains(h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, tt.reason), tt.condition+" says more")
		})
	}
}

// What pods say that serve is told, too: their probe leaves out what all of them share. A clock, and a crate file that was edited, hold up nothing.
func TestPodsThatServeAreAsked(t *testing.T) {
	h := newHarness(t)
	answer := "ready\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !strings.HasPrefix(answer, "ready") {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, answer) // the test fails without it
	}))
	t.Cleanup(server.Close)
	h.registries.OpsAddress = func(*corev1.Pod) string { return strings.TrimPrefix(server.URL, "http://") }
	h.putSecret("pg-app", pgSecret)
	h.putSecret("s3", s3Secret)
	h.makeRegistry("acme", grown(1))
	h.registry("acme")
	template := get(h, "acme", &appsv1.Deployment{}).Spec.Template
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "acme-1", Labels: template.Labels}, Spec: template.Spec}
	pod.Spec.ServiceAccountName = ""
	h.must(h.client.Create(t.Context(), pod))
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "192.0.2.1", PodIPs: []corev1.PodIP{{IP: "192.0.2.1"}}}
	h.must(h.client.Status().Update(t.Context(), pod))
	h.runPods("acme")
	h.startServer("acme")
	for _, tt := range []struct {
		answer, condition string
		status            metav1.ConditionStatus
		reason, message   string
		ready             metav1.ConditionStatus
	}{
		{"ready\n", v1alpha1.ClocksAgreeCondition, metav1.ConditionTrue, v1alpha1.ReasonClocksAgree, "agree", metav1.ConditionTrue},
		{"clock: this server's clock is 2h0m0s behind that of the catalog's database\n", v1alpha1.ClocksAgreeCondition, metav1.ConditionFalse, v1alpha1.ReasonClocksDiffer, "2h0m0s behind", metav1.ConditionTrue},
		{"storage: the bucket is read-only\n", v1alpha1.StorageReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonStorageUnavailable, "read-only", metav1.ConditionFalse},
		{"ready\ncrates: the last scrub found 2 damaged or missing archives\n", v1alpha1.ClocksAgreeCondition, metav1.ConditionTrue, v1alpha1.ReasonClocksAgree, "agree", metav1.ConditionTrue},
	} {
		answer = tt.answer
		r, _ := h.registry("acme")
		h.wantContains(h.want(r, tt.condition, tt.status, tt.reason), tt.message)
		if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ReadyCondition); c.Status != tt.ready {
			t.Errorf("%q: Ready is %+v", tt.answer, c)
		}
	}
}

func TestTakeOver(t *testing.T) {
	h := newHarness(t)
	r := h.ready("acme")
	if config := get(h, "acme-config", &corev1.ConfigMap{}).Data["config.yaml"]; !strings.Contains(config, "instance: "+h.ns+"/acme\n") || strings.Contains(config, "takeOver") {
		t.Errorf("config.yaml:\n%s", config)
	}
	was := h.digest("acme")
	r.Annotations = map[string]string{v1alpha1.TakeOverAnnotation: "true"}
	h.must(h.client.Update(t.Context(), r))
	h.registry("acme")
	h.runPods("acme")
	r, _ = h.registry("acme")
	if !strings.Contains(get(h, "acme-config", &corev1.ConfigMap{}).Data["config.yaml"], "takeOver: true\n") || h.digest("acme") == was {
		t.Error("the annotation does not reach the server")
	}
	h.wantContains(h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded), "remove the annotation crateyard.dev/take-over")
}

// The operator's cache holds no Secret of others, and still it hears when one changes. A Registry that is stopped is looked at for no
// other reason.
func TestOperatorHearsOfSecretsOfOthers(t *testing.T) {
	h := newHarness(t)
	h.putSecret("pg-app", pgSecret)
	h.putSecret("s3", s3Secret)
	h.makeRegistry("acme", grown(0))
	h.startOperator()
	h.eventually("a Deployment", func() bool { return h.exists("acme", &appsv1.Deployment{}) })
	h.eventually("a Registry that is stopped", func() bool {
		c := meta.FindStatusCondition(get(h, "acme", &v1alpha1.Registry{}).Status.Conditions, v1alpha1.ReadyCondition)
		return c != nil && c.Reason == v1alpha1.ReasonStopped
	})
	was := h.digest("acme")
	h.putSecret("pg-app", map[string]string{"uri": "postgresql://app:new@pg-rw/app"})
	h.eventually("pods with the new URI", func() bool { return h.digest("acme") != was })
}
