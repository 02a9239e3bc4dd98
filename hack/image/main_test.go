package main

import (
	"encoding/json"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/crateyard/crateyard/hack/image/scratch"
)

// The Dockerfile is read here as far as it says what the image is, line by line: there is no engine to build it with.
func TestDockerfileMakesTheSameImage(t *testing.T) {
	o := options("amd64", "/out/crateyard", "/etc/ssl/certs/ca-certificates.crt", labels("${VERSION}", ""), time.Unix(0, 0))
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.ReplaceAll(string(text), "\\\n", " ")
	build, final, found := strings.Cut(lines, "\nFROM scratch\n")
	if !found {
		t.Fatal("the Dockerfile has no stage from scratch")
	}
	if got := assignments(final, "LABEL"); !slices.Equal(got, sorted(o.Labels)) {
		t.Errorf("labels\n%q, want\n%q", got, sorted(o.Labels))
	}
	slices.Sort(o.Env)
	if got := assignments(final, "ENV"); !slices.Equal(got, o.Env) {
		t.Errorf("environment\n%q, want\n%q", got, o.Env)
	}
	entrypoint, err := json.Marshal(o.Entrypoint)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"USER " + o.User, "WORKDIR " + o.WorkingDir, strings.Replace("ENTRYPOINT "+string(entrypoint), ",", ", ", -1)} {
		if !strings.Contains(final+"\n", "\n"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	for _, f := range files(o) {
		switch {
		case f.Content != nil:
			if quoted := "printf '" + strings.ReplaceAll(string(f.Content), "\n", `\n`) + "' > /out/" + path.Base(f.Path); !strings.Contains(build, quoted) {
				t.Errorf("%s is not made by: %s", f.Path, quoted)
			}
		case f.Dir:
			if made := "mkdir -p /out" + f.Path + " && chmod 1777 /out" + f.Path; f.Mode != 0o1777 || !strings.Contains(build, made) {
				t.Errorf("%s is not made by: %s", f.Path, made)
			}
		case !strings.Contains(final, "COPY --from=build "+f.Source+" "+f.Path+"\n"):
			t.Errorf("%s is not copied from %s", f.Path, f.Source)
		}
	}
	if copies := strings.Count(final, "COPY "); copies != 4 {
		t.Errorf("%d lines copy something into the image, and hack/image knows of 4", copies)
	}
}

func files(o scratch.Options) (all []scratch.File) {
	for _, l := range o.Layers {
		all = append(all, l.Files...)
	}
	return all
}

var assignment = regexp.MustCompile(`([A-Za-z_.]+)="([^"]*)"`)

// assignments gives what instructions of a kind set, as NAME=VALUE, sorted.
func assignments(stage, instruction string) (all []string) {
	for line := range strings.Lines(stage) {
		if rest, ok := strings.CutPrefix(line, instruction+" "); ok {
			for _, m := range assignment.FindAllStringSubmatch(rest, -1) {
				all = append(all, m[1]+"="+m[2])
			}
		}
	}
	slices.Sort(all)
	return all
}

func sorted(m map[string]string) (all []string) {
	for k, v := range m {
		all = append(all, k+"="+v)
	}
	slices.Sort(all)
	return all
}
