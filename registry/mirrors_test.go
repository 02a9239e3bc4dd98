package registry

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/wire"
)

// Mirrors, too, ask whether the catalog is older than the storage before they remove what it does not know.
func TestMirrorsAskBeforeTheySweep(t *testing.T) {
	c := DefaultConfig()
	c.Listen, c.OpsListen, c.Data = "127.0.0.1:0", "127.0.0.1:0", t.TempDir()
	s, err := Open(t.Context(), c, "test", io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stopped, cancel := context.WithCancel(context.Background())
		cancel()
		if err := s.Serve(stopped); err != nil {
			t.Error(err)
		}
	})
	if err := s.mirrors.MaySweep(t.Context()); err != nil {
		t.Error(err)
	}
	id, err := s.catalog.RegistryID(t.Context())
	if err == nil {
		err = storage.SetCatalogNote(t.Context(), s.backends.Store, `{"registry":"`+id+`","change":9,"crate":"air-gapped","kind":"mirror","at":1}`)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, is := errors.AsType[*SetBackError](s.mirrors.MaySweep(t.Context())); !is {
		t.Error("the catalog was set back, and they may")
	}
}

// That a sync failed stays told while it is tried again, whatever the try has come to so far.
func TestIncomplete(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	for _, tt := range []struct {
		name string
		sync wire.MirrorSync
		want bool
	}{
		{"never synced", wire.MirrorSync{}, false},
		{"the first runs, and failed in part", wire.MirrorSync{Running: true, LastStarted: &early, Failed: 3}, false},
		{"the first failed", wire.MirrorSync{LastEnded: &early, Failed: 3}, true},
		{"all of it is tried again", wire.MirrorSync{Running: true, LastEnded: &early}, true},
		{"it went well", wire.MirrorSync{LastEnded: &late, LastSuccessful: &late}, false},
		{"it failed after one that went well", wire.MirrorSync{LastEnded: &late, LastSuccessful: &early, Failed: 3}, true},
		{"it gave up", wire.MirrorSync{LastEnded: &late, LastSuccessful: &early, Message: "upstream was of no help"}, true},
		{"after one that went well, one runs and failed in part", wire.MirrorSync{Running: true, LastEnded: &late, LastSuccessful: &late, Failed: 3}, false},
	} {
		if got := incomplete(tt.sync); got != tt.want {
			t.Errorf("%s: %t", tt.name, got)
		}
	}
}
