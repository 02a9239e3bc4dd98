package controllers_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

func TestImageThatCannotBePulled(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Image: "nowhere.example/crateyard:v0"})
	h.registry("acme")
	h.bindVolume("acme")
	template := get(h, "acme", &appsv1.Deployment{}).Spec.Template
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "acme-1", Labels: template.Labels}, Spec: template.Spec}
	pod.Spec.ServiceAccountName = ""
	h.must(h.client.Create(t.Context(), pod))
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "registry", Image: "nowhere.example/crateyard:v0", State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such host"},
	}}}
	h.must(h.client.Status().Update(t.Context(), pod))
	r, _ := h.registry("acme")
	c := h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonImagePullFailed)
	for _, part := range []string{"nowhere.example/crateyard:v0", "check spec.image"} {
		h.wantContains(c, part)
	}
	h.wantContains(h.want(r, v1alpha1.WorkloadReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonImagePullFailed), "no such host")
	if said := h.said(); strings.Contains(said, "no such host") || !strings.Contains(said, "ImagePullFailed image nowhere.example/crateyard:v0") {
		t.Errorf("the warning must name the image, and leave the rest to WorkloadReady:\n%s", said)
	}
}

func TestForeignChildStalls(t *testing.T) {
	for name, foreign := range map[string]metav1.Object{
		"Secret acme-admin": &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "acme-admin"}, Data: map[string][]byte{"token": []byte("mine")}},
		"Service acme":      &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "acme"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 1}}}},
		"ConfigMap acme-config": &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "acme-config", Labels: map[string]string{
			"app.kubernetes.io/managed-by": "crateyard", "crateyard.dev/registry": "other",
		}}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			foreign.SetNamespace(h.ns)
			switch o := foreign.(type) {
			case *corev1.Secret:
				h.must(h.client.Create(t.Context(), o))
			case *corev1.Service:
				h.must(h.client.Create(t.Context(), o))
			case *corev1.ConfigMap:
				h.must(h.client.Create(t.Context(), o))
			}
			h.makeRegistry("acme", v1alpha1.RegistrySpec{})
			r, _ := h.registry("acme")
			h.wantContains(h.want(r, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonNameTaken), name+" exists and does not belong to this Registry; delete or rename it, or give this Registry another name")
			h.registry("acme") // now it sees the volume that it made
			before := h.writes.Load()
			h.registry("acme")
			if n := h.writes.Load() - before; n != 0 {
				t.Errorf("a stalled Registry wrote %d times", n)
			}
		})
	}
}

func TestWeakAdminToken(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	s := h.secret("acme-admin")
	first := string(s.Data["token"])
	s.Data["token"] = []byte("letmein")
	h.must(h.client.Update(t.Context(), s))
	r, _ := h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonAdminTokenInvalid), "7 characters and needs at least 32")

	digest := get(h, "acme", &appsv1.Deployment{}).Spec.Template.Annotations["crateyard.dev/config"]
	h.must(h.client.Delete(t.Context(), h.secret("acme-admin")))
	h.registry("acme")
	if now := string(h.secret("acme-admin").Data["token"]); now == first || len(now) != 46 {
		t.Errorf("a new token has %d characters", len(now))
	}
	if get(h, "acme", &appsv1.Deployment{}).Spec.Template.Annotations["crateyard.dev/config"] == digest {
		t.Error("a new admin token does not replace the pod, which has the old one")
	}
	if said := h.said(); strings.Contains(said, first) {
		t.Errorf("events hold a token:\n%s", said)
	}
}

func TestDeletionPolicies(t *testing.T) {
	h := newHarness(t)
	r := h.ready("acme")
	uid := r.UID
	for _, obj := range []metav1.Object{get(h, "acme-data", &corev1.PersistentVolumeClaim{}), h.secret("acme-admin")} {
		if len(obj.GetOwnerReferences()) != 0 {
			t.Errorf("%s has an owner, and goes with it", obj.GetName())
		}
	}
	if !metav1.IsControlledBy(get(h, "acme", &appsv1.Deployment{}), r) {
		t.Error("the Deployment has no owner")
	}
	token := string(h.secret("acme-admin").Data["token"])

	// The Registry goes, its children with it (nobody plays the garbage collector but the test), and it is made again.
	h.must(h.client.Delete(t.Context(), r))
	for _, name := range []string{"acme", "acme-metrics"} {
		h.must(h.client.Delete(t.Context(), get(h, name, &corev1.Service{})))
	}
	h.makeRegistry("acme", v1alpha1.RegistrySpec{DeletionPolicy: v1alpha1.DeletionDelete})
	r, _ = h.registry("acme")
	if r.UID == uid {
		t.Fatal("the Registry was not made anew")
	}
	h.wantContains(h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonProgressing), "belongs to a deleted Registry of the same name")
	h.must(h.client.Delete(t.Context(), get(h, "acme", &corev1.ServiceAccount{})))
	h.must(h.client.Delete(t.Context(), get(h, "acme-config", &corev1.ConfigMap{})))
	h.must(h.client.Delete(t.Context(), get(h, "acme", &appsv1.Deployment{})))
	r, _ = h.registry("acme")
	h.wantSaid("Adopted existing data")
	if string(h.secret("acme-admin").Data["token"]) != token {
		t.Error("the admin token was replaced")
	}
	for _, obj := range []metav1.Object{get(h, "acme-data", &corev1.PersistentVolumeClaim{}), h.secret("acme-admin")} {
		if !metav1.IsControlledBy(obj, r) {
			t.Errorf("%s has no owner, and would outlive a Registry with deletionPolicy Delete", obj.GetName())
		}
	}
	r.Spec.DeletionPolicy = v1alpha1.DeletionRetain
	h.must(h.client.Update(t.Context(), r))
	h.registry("acme")
	if len(get(h, "acme-data", &corev1.PersistentVolumeClaim{}).OwnerReferences) != 0 {
		t.Error("back at Retain, the volume still has an owner")
	}
}

func TestVolumeKeepsItsSize(t *testing.T) {
	h := newHarness(t)
	size := resource.MustParse("20Gi")
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Storage: v1alpha1.StorageSpec{Filesystem: v1alpha1.FilesystemStorage{Size: &size}}})
	h.registry("acme")
	h.bindVolume("acme")
	r := get(h, "acme", &v1alpha1.Registry{})
	r.Spec.Storage = v1alpha1.StorageSpec{}
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonVolumeBound), "a volume cannot shrink")
}

// What a volume cannot become keeps nothing else from coming, and can be taken back. (The API server lets no claim grow whose class does not say so.)
func TestVolumeThatCannotGrow(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	large := resource.MustParse("20Gi")
	r := get(h, "acme", &v1alpha1.Registry{})
	r.Spec.Storage.Filesystem.Size, r.Spec.Image = &large, "crateyard:next"
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	c := h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonVolumeBound)
	h.wantContains(c, "keeps its 10Gi, for it cannot grow")
	if got := get(h, "acme", &appsv1.Deployment{}).Spec.Template.Spec.Containers[0].Image; got != "crateyard:next" {
		t.Errorf("the rest of the spec does not hold: image %s", got)
	}
	before := h.writes.Load()
	h.registry("acme")
	if n := h.writes.Load() - before; n > 1 {
		t.Errorf("it tried %d writes", n)
	}
	r.Spec.Storage.Filesystem.Size = nil
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	if c := h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonVolumeBound); strings.Contains(c.Message, "grow") {
		t.Error(c.Message)
	}
}

// Data that the spec says is kept is nobody's to collect, also while the Registry stalls or is paused.
func TestDataIsKeptWhateverStalls(t *testing.T) {
	for name, stall := range map[string]func(h *harness, r *v1alpha1.Registry){
		"a weak admin token": func(h *harness, _ *v1alpha1.Registry) {
			s := h.secret("acme-admin")
			s.Data["token"] = []byte("letmein")
			h.must(h.client.Update(h.Context(), s))
		},
		"paused": func(_ *harness, r *v1alpha1.Registry) { r.Spec.Reconciliation = v1alpha1.Disabled },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.makeRegistry("acme", v1alpha1.RegistrySpec{DeletionPolicy: v1alpha1.DeletionDelete})
			h.registry("acme")
			h.registry("acme")
			r := get(h, "acme", &v1alpha1.Registry{})
			if !metav1.IsControlledBy(get(h, "acme-data", &corev1.PersistentVolumeClaim{}), r) || !metav1.IsControlledBy(h.secret("acme-admin"), r) {
				t.Fatal("the data has no owner")
			}
			r.Spec.DeletionPolicy = v1alpha1.DeletionRetain
			stall(h, r)
			h.must(h.client.Update(t.Context(), r))
			h.registry("acme")
			if metav1.IsControlledBy(get(h, "acme-data", &corev1.PersistentVolumeClaim{}), r) || metav1.IsControlledBy(h.secret("acme-admin"), r) {
				t.Error("the data still goes with the Registry")
			}
		})
	}
}

// Labels that somebody took off do not make a stranger of what holds the data; and nobody is told to delete a volume.
func TestVolumeWithoutItsLabels(t *testing.T) {
	h := newHarness(t)
	h.ready("acme")
	for _, obj := range []client.Object{get(h, "acme-data", &corev1.PersistentVolumeClaim{}), h.secret("acme-admin")} {
		obj.SetLabels(nil)
		h.must(h.client.Update(t.Context(), obj))
	}
	r, _ := h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
	pvc := get(h, "acme-data", &corev1.PersistentVolumeClaim{})
	if pvc.Labels["crateyard.dev/registry"] != "acme" {
		t.Errorf("labels = %v", pvc.Labels)
	}
	pvc.Labels, pvc.Annotations = nil, nil
	h.must(h.client.Update(t.Context(), pvc))
	r, _ = h.registry("acme")
	c := h.want(r, v1alpha1.StalledCondition, metav1.ConditionTrue, v1alpha1.ReasonNameTaken)
	h.wantContains(c, "give it the labels app.kubernetes.io/managed-by=crateyard and crateyard.dev/registry=acme")
	if strings.Contains(c.Message, "delete") {
		t.Error(c.Message)
	}
}

// setQuota makes a quota, and plays the controller that measures what is used.
func (h *harness) setQuota(name string, hard, used corev1.ResourceList) {
	h.Helper()
	q := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: name}, Spec: corev1.ResourceQuotaSpec{Hard: hard}}
	h.must(h.client.Create(h.Context(), q))
	q.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: used}
	h.must(h.client.Status().Update(h.Context(), q))
}

// A quota that is full is told as what it is, and looked at again by itself.
func TestQuotaThatIsFull(t *testing.T) {
	h := newHarness(t)
	one, none := resource.MustParse("1Gi"), resource.MustParse("0")
	h.setQuota("small", corev1.ResourceList{"requests.storage": one}, corev1.ResourceList{"requests.storage": none})
	h.makeRegistry("acme", v1alpha1.RegistrySpec{})
	tries := func(reason string) {
		h.Helper()
		h.eventually("a quota that the API server knows of", func() bool { // it may let the first writes through
			r, result := h.registry("acme")
			c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ReadyCondition)
			return c != nil && c.Reason == reason && result.RequeueAfter > 0 && result.RequeueAfter <= time.Minute
		})
	}
	tries(v1alpha1.ReasonQuotaExceeded)
	c := meta.FindStatusCondition(get(h, "acme", &v1alpha1.Registry{}).Status.Conditions, v1alpha1.ReadyCondition)
	for _, part := range []string{"applying PersistentVolumeClaim acme-data: a quota of the namespace does not allow it; raise the quota", "`kubectl describe quota`", "requested: requests.storage=10Gi"} {
		h.wantContains(*c, part)
	}
	h.wantSaid("Warning QuotaExceeded")
	h.must(h.client.Delete(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: h.ns, Name: "small"}}))
	tries(v1alpha1.ReasonVolumePending)
}

// A stranger sees in a list what works and, where something does not, what it is about.
func TestListsTellReasons(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{})
	h.registry("acme")
	h.makeUser("ci", nil)
	h.user("ci")
	h.makeMirror("deps", v1alpha1.CrateMirrorSpec{})
	h.mirror("deps")
	for resource, want := range map[string]string{"registries": "VolumePending", "registryusers": "RegistryNotReady", "cratemirrors": "RegistryNotReady"} {
		if got := h.columns(resource, map[string]int{"registries": 6, "registryusers": 7, "cratemirrors": 10}[resource]); !strings.Contains(got, " False ") || !strings.Contains(got, want) {
			t.Errorf("%s shows %s, want False and %s", resource, got, want)
		}
	}
	u, _ := h.user("ci")
	h.wantContains(h.want(u, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonRegistryNotReady), "Registry acme is not ready: VolumePending; `kubectl describe registry acme` says more")
}

func TestVolumeThatDoesNotCome(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{})
	h.registry("acme")
	pvc := get(h, "acme-data", &corev1.PersistentVolumeClaim{})
	about := corev1.ObjectReference{Kind: "PersistentVolumeClaim", Namespace: h.ns, Name: pvc.Name, UID: pvc.UID}
	elsewhere := about
	elsewhere.UID = "00000000-0000-0000-0000-000000000000" // an earlier claim of the same name
	for i, e := range []corev1.Event{
		{InvolvedObject: about, Type: "Warning", Reason: "ProvisioningFailed", Message: "quota exceeded at https://me:pw@cloud.example/\n" + strings.Repeat("trace ", 200)},
		{InvolvedObject: about, Type: "Warning", Reason: "ProvisioningFailed", Message: "older", LastTimestamp: metav1.NewTime(h.now.Add(-time.Hour))},
		{InvolvedObject: about, Type: "Normal", Reason: "ExternalProvisioning", Message: "waiting", LastTimestamp: metav1.NewTime(h.now.Add(time.Hour))},
		{InvolvedObject: elsewhere, Type: "Warning", Reason: "ProvisioningFailed", Message: "another", LastTimestamp: metav1.NewTime(h.now.Add(time.Hour))},
	} {
		e.ObjectMeta = metav1.ObjectMeta{Namespace: h.ns, Name: fmt.Sprintf("e%d", i)}
		h.must(h.client.Create(t.Context(), &e))
	}
	r, _ := h.registry("acme")
	c := h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonVolumePending)
	h.wantContains(c, "ProvisioningFailed: quota exceeded at https://…@cloud.example/ trace")
	if len(c.Message) > 450 {
		t.Errorf("the message has %d bytes: %s", len(c.Message), c.Message)
	}
	h.bindVolume("acme")
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.StorageReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonVolumeBound)
}

func TestIngressComesAndGoes(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Ingress: &v1alpha1.IngressSpec{Host: "crates.example.com", TLSSecretName: "tls"}})
	r, _ := h.registry("acme")
	if r.Status.URL != "https://crates.example.com" {
		t.Errorf("url = %s", r.Status.URL)
	}
	h.wantContains(h.want(r, v1alpha1.IngressReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonAddressPending), "kubectl describe ingress acme")
	in := get(h, "acme", &networkingv1.Ingress{})
	in.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{IP: "192.0.2.7"}}
	h.must(h.client.Status().Update(t.Context(), in))
	r, _ = h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.IngressReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonAddressAssigned), "192.0.2.7; crates.example.com must lead there")
	r.Spec.Ingress = nil
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.IngressReadyCondition); c != nil {
		t.Errorf("without an Ingress there is %+v", c)
	}
	if err := h.client.Get(t.Context(), h.key("acme"), &networkingv1.Ingress{}); !apierrors.IsNotFound(err) {
		t.Errorf("the Ingress is still there: %v", err)
	}
}

// Ready does not wait for an Ingress, and does not keep still about one either.
func TestReadyTellsOfItsIngress(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Ingress: &v1alpha1.IngressSpec{Host: "crates.example.com"}})
	h.registry("acme")
	h.bindVolume("acme")
	h.runPods("acme")
	h.startServer("acme")
	ready := func() (c, ingress metav1.Condition) {
		h.Helper()
		r, _ := h.registry("acme")
		return h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded), *meta.FindStatusCondition(r.Status.Conditions, v1alpha1.IngressReadyCondition)
	}
	c, _ := ready()
	h.wantContains(c, "serves http://crates.example.com; its Ingress has no address yet, and IngressReady says what to look at")
	setURL := func(url string) {
		r := get(h, "acme", &v1alpha1.Registry{})
		r.Spec.URL = url
		h.must(h.client.Update(t.Context(), r))
		h.registry("acme")
		h.runPods("acme")
	}
	setURL("https://crates.acme.dev:8443/team")
	c, in := ready()
	h.wantContains(c, "serves https://crates.acme.dev:8443/team, whose host is not that of spec.ingress")
	h.wantContains(in, "cargo asks crates.acme.dev, the host of spec.url, which the Ingress does not answer for: set spec.ingress.host to it")
	ingress := get(h, "acme", &networkingv1.Ingress{})
	ingress.Status.LoadBalancer.Ingress = []networkingv1.IngressLoadBalancerIngress{{Hostname: "lb.example.com"}}
	h.must(h.client.Status().Update(t.Context(), ingress))
	_, in = ready()
	if in.Status != metav1.ConditionTrue {
		t.Errorf("IngressReady = %+v", in)
	}
	h.wantContains(in, "crates.example.com must lead there; cargo asks crates.acme.dev")
	setURL("https://Crates.Example.com:8443")
	c, in = ready()
	if c.Message != "serves https://Crates.Example.com:8443" || strings.Contains(in.Message, "cargo asks") {
		t.Errorf("with one host there is nothing to say: %q, %q", c.Message, in.Message)
	}
}

func TestServiceMonitorWithoutItsCRD(t *testing.T) {
	h := newHarness(t)
	h.makeRegistry("acme", v1alpha1.RegistrySpec{Monitoring: v1alpha1.MonitoringSpec{ServiceMonitor: v1alpha1.Enabled}})
	h.registry("acme")
	h.bindVolume("acme")
	h.runPods("acme")
	h.startServer("acme")
	r, _ := h.registry("acme")
	h.wantContains(h.want(r, v1alpha1.MonitoringReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonServiceMonitorMissing), "install the Prometheus operator")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionTrue, v1alpha1.ReasonSucceeded)
}

func TestStoppedAndPaused(t *testing.T) {
	h := newHarness(t)
	r := h.ready("acme")
	var none int32
	r.Spec.Replicas = &none
	h.must(h.client.Update(t.Context(), r))
	h.registry("acme")
	h.runPods("acme")
	r, result := h.registry("acme")
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionFalse, v1alpha1.ReasonStopped)
	if result.RequeueAfter != 0 || r.Status.ObservedGeneration != r.Generation {
		t.Errorf("result = %v, status = %+v", result, r.Status)
	}

	r.Spec.Reconciliation, r.Spec.Image = v1alpha1.Disabled, "example.com/other:v1"
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	h.want(r, v1alpha1.PausedCondition, metav1.ConditionTrue, v1alpha1.ReasonPaused)
	h.want(r, v1alpha1.ReadyCondition, metav1.ConditionUnknown, v1alpha1.ReasonPaused)
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.WorkloadReadyCondition); c == nil || c.ObservedGeneration == r.Generation || r.Status.ObservedGeneration == r.Generation {
		t.Errorf("a paused Registry says that its spec was looked at: %+v", r.Status)
	}
	if got := get(h, "acme", &appsv1.Deployment{}).Spec.Template.Spec.Containers[0].Image; got != "crateyard:test" {
		t.Errorf("a paused Registry was changed: image %s", got)
	}
	r.Spec.Reconciliation = v1alpha1.Enabled
	h.must(h.client.Update(t.Context(), r))
	r, _ = h.registry("acme")
	for _, c := range r.Status.Conditions {
		if c.Type == v1alpha1.PausedCondition {
			t.Error("still called paused")
		}
	}
}
