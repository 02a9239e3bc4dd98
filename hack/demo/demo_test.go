// Package demo_test holds hack/up.sh and hack/down.sh against a cluster that is not ours: a real API server, on which other
// people have things. That they work to the end is seen by `make up` alone, which needs nodes.
package demo_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/crateyard/crateyard/test/apiserver"
	"github.com/crateyard/crateyard/test/port"
)

type others struct {
	*testing.T
	api *kubernetes.Clientset
	env []string
}

func start(t *testing.T) *others {
	t.Helper()
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		t.Fatal("KUBEBUILDER_ASSETS is not set: this test needs a real API server; `make test` sets it")
	}
	env := &envtest.Environment{}
	release, err := apiserver.Prepare(env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	config, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(kubeconfig, env.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}
	address := port.Address(t) // the script looks whether somebody listens there
	return &others{t, kubernetes.NewForConfigOrDie(config), append(os.Environ(), "PATH="+assets+":"+os.Getenv("PATH"), "KUBECONFIG="+kubeconfig,
		"CRATEYARD_CLUSTER=current", "CRATEYARD_DEMO_WORK="+t.TempDir(), "CRATEYARD_DEMO_ADDRESS="+address)}
}

// run runs a script, which must end as wanted and say all of says. It gives what the script said.
func (o *others) run(script, image string, succeeds bool, says ...string) string {
	o.Helper()
	cmd := exec.CommandContext(o.Context(), "bash", "../"+script)
	cmd.Env = append(o.env, "CRATEYARD_IMAGE="+image)
	out, err := cmd.CombinedOutput()
	if (err == nil) != succeeds {
		o.Errorf("%s: %v\n%s", script, err, out)
	}
	for _, s := range says {
		if !strings.Contains(string(out), s) {
			o.Errorf("%s does not say %q; it says\n%s", script, s, out)
		}
	}
	return string(out)
}

// kubectl runs the kubectl of the scripts, and gives what it says.
func (o *others) kubectl(stdin string, args ...string) string {
	o.Helper()
	cmd := exec.CommandContext(o.Context(), filepath.Join(os.Getenv("KUBEBUILDER_ASSETS"), "kubectl"), args...)
	cmd.Env, cmd.Stdin = o.env, strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		o.Fatalf("kubectl %q: %v\n%s", args, err, out)
	}
	return string(out)
}

// makeOperator makes what looks like an operator of others.
func (o *others) makeOperator() {
	o.Helper()
	labels := map[string]string{"app.kubernetes.io/name": "crateyard", "app.kubernetes.io/component": "operator"}
	_, err := o.api.AppsV1().Deployments("crateyard-system").Create(o.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "crateyard", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "operator", Image: "theirs"}}}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		o.Fatal(err)
	}
}

func (o *others) makeNamespace(name string) {
	o.Helper()
	if _, err := o.api.CoreV1().Namespaces().Create(o.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		o.Fatal(err)
	}
}

// namespace reports whether a namespace is there and stays.
func (o *others) namespace(name string) bool {
	o.Helper()
	ns, err := o.api.CoreV1().Namespaces().Get(o.Context(), name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false
	}
	if err != nil {
		o.Fatal(err)
	}
	return ns.DeletionTimestamp == nil
}

// finishDeletions plays the controller that ends the deletion of namespaces; an API server alone never does.
func (o *others) finishDeletions(ctx context.Context) {
	for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		list, err := o.api.CoreV1().Namespaces().List(ctx, metav1.ListOptions{})
		if err != nil {
			continue // the test is over
		}
		for _, ns := range list.Items {
			if ns.DeletionTimestamp != nil {
				ns.Spec.Finalizers = nil
				_, _ = o.api.CoreV1().Namespaces().Finalize(ctx, &ns, metav1.UpdateOptions{}) // if it failed, the next round does it
			}
		}
	}
}

func TestInAClusterOfOthers(t *testing.T) {
	o := start(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go o.finishDeletions(ctx)

	o.run("up.sh", "crateyard:dev", false, "==> Using the cluster of kubectl's context", "an image that the cluster's nodes can pull", "docker push", "kind load image-archive")
	if o.namespace("crateyard-demo") || o.namespace("crateyard-system") {
		t.Error("a refused make up left a namespace")
	}

	o.makeNamespace("crateyard-demo")
	o.run("up.sh", "example.com/crateyard:v1", false, "namespace crateyard-demo that make up did not make")
	o.run("down.sh", "", true, "Leaving namespace crateyard-demo alone", "Leaving the operator alone")
	if !o.namespace("crateyard-demo") || o.namespace("crateyard-system") {
		t.Error("a namespace of others was deleted, or one made beside it")
	}
	if err := o.api.CoreV1().Namespaces().Delete(t.Context(), "crateyard-demo", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 1200 {
		if _, err := o.api.CoreV1().Namespaces().Get(t.Context(), "crateyard-demo", metav1.GetOptions{}); apierrors.IsNotFound(err) {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}

	o.makeNamespace("crateyard-system")
	o.run("up.sh", "example.com/crateyard:v1", false, "namespace crateyard-system that make up did not make", "Install the operator as README.md says")
	o.run("down.sh", "", true, "Deleting the demo", "Leaving the operator alone")
	if o.namespace("crateyard-demo") || !o.namespace("crateyard-system") {
		t.Error("the demo's namespace must be gone, that of others must be there")
	}

	o.makeOperator()
	// It goes on to the demo, for which this cluster lacks the resource definitions.
	o.run("up.sh", "crateyard:dev", false, "An operator is here already (crateyard-system/crateyard): it is used as it is", "==> Applying a Registry", "no matches for kind")
	d, err := o.api.AppsV1().Deployments("crateyard-system").Get(t.Context(), "crateyard", metav1.GetOptions{})
	if err != nil || d.Spec.Template.Spec.Containers[0].Image != "theirs" {
		t.Errorf("the operator of others was changed: %v", err)
	}
	o.run("down.sh", "", true, "Deleting the demo", "Leaving the operator alone")

	ours := []byte(`{"metadata": {"labels": {"crateyard.dev/made-by": "make-up"}}}`)
	if _, err := o.api.CoreV1().Namespaces().Patch(t.Context(), "crateyard-system", types.MergePatchType, ours, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	o.run("down.sh", "", true, "There is no demo", "Deleting the operator")
	if o.namespace("crateyard-system") {
		t.Error("the operator that make up brought is still there")
	}
}

// What cannot be meant is said before anything is compiled.
func TestArguments(t *testing.T) {
	for _, tt := range []struct{ target, env, want string }{
		{"up", "CLUSTER=loacl", "CLUSTER is 'loacl'; it must be local or current"},
		{"down", "CLUSTER=loacl", "CLUSTER is 'loacl'"},
		{"up", "CRATEYARD_DEMO_ADDRESS=18081", "it must be HOST:PORT, such as 127.0.0.1:18081"},
	} {
		cmd := exec.CommandContext(t.Context(), "make", "-C", "../..", tt.target, tt.env)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), tt.want) || strings.Contains(string(out), "go build") {
			t.Errorf("make %s %s: %v\n%s", tt.target, tt.env, err, out)
		}
	}
}

// What make up prints works in a shell that knows nothing of the cluster: each block says which one it is. hack/check-up.sh does what they say.
func TestPrintedBlocks(t *testing.T) {
	script, err := os.ReadFile("../up.sh")
	if err != nil {
		t.Fatal(err)
	}
	_, said, _ := strings.Cut(string(script), "cat <<END\n")
	again, steps, ok := strings.Cut(said, "or step by step:")
	if !ok || !strings.Contains(again, "export KUBECONFIG=") || !strings.Contains(steps, "export KUBECONFIG=") {
		t.Errorf("it prints\n%s", said)
	}
}

// A RegistryUser that cannot go, here for there is no operator, does not keep make down from going on.
func TestDownGoesOn(t *testing.T) {
	o := start(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go o.finishDeletions(ctx)
	o.kubectl("", "apply", "--server-side", "-k", "../../config/crd")
	o.kubectl("", "wait", "--for=condition=Established", "--timeout=60s", "crd", "registries.crateyard.dev", "registryusers.crateyard.dev")
	for _, name := range []string{"crateyard-demo", "crateyard-system"} {
		o.makeNamespace(name)
		o.kubectl("", "label", "namespace", name, "crateyard.dev/made-by=make-up")
	}
	o.kubectl(`{"apiVersion": "crateyard.dev/v1alpha1", "kind": "RegistryUser", "metadata": {"name": "ci", "namespace": "crateyard-demo", "finalizers": ["crateyard.dev/registry-user"]},
		"spec": {"registryRef": {"name": "acme"}}}`, "create", "-f", "-")
	o.env = append(o.env, "CRATEYARD_DOWN_TIMEOUT=1s")
	o.run("down.sh", "", true, "These users are not gone after 1s", "Going on with the namespace", "Leaving the operator: what is listed above needs it")
	if o.namespace("crateyard-demo") || !o.namespace("crateyard-system") {
		t.Error("the demo's namespace must be gone, and the operator be left for the user that is there yet")
	}
}

// A Registry of the demo that somebody broke is told of, with a command that puts it back as it was; a field of the demo's own is put back at once.
func TestUpOverABrokenRegistry(t *testing.T) {
	o := start(t)
	o.kubectl("", "apply", "--server-side", "-k", "../../config/crd")
	o.kubectl("", "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	for _, name := range []string{"crateyard-demo", "crateyard-system"} {
		o.makeNamespace(name)
	}
	o.kubectl("", "label", "namespace", "crateyard-demo", "crateyard.dev/made-by=make-up")
	o.makeOperator()
	o.kubectl(`{"apiVersion": "crateyard.dev/v1alpha1", "kind": "Registry", "metadata": {"name": "acme", "namespace": "crateyard-demo"},
		"spec": {"url": "http://edited.example", "image": "nowhere.example/crateyard:v0", "replicas": 0}}`, "create", "-f", "-")
	o.env = append(o.env, "CRATEYARD_UP_TIMEOUT=1s")
	said := o.run("up.sh", "crateyard:dev", false, "registry/acme is not ready; its conditions above say why", "To begin anew, without what was published: make down CLUSTER=current, and make up CLUSTER=current again")
	spec := func() string {
		return o.kubectl("", "-n", "crateyard-demo", "get", "registry", "acme", "-o", "jsonpath={.spec.url} {.spec.image} {.spec.replicas}")
	}
	url := o.env[slices.IndexFunc(o.env, func(e string) bool { return strings.HasPrefix(e, "CRATEYARD_DEMO_ADDRESS=") })]
	url = "http://" + strings.TrimPrefix(url, "CRATEYARD_DEMO_ADDRESS=")
	if got, want := spec(), url+" nowhere.example/crateyard:v0 0"; got != want {
		t.Errorf("url, image and replicas are %q, want %q", got, want)
	}
	_, lines, ok := strings.Cut(said, "again:\n\n")
	lines, _, _ = strings.Cut(lines, "\n\nTo begin anew")
	if !ok {
		t.Fatalf("up.sh gives no lines\n%s", said)
	}
	if out, err := exec.CommandContext(t.Context(), "bash", "-euc", lines).CombinedOutput(); err != nil { // in a shell that knows nothing of the cluster
		t.Fatalf("%s: %v\n%s", lines, err, out)
	}
	if got, want := spec(), url+"  1"; got != want {
		t.Errorf("url, image and replicas are %q, want %q", got, want)
	}
}
