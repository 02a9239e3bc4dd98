package controllers_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"

	"github.com/go-logr/logr"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"

	"github.com/crateyard/crateyard/test/apiserver"
)

// config reaches the API server that all tests of this package share. Each test has a namespace of its own.
var config *rest.Config

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS is not set: these tests need a real API server.\n"+
			"`make test` sets it; by hand: export KUBEBUILDER_ASSETS=$(make -s envtest-assets)")
		return 1
	}
	log := logr.FromSlogHandler(slog.NewTextHandler(io.Discard, nil))
	ctrl.SetLogger(log)
	klog.SetLogger(log)
	api := &envtest.Environment{CRDDirectoryPaths: []string{"../config/crd/bases"}, ErrorIfCRDPathMissing: true}
	// As on OpenShift: who sets an owner that must wait for a child must be allowed to finalize it, and who changes an owner to delete the child.
	api.ControlPlane.GetAPIServer().Configure().Append("enable-admission-plugins", "OwnerReferencesPermissionEnforcement")
	api.ControlPlane.GetAPIServer().Configure().Set("service-cluster-ip-range", "10.0.0.0/16") // namespaces stay, and with them two addresses for each Registry
	release, err := apiserver.Prepare(api)
	if err == nil {
		defer release()
		config, err = api.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "starting the API server:", err)
		return 1
	}
	config.QPS = -1
	defer func() {
		if err := api.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, "stopping the API server:", err)
		}
	}()
	if err := makeDefaultClass(); err != nil {
		fmt.Fprintln(os.Stderr, "making a default StorageClass:", err)
		return 1
	}
	return m.Run()
}

// makeDefaultClass makes the API server look like a cluster that can make volumes.
func makeDefaultClass() error {
	c, err := client.New(config, client.Options{})
	if err != nil {
		return err
	}
	return c.Create(context.Background(), &storagev1.StorageClass{
		ObjectMeta:  metav1.ObjectMeta{Name: "standard", Annotations: map[string]string{"storageclass.kubernetes.io/is-default-class": "true"}},
		Provisioner: "example.com/none",
	})
}
