package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

// Versions of what the cluster consists of. The go.mod files below build/ are
// the one place where they are written.
type Versions struct {
	Kubernetes, Etcd, CoreDNS string
}

func readVersions(root string) (v Versions, err error) {
	for _, m := range []struct {
		dir, module string
		to          *string
	}{
		{"kubernetes", "k8s.io/kubernetes", &v.Kubernetes},
		{"etcd", "go.etcd.io/etcd/server/v3", &v.Etcd},
		{"coredns", "github.com/coredns/coredns", &v.CoreDNS},
	} {
		file := filepath.Join(buildDir(root, m.dir), "go.mod")
		data, err := os.ReadFile(file)
		if err != nil {
			return v, err
		}
		if *m.to = requiredVersion(string(data), m.module); *m.to == "" {
			return v, fmt.Errorf("%s does not require %s", file, m.module)
		}
	}
	return v, nil
}

// requiredVersion finds the version of a module in the text of a go.mod.
func requiredVersion(gomod, module string) string {
	re := regexp.MustCompile(`(?m)^(?:require)?\s+` + regexp.QuoteMeta(module) + `\s+(v\S+)`)
	if m := re.FindStringSubmatch(gomod); m != nil {
		return m[1]
	}
	return ""
}

func buildDir(root, module string) string {
	return filepath.Join(root, "hack", "cluster", "build", module)
}

// binDir is where the programs of these versions are cached, for all clones.
func binDir(root string) (string, error) {
	v, err := readVersions(root)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir() // $XDG_CACHE_HOME or ~/.cache
	if err != nil {
		return "", fmt.Errorf("no place for a cache: %w", err)
	}
	set := fmt.Sprintf("kubernetes-%s_etcd-%s_coredns-%s_%s", v.Kubernetes, v.Etcd, v.CoreDNS, runtime.GOARCH)
	return filepath.Join(cache, "crateyard", set, "bin"), nil
}
