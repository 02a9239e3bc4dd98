package main

import (
	"github.com/spf13/cobra"
)

// The commands that up and forward start in the background. Nobody types them.

func runForwarderCommand(with runner) *cobra.Command {
	var service, to, host string
	cmd := &cobra.Command{
		Use: "run-forwarder", Args: cobra.NoArgs, Hidden: true,
		RunE: with(func(cmd *cobra.Command, c *Cluster, _ []string) error {
			t := target{host: host}
			if host == "" {
				var err error
				if t, err = parseTarget(service, to); err != nil {
					return err
				}
			}
			l, err := inheritedListener()
			if err != nil {
				return err
			}
			return (&forwarder{cluster: c, to: t}).Serve(cmd.Context(), l)
		}),
	}
	targetFlags(cmd, &service, &to)
	cmd.Flags().StringVar(&host, "to-host", "", "or an address of the host")
	return cmd
}

func runProvisionerCommand(with runner) *cobra.Command {
	return &cobra.Command{
		Use: "run-provisioner", Args: cobra.NoArgs, Hidden: true,
		RunE: with(func(cmd *cobra.Command, c *Cluster, _ []string) error {
			api, err := c.API()
			if err != nil {
				return err
			}
			return (&provisioner{api: api, dir: c.VolumesDir()}).Run(cmd.Context())
		}),
	}
}
