// Command versitygw is versitygw with its filesystem backend alone: its own command has those of clouds, too, and its
// tests, which take long to compile.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"
)

// Limits that versitygw's own command has where none are said.
const (
	connections = 250_000
	requests    = 100_000
	parts       = 10_000
	actions     = 5_000
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "versitygw:", err)
		os.Exit(1)
	}
}

func run() error {
	config := embedgw.Config{MaxConnections: connections, MaxRequests: requests, AdminMaxConnections: connections, AdminMaxRequests: requests,
		MultipartMaxParts: parts, KeepAlive: true, Quiet: true}
	var dir, address string
	flag.StringVar(&dir, "dir", "", "the folder of the buckets")
	flag.StringVar(&address, "port", "", "the address to listen at, HOST:PORT")
	flag.StringVar(&config.RootUserAccess, "access", "", "the access key of the one user")
	flag.StringVar(&config.RootUserSecret, "secret", "", "the secret key of the one user")
	flag.StringVar(&config.Region, "region", "us-east-1", "the region that requests are signed for")
	flag.BoolVar(&config.Readonly, "readonly", false, "refuse all changes")
	flag.Parse()
	config.Ports = []string{address}

	attributes := meta.XattrMeta{}
	if err := attributes.Test(dir); err != nil {
		return fmt.Errorf("extended attributes in %s: %w", dir, err)
	}
	backend, err := posix.New(dir, attributes, posix.PosixOpts{Concurrency: actions})
	if err != nil {
		return err
	}
	return embedgw.RunVersityGW(context.Background(), backend, &config)
}
