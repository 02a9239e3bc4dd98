//go:build !linux

package cmd

// releaseInitPages does nothing here: see pages_linux.go.
func releaseInitPages() {}
