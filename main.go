// Command crateyard is a registry for Rust crates and the Kubernetes operator that runs it.
package main

import (
	"os"

	"github.com/crateyard/crateyard/cmd"
)

func main() {
	os.Exit(cmd.Main(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
