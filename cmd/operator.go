package cmd

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/crateyard/crateyard/controllers"
)

// operatorOptions are the flags of `crateyard operator`.
type operatorOptions struct {
	metricsAddress string
	healthAddress  string
	leaderElect    bool
	leaderElectNS  string
	namespaces     []string
	image          string
	logFormat      string
	logLevel       string
}

func newOperatorCommand() *cobra.Command {
	var o operatorOptions
	cmd := &cobra.Command{
		Use:   "operator",
		Short: "Run the Kubernetes operator",
		Long: `operator watches Registry, RegistryUser and CrateMirror objects and makes registries of them.

It finds its cluster as kubectl does: in a pod by the service account, elsewhere by $KUBECONFIG or ~/.kube/config.
Registries run --image, which should be the image that the operator runs itself.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return runOperator(cmd, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.metricsAddress, "metrics-bind-address", ":8080", "address of /metrics; 0 for none")
	f.StringVar(&o.healthAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 for none")
	f.BoolVar(&o.leaderElect, "leader-elect", false, "let one of several operators work at a time")
	f.StringVar(&o.leaderElectNS, "leader-elect-namespace", "", "namespace of the lease (default: the pod's)")
	f.StringSliceVar(&o.namespaces, "watch-namespace", nil, "namespaces to look at, with commas between (default: all)")
	f.StringVar(&o.image, "image", os.Getenv("CRATEYARD_IMAGE"), "image that registries run (default: $CRATEYARD_IMAGE)")
	f.StringVar(&o.logFormat, "log-format", "json", "json or text")
	f.StringVar(&o.logLevel, "log-level", "info", "debug, info, warn or error")
	return cmd
}

func runOperator(cmd *cobra.Command, o operatorOptions) error {
	handler, err := operatorLog(cmd, o)
	if err != nil {
		return usageError{err}
	}
	logger := logr.FromSlogHandler(handler)
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)
	if o.image == "" {
		return usageError{errors.New("no image to run registries with: say --image IMAGE, or set CRATEYARD_IMAGE")}
	}
	config, err := ctrl.GetConfig()
	if err != nil {
		return fmt.Errorf("no Kubernetes cluster: %w", err)
	}
	mgr, err := newManager(config, o)
	if err != nil {
		return err
	}
	if err := controllers.Setup(cmd.Context(), mgr, controllers.Options{Namespaces: o.namespaces, Image: o.image, Version: Version()}); err != nil {
		return err
	}
	logger.Info("Starting operator", "version", Version(), "image", o.image, "namespaces", o.namespaces)
	return mgr.Start(cmd.Context())
}

func newManager(config *rest.Config, o operatorOptions) (ctrl.Manager, error) {
	grace := 20 * time.Second
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        controllers.Scheme(),
		Cache:                         controllers.CacheOptions(o.namespaces...),
		Client:                        client.Options{FieldValidation: "Strict"},
		Metrics:                       metricsserver.Options{BindAddress: o.metricsAddress},
		HealthProbeBindAddress:        o.healthAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              "operator.crateyard.dev",
		LeaderElectionNamespace:       o.leaderElectNS,
		LeaderElectionReleaseOnCancel: true, // the process ends with the manager
		GracefulShutdownTimeout:       &grace,
	})
	if err != nil {
		return nil, fmt.Errorf("operator: %w", err)
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return nil, err
	}
	return mgr, mgr.AddReadyzCheck("ping", healthz.Ping)
}

func operatorLog(cmd *cobra.Command, o operatorOptions) (slog.Handler, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(o.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: it must be debug, info, warn or error", o.logLevel)
	}
	options := &slog.HandlerOptions{Level: level}
	switch o.logFormat {
	case "json":
		return slog.NewJSONHandler(cmd.ErrOrStderr(), options), nil
	case "text":
		return slog.NewTextHandler(cmd.ErrOrStderr(), options), nil
	}
	return nil, fmt.Errorf("--log-format %q: it must be json or text", o.logFormat)
}
