package cmd

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/test/serve"
)

func TestEmptiedText(t *testing.T) {
	for _, tt := range []struct {
		m       backup.EmptiedMirror
		has     []string
		hasNone []string
	}{
		{backup.EmptiedMirror{Mirror: backup.Mirror{Name: "m", Archives: 2, Bytes: 2048}},
			[]string{"mirror m came back without 2 cached archives (2.0 KiB), ", "mirror import m --from BUNDLE", "when it is asked for"}, []string{"token", "mirror sync"}},
		{backup.EmptiedMirror{Mirror: backup.Mirror{Name: "m", Archives: 1}, Pinned: true}, []string{"without 1 cached archive ", "mirror import m --from BUNDLE"}, []string{"mirror sync", "asked for"}},
		{backup.EmptiedMirror{Mirror: backup.Mirror{Name: "m", Archives: 1}, Pinned: true, Listed: true}, []string{"`crateyard mirror sync m`"}, []string{"asked for"}},
		{backup.EmptiedMirror{Mirror: backup.Mirror{Name: "m", UpstreamToken: true}}, []string{"without the token for its upstream, which", "--upstream-token-file FILE"}, []string{"cached", "BUNDLE"}},
		{backup.EmptiedMirror{Mirror: backup.Mirror{Name: "m"}, Unknown: true}, []string{"without what was cached and the token for its upstream, if it had one, which"}, []string{"0 cached"}},
	} {
		text := emptiedText(tt.m)
		for _, want := range tt.has {
			if !strings.Contains(text, want) {
				t.Errorf("%+v: %s\nlacks %q", tt.m, text, want)
			}
		}
		for _, want := range tt.hasNone {
			if strings.Contains(text, want) {
				t.Errorf("%+v: %s\nhas %q", tt.m, text, want)
			}
		}
	}
}

// A restore names the mirrors that came back empty, and tokens that are lost.
func TestRestoreNamesMirrors(t *testing.T) {
	upstream, data := start(t, t.TempDir()), t.TempDir()
	upload(t, upstream, "demo", "1.0.0")
	s := start(t, data)
	admin := serve.NewClient(s.URL, s.AdminToken)
	defer admin.Close()
	for name, token := range map[string]string{"cached": "", "partner": `,"token":"cy_partner"`, "unused": ""} {
		body := fmt.Appendf(nil, `{"spec":{"upstream":{"index":"sparse+%s/index/"}}%s}`, upstream.URL, token)
		if status, text, err := admin.Do(http.MethodPut, "/api/v1/mirrors/"+name, body); status != http.StatusOK && status != http.StatusCreated || err != nil {
			t.Fatalf("%d %s %v", status, text, err)
		}
	}
	served(t, s.URL, "/mirrors/cached/de/mo/demo")
	served(t, s.URL, "/mirrors/cached/crates/demo/1.0.0/download")
	if err := s.Stop(); err != nil { // the mirror's writes are done
		t.Fatal(err)
	}
	backups := filepath.Join(t.TempDir(), "backups")
	run(t, 0, "backup --data "+data+" --to "+backups)
	out, _ := run(t, 0, "restore --data "+filepath.Join(t.TempDir(), "new")+" --from "+backups)
	if !strings.Contains(out, "mirror cached came back without 1 cached archive (") || !strings.Contains(out, "mirror partner came back without the token") || strings.Contains(out, "unused") {
		t.Error(out)
	}
	out, _ = run(t, 0, "restore -o json --data "+filepath.Join(t.TempDir(), "new")+" --from "+backups)
	if !strings.Contains(out, `"upstreamToken": true`) {
		t.Error(out)
	}
}
