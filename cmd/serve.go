package cmd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/crateyard/crateyard/registry"
)

func newServeCommand() *cobra.Command {
	c := registry.DefaultConfig()
	var file string
	cmd := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Serve a registry from one folder, or with PostgreSQL and S3 as one of several servers",
		Long: `serve runs a registry: its catalog (SQLite) and its crates lie in one folder, which one server uses at a time. With the catalog in
PostgreSQL and the crates in S3, or in a folder that all mount, any number of servers share them.

Each setting can stand in three places; a flag goes before an environment variable, and that before the file of --config:
  --url https://crates.example.com   CRATEYARD_PUBLIC_URL=…   url: … (YAML)
The variables have the flags' names in capitals: CRATEYARD_DATA, CRATEYARD_LOG_FORMAT. The address is CRATEYARD_PUBLIC_URL, since
CRATEYARD_URL tells the other commands which server to ask. Without a flag beside it, a key of the file is there only.
The keys of the file, with their defaults:
  name: crateyard              # --name
  url: ""                      # --url; empty: http:// and the listen address
  aliases: []                  # other addresses of it: a dependency from there is one from here
  listen: 127.0.0.1:8080       # --listen
  opsListen: 127.0.0.1:9090    # --ops-listen
  data: ""                     # --data
  adminTokenFile: ""           # --admin-token-file
  access:
    anonymousRead: Enabled     # --anonymous-read
    allowedRegistries: [crates-io]   # where dependencies may come from, too; sparse+https://…/index/
  publishing:
    profile: private           # or crates-io: all that crates.io asks for
    requiredFields: []         # description, license, repository, …
    licenses: ""               # Any or SPDX; empty: as the profile has it
    categories: ""             # Any or Known
    newCrates: Open            # or Restricted
    shadowing: Warn            # of new crates whose name the upstream of a mirror has, too: Warn, Refuse or Allow
  rateLimits:
    mode: Auto                 # Auto: publish and yank with the profile crates-io only; Enabled, Disabled
    publishNew: {burst: 5, every: 10m}
    publishUpdate: {burst: 30, every: 1m}
    yank: {burst: 100, every: 1m}
    failedAuth: {burst: 100, every: 1s}
  trustedProxies: []           # networks whose X-Forwarded-For is believed
  gitIndex: Enabled            # or Disabled
  audit: {keep: 0s}            # 0s: for ever; otherwise at least 24h
  instance: ""                 # whose catalog and storage these are, such as namespace/name; empty: whoever comes
  takeOver: false              # take them from another instance; for one start
  catalog:
    postgres: {uriFile: "", maxConnections: 20}   # or CRATEYARD_POSTGRES_URI; left out: SQLite in the data folder
  storage:
    folder: ""                 # left out, with s3: a folder in the data folder
    s3: {bucket: "", region: "", endpoint: "", prefix: "", forcePathStyle: false, credentialsDir: "", encryption: "", kmsKeyID: "", caFile: ""}
    delivery: Proxy            # or Redirect: cargo downloads from S3 itself
    cache: {size: 1073741824}  # bytes of crate files from S3 that are kept on disk; 0: none
  sweep: {every: 24h, olderThan: 24h}   # of crate files that nothing names; 0s: never
  scrub: {rate: 1048576}       # bytes a second that are read again to find damage; 0: not at all
  backup: {schedule: "", folder: "", s3: {}, keep: 14}   # cron, UTC
  limits: {crateSize: 10485760, mirroredCrateSize: 536870912}   # --crate-size 10MiB; in the file it is bytes
  log: {format: text, level: info}   # --log-format, --log-level
  drainDelay: 0s               # --drain-delay
The admin's token comes from --admin-token-file or CRATEYARD_ADMIN_TOKEN; with neither, the first start writes DIR/admin-token.`,
		Example: `  crateyard serve --data ./data
  CRATEYARD_URL=http://127.0.0.1:8080 crateyard user create alice --role publisher --token-file ./data/admin-token`,
		Args: args(cobra.NoArgs),
	}
	f := cmd.Flags()
	serveFlags(f, &c)
	f.StringVar(&file, "config", "", "YAML file with the same settings")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := serveConfig(f, file)
		if err != nil {
			return usageError{err}
		}
		tuneGC()
		s, err := registry.Open(cmd.Context(), c, Version(), os.Stderr)
		if errors.Is(err, context.Canceled) && cmd.Context().Err() != nil {
			return nil //nolint:nilerr // told to stop while it waited for its database
		}
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(cmd.OutOrStdout(), "crateyard %s serves %s\nHow to use it: %s/me\n", Version(), s.URL(), s.URL()) // a closed stdout is no reason to stop
		releaseInitPages()
		return s.Serve(cmd.Context())
	}
	return cmd
}

// serveFlags defines the flags over c. Their names, with CRATEYARD_ before and in upper case, are the environment variables.
func serveFlags(f *pflag.FlagSet, c *registry.Config) {
	f.StringVar(&c.Data, "data", c.Data, "folder of the catalog and the crates")
	f.StringVar(&c.Listen, "listen", c.Listen, "public address")
	f.StringVar(&c.OpsListen, "ops-listen", c.OpsListen, "address of /metrics, /healthz and /readyz; empty for none")
	f.StringVar(&c.URL, "url", c.URL, "public URL; it is the registry's identity in every Cargo.lock (default http://LISTEN, with 127.0.0.1 for all addresses)")
	f.StringVar(&c.Name, "name", c.Name, "what cargo configurations call the registry")
	f.StringVar(&c.AdminTokenFile, "admin-token-file", c.AdminTokenFile, "file with the admin's token (default DIR/admin-token)")
	f.StringVar(&c.Access.AnonymousRead, "anonymous-read", c.Access.AnonymousRead, "Enabled, or Disabled to ask for a token on every read")
	f.Var((*size)(&c.Limits.CrateSize), "crate-size", "largest .crate file: bytes, or with KiB, MiB, KB or MB behind it")
	f.StringVar(&c.Log.Format, "log-format", c.Log.Format, "text or json")
	f.StringVar(&c.Log.Level, "log-level", c.Log.Level, "debug, info, warn or error")
	f.DurationVar((*time.Duration)(&c.DrainDelay), "drain-delay", time.Duration(c.DrainDelay), "how long to serve on after a signal to stop, for load balancers to notice")
}

// serveConfig lays defaults, file, environment and flags over each other.
func serveConfig(given *pflag.FlagSet, file string) (registry.Config, error) {
	c := registry.DefaultConfig()
	if file == "" {
		file = os.Getenv("CRATEYARD_CONFIG")
	}
	if file != "" {
		if err := registry.ReadConfig(file, &c); err != nil {
			return c, err
		}
	}
	over := pflag.NewFlagSet("environment", pflag.ContinueOnError)
	serveFlags(over, &c)
	var err error
	over.VisitAll(func(fl *pflag.Flag) {
		name := envName(fl.Name)
		if fl.Name == "url" {
			name = "CRATEYARD_PUBLIC_URL" // CRATEYARD_URL is the server that the other commands ask
		}
		if v, ok := os.LookupEnv(name); ok && err == nil {
			if err = fl.Value.Set(v); err != nil {
				err = fmt.Errorf("environment variable %s: %w", name, err)
			}
		}
		if g := given.Lookup(fl.Name); g.Changed && err == nil {
			err = fl.Value.Set(g.Value.String())
		}
	})
	c.AdminToken = os.Getenv("CRATEYARD_ADMIN_TOKEN")
	if uri := os.Getenv("CRATEYARD_POSTGRES_URI"); uri != "" {
		if c.Catalog.Postgres == nil {
			c.Catalog.Postgres = &registry.Postgres{}
		}
		c.Catalog.Postgres.URI, c.Catalog.Postgres.URIFile = uri, ""
	}
	if given.Changed("admin-token-file") {
		c.AdminToken = ""
	}
	return c, err
}
