package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/crateyard/crateyard/test/upload"
)

// The archive of this measurement: 5 MiB of 2,000 files of words, which compress like source code to about four tenths.
const (
	archiveFiles = 2000
	archiveFile  = 7_000 // bytes
)

// measureArchive publishes a large crate, which the server checks, hashes and stores, beside what any such check costs at
// least: unpacking it once and hashing it.
func measureArchive(ctx context.Context, b *bench) (result, error) {
	words := make([]string, 2000)
	for i := range words {
		words[i] = fmt.Sprintf("%08x", rand.Uint32())[:1+rand.IntN(8)]
	}
	file := filepath.Join(b.dir, "archive.crate")
	var ours, theirs, ratios []float64
	grown, entries := 0.0, archiveFiles+1
	var size int
	for round := range b.rounds + 1 {
		version := fmt.Sprintf("1.0.%d", round)
		crate, err := manyFiles("bench-archive", version, words)
		if err != nil {
			return result{}, err
		}
		size = len(crate)
		if err := os.WriteFile(file, crate, 0o644); err != nil {
			return result{}, err
		}
		frame := upload.Frame(fmt.Sprintf(`{"name":"bench-archive","vers":%q,"deps":[],"features":{}}`, version), crate)
		before, err := b.resident()
		if err != nil {
			return result{}, err
		}
		start := time.Now()
		most, err := b.mostResident(func() error { return b.send(ctx, frame) })
		if err != nil {
			return result{}, err
		}
		o := time.Since(start)
		start = time.Now()
		if err := exec.CommandContext(ctx, "sh", "-c", `gunzip -c "$1" | sha256sum`, "sh", file).Run(); err != nil {
			return result{}, err
		}
		t := time.Since(start)
		if round == 0 {
			continue // the first warms both up: the server has buffers to make, the shell programs to load
		}
		grown = max(grown, most-before)
		ours, theirs, ratios = append(ours, ms(o)), append(theirs, ms(t)), append(ratios, ms(o)/ms(t))
	}
	return result{fmt.Sprintf("publish of a crate of %.1f MiB with %d entries, durable", float64(size)/(1<<20), entries),
		fmt.Sprintf("%.0f ms, memory +%.1f MiB", median(ours), grown), fmt.Sprintf("gunzip and sha256sum: %.0f ms", median(theirs)),
		fmt.Sprintf("%.2f", median(ratios)), "at most 1.50, +4 MiB", misses(atMost("the ratio", median(ratios), 1.5), atMost("memory", grown, 4))}, nil
}

// mostResident is the most resident memory of the server, in MiB, while work runs.
func (b *bench) mostResident(work func() error) (most float64, err error) {
	return mostOf(strconv.Itoa(b.server.Pid), work)
}

// mostOf is the most resident memory of a process, in MiB, while work runs.
func mostOf(pid string, work func() error) (most float64, err error) {
	done := make(chan error, 1)
	go func() { done <- work() }()
	for tick := time.NewTicker(5 * time.Millisecond); ; {
		select {
		case err := <-done:
			tick.Stop()
			return most, err
		case <-tick.C:
			if mib, err := residentOf(pid); err == nil {
				most = max(most, mib)
			}
		}
	}
}

// manyFiles makes a .crate of files of random words.
func manyFiles(name, version string, words []string) ([]byte, error) {
	var crate bytes.Buffer
	zw := gzip.NewWriter(&crate)
	tw := tar.NewWriter(zw)
	add := func(path string, data []byte) error {
		if err := tw.WriteHeader(&tar.Header{Name: name + "-" + version + "/" + path, Mode: 0o644, Size: int64(len(data)), Format: tar.FormatGNU}); err != nil {
			return err
		}
		_, err := tw.Write(data)
		return err
	}
	if err := add("Cargo.toml", fmt.Appendf(nil, "[package]\nname = %q\nversion = %q\n", name, version)); err != nil {
		return nil, err
	}
	for i := range archiveFiles {
		text := make([]byte, 0, archiveFile+16)
		for len(text) < archiveFile {
			text = append(append(text, words[rand.IntN(len(words))]...), ' ')
		}
		if err := add(fmt.Sprintf("src/module_%d.rs", i), text); err != nil {
			return nil, err
		}
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return crate.Bytes(), nil
}
