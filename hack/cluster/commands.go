package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

const defaultName = "crateyard"

// rootCommand is wiring only.
func rootCommand() *cobra.Command {
	var name, state string
	root := &cobra.Command{
		Use:           "cluster",
		Short:         "A real one-node Kubernetes on a bare Debian machine",
		SilenceUsage:  true,
		SilenceErrors: true, // main prints them
	}
	root.PersistentFlags().StringVar(&name, "name", defaultName, "name of the cluster; several can run side by side")
	root.PersistentFlags().StringVar(&state, "state", "", "state directory (default .cluster in the repository)")

	// with gives a command the cluster that the flags name.
	with := func(run func(*cobra.Command, *Cluster, []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			c, err := NewCluster(name, state)
			if err != nil {
				return err
			}
			return run(cmd, c, args)
		}
	}
	root.AddCommand(
		&cobra.Command{
			Use: "up", Args: cobra.NoArgs, Short: "Start the cluster, building what is missing; does nothing when it is healthy",
			RunE: with(func(cmd *cobra.Command, c *Cluster, _ []string) error { return c.Up(cmd.Context()) }),
		},
		downCommand(with),
		&cobra.Command{
			Use: "status", Args: cobra.NoArgs, Short: "Fail with the reason when the cluster is not healthy",
			RunE: with(func(cmd *cobra.Command, c *Cluster, _ []string) error {
				s, err := c.ReadState()
				if errors.Is(err, os.ErrNotExist) {
					return fmt.Errorf("there is no cluster %q: run up", c.Name)
				}
				if err == nil {
					err = c.check(cmd.Context(), s)
				}
				if err == nil {
					fmt.Println("healthy")
				}
				return err
			}),
		},
		&cobra.Command{
			Use: "load ARCHIVE…", Args: cobra.MinimumNArgs(1), Short: "Import image archives (OCI or docker)",
			RunE: with(func(cmd *cobra.Command, c *Cluster, args []string) error {
				if !c.running("containerd") {
					return errNotUp(c)
				}
				for _, archive := range args {
					out, err := c.importImage(cmd.Context(), archive)
					if err != nil {
						return err
					}
					fmt.Print(out)
				}
				return nil
			}),
		},
		&cobra.Command{
			Use: "kubeconfig", Args: cobra.NoArgs, Short: "Print the path of the administrator's kubeconfig",
			RunE: with(func(_ *cobra.Command, c *Cluster, _ []string) error {
				fmt.Println(c.Kubeconfig())
				return nil
			}),
		},
		&cobra.Command{
			Use: "bin", Args: cobra.NoArgs, Short: "Print the folder of kubectl and the other programs",
			RunE: with(func(_ *cobra.Command, c *Cluster, _ []string) error {
				fmt.Println(c.Bin)
				return nil
			}),
		},
		&cobra.Command{
			Use: "build", Args: cobra.NoArgs, Short: "Build the programs that are missing, as up does",
			RunE: with(func(cmd *cobra.Command, c *Cluster, _ []string) error {
				return c.EnsurePrograms(cmd.Context(), clusterPrograms)
			}),
		},
		&cobra.Command{
			Use: "envtest-assets", Args: cobra.NoArgs, Short: "Build etcd, kube-apiserver and kubectl, and print their folder (KUBEBUILDER_ASSETS)",
			RunE: with(func(cmd *cobra.Command, c *Cluster, _ []string) error {
				err := c.EnsurePrograms(cmd.Context(), envtestPrograms)
				if err == nil {
					fmt.Println(c.Bin)
				}
				return err
			}),
		},
		forwardCommand(with),
		exposeCommand(with),
		&cobra.Command{
			Use: "exec -- COMMAND…", Args: cobra.MinimumNArgs(1), Short: "Run a command in the cluster's network",
			RunE: with(func(_ *cobra.Command, c *Cluster, args []string) error { return c.execInside(args) }),
		},
		&cobra.Command{
			Use: "kubectl -- ARGUMENTS…", Short: "Run kubectl as administrator",
			RunE: with(func(_ *cobra.Command, c *Cluster, args []string) error {
				return replaceProcess(c, append([]string{c.Program("kubectl")}, args...))
			}),
		},
	)
	// Background processes do not need the repository, which may be gone by then.
	bare := func(run func(*cobra.Command, *Cluster, []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			return run(cmd, &Cluster{Name: name, State: state}, args)
		}
	}
	root.AddCommand(runForwarderCommand(bare), runProvisionerCommand(bare))
	return root
}

type runner = func(func(*cobra.Command, *Cluster, []string) error) func(*cobra.Command, []string) error

func downCommand(with runner) *cobra.Command {
	var keep bool
	cmd := &cobra.Command{
		Use: "down", Args: cobra.NoArgs, Short: "Stop the cluster and remove it, with its data",
		RunE: with(func(cmd *cobra.Command, c *Cluster, _ []string) error { return c.Down(cmd.Context(), keep) }),
	}
	cmd.Flags().BoolVar(&keep, "keep-data", false, "keep objects, images and volumes for the next up (pods without a controller are lost)")
	return cmd
}

func forwardCommand(with runner) *cobra.Command {
	var listen, service, to string
	var stop bool
	cmd := &cobra.Command{
		Use: "forward --listen ADDRESS --service NAMESPACE/NAME:PORT", Args: cobra.NoArgs,
		Short: "Let an address of this machine lead to a Service, in the background; prints the address",
		RunE: with(func(cmd *cobra.Command, c *Cluster, _ []string) error {
			if stop {
				return c.StopForward(listen)
			}
			t, err := parseTarget(service, to)
			if err != nil {
				return err
			}
			address, err := c.Forward(cmd.Context(), listen, t)
			if err == nil {
				fmt.Println(address)
			}
			return err
		}),
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address on this machine; port 0 takes a free one")
	cmd.Flags().BoolVar(&stop, "stop", false, "end the forward of this address")
	targetFlags(cmd, &service, &to)
	return cmd
}

func exposeCommand(with runner) *cobra.Command {
	var listen, to string
	var stop bool
	cmd := &cobra.Command{
		Use: "expose --listen " + nodeIP + ":PORT --to 127.0.0.1:PORT", Args: cobra.NoArgs,
		Short: "Let an address of the cluster's network, which pods reach, lead to one of this machine, in the background",
		RunE: with(func(_ *cobra.Command, c *Cluster, _ []string) error {
			if stop {
				return c.StopForward(listen)
			}
			return c.Expose(listen, to)
		}),
	}
	cmd.Flags().StringVar(&listen, "listen", nodeIP+":8000", "address in the cluster's network")
	cmd.Flags().StringVar(&to, "to", "", "address on this machine")
	cmd.Flags().BoolVar(&stop, "stop", false, "end it, which also cuts its connections")
	return cmd
}

func targetFlags(cmd *cobra.Command, service, to *string) {
	cmd.Flags().StringVar(service, "service", "", "Service to forward to, as NAMESPACE/NAME:PORT")
	cmd.Flags().StringVar(to, "to", "", "or an address in the cluster's network, such as 127.0.0.1:30080 for a NodePort")
}

func parseTarget(service, to string) (target, error) {
	switch {
	case (service == "") == (to == ""):
		return target{}, errors.New("say where to: either --service NAMESPACE/NAME:PORT or --to IP:PORT")
	case to != "":
		return target{address: to}, nil
	}
	return parseService(service)
}

func errNotUp(c *Cluster) error { return fmt.Errorf("the cluster %q is not up: run up first", c.Name) }

// execInside replaces this process, so that signals and the exit status are the command's own.
func (c *Cluster) execInside(args []string) error {
	if !exists(c.NetNSPath()) {
		return errNotUp(c)
	}
	runtime.LockOSThread() // exec keeps the calling thread, and with it the namespace
	ns, err := unix.Open(c.NetNSPath(), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the cluster's network: %w", err)
	}
	return replaceProcess(c, args)
}

// replaceProcess turns into another program, with KUBECONFIG set and our kubectl in PATH.
func replaceProcess(c *Cluster, args []string) error {
	if err := os.Setenv("KUBECONFIG", c.Kubeconfig()); err != nil {
		return err
	}
	if err := os.Setenv("PATH", c.Bin+":"+os.Getenv("PATH")); err != nil {
		return err
	}
	program, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return fmt.Errorf("%s: %w", program, unix.Exec(program, args, os.Environ()))
}
