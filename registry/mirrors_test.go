package registry

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/crateyard/crateyard/registry/storage"
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
