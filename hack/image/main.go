// Command image packs the crateyard binary into a container image without a
// container engine, so that the image can be made wherever Go runs.
package main

import (
	"debug/buildinfo"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/crateyard/crateyard/hack/image/scratch"
)

// nonroot is the user and group of the process. A number, because Kubernetes
// can only check runAsNonRoot when the image does not name its user.
const nonroot = "65532"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run() error {
	binary := flag.String("binary", "", "the crateyard `file` to pack; must be built with CGO_ENABLED=0")
	ca := flag.String("ca", "/etc/ssl/certs/ca-certificates.crt", "CA certificates that the image trusts")
	tag := flag.String("tag", "crateyard:dev", "`reference` of the image")
	out := flag.String("o", "image.tar", "archive to write")
	version := flag.String("version", "dev", "version to write into the labels")
	revision := flag.String("revision", "", "git commit to write into the labels")
	flag.Parse()
	if *binary == "" || flag.NArg() > 0 {
		flag.Usage()
		return errors.New("name the binary: --binary bin/crateyard")
	}
	arch, err := checkBinary(*binary)
	if err != nil {
		return err
	}
	if _, err := os.Stat(*ca); err != nil {
		return fmt.Errorf("CA certificates: %w (Debian: apt-get install ca-certificates; or name another bundle with --ca)", err)
	}
	created, err := sourceDate()
	if err != nil {
		return err
	}
	img, err := scratch.Build(options(arch, *binary, *ca, labels(*version, *revision), created))
	if err != nil {
		return err
	}
	if err := scratch.Save(img, *tag, *out); err != nil {
		return err
	}
	full, err := scratch.Tag(*tag)
	if err != nil {
		return err
	}
	id, err := img.ConfigName() // what a pod's status shows as imageID
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s, ID %s, linux/%s\n", *out, full, id, arch)
	return nil
}

// options describe the image. The Dockerfile says the same, and a test compares the two.
func options(arch, binary, ca string, labels map[string]string, created time.Time) scratch.Options {
	return scratch.Options{
		Architecture: arch,
		Created:      created,
		Entrypoint:   []string{"/crateyard"},
		User:         nonroot + ":" + nonroot,
		WorkingDir:   "/",
		Env:          []string{"PATH=/", "HOME=/tmp", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"},
		Labels:       labels,
		Layers: []scratch.Layer{
			{Comment: "certificates and users", Files: []scratch.File{
				{Path: "/etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Source: ca},
				{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/:/sbin/nologin\nnonroot:x:" + nonroot + ":" + nonroot + ":nonroot:/tmp:/sbin/nologin\n")},
				{Path: "/etc/group", Mode: 0o644, Content: []byte("root:x:0:\nnonroot:x:" + nonroot + ":\n")},
				{Path: "/tmp", Mode: 0o1777, Dir: true},
			}},
			{Comment: "crateyard", Files: []scratch.File{{Path: "/crateyard", Mode: 0o755, Source: binary}}},
		},
	}
}

// checkBinary refuses what could not start in an empty image: there, a missing
// dynamic loader shows only as "no such file or directory" in a crash loop.
func checkBinary(file string) (arch string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", fmt.Errorf("%s is not a Linux program: %w (build it with GOOS=linux)", file, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s needs a dynamic loader, which the image does not have: build it with CGO_ENABLED=0", file)
		}
	}
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	for _, s := range info.Settings {
		if s.Key == "GOARCH" {
			return s.Value, nil
		}
	}
	return runtime.GOARCH, nil
}

// sourceDate is the time that all files and the image carry. It never is the
// time of the build, since that would give each build another digest.
func sourceDate() (time.Time, error) {
	epoch := os.Getenv("SOURCE_DATE_EPOCH")
	if epoch == "" {
		return time.Unix(0, 0).UTC(), nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH must be seconds since 1970, not %q", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}

func labels(version, revision string) map[string]string {
	l := map[string]string{
		"org.opencontainers.image.title":       "crateyard",
		"org.opencontainers.image.description": "Private Rust crate registries, and the Kubernetes operator that runs them",
		"org.opencontainers.image.source":      "https://github.com/crateyard/crateyard",
		"org.opencontainers.image.licenses":    "Apache-2.0",
		"org.opencontainers.image.version":     version,
	}
	if revision != "" {
		l["org.opencontainers.image.revision"] = revision
	}
	return l
}
