package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/registry/upkeep"
)

// A catalog can be set back in time behind the registry's back: an older copy of its file is put in its place, its write-ahead log is lost, a
// database is restored to an earlier point, or fails over to a replica that had not heard all. What was published since lies in the storage then, named by
// nobody, and may be the only copy. So servers note in the storage, now and then and when they stop, which change was the newest; a
// catalog that does not have that change is an earlier one. See docs/adr/0011.

// position is what the note says.
type position struct {
	Registry string `json:"registry"` // catalog.RegistryID
	catalog.Position
}

// SetBackError tells that the catalog is of an earlier time than the storage.
type SetBackError struct {
	Had, Has catalog.Position // what was the newest change, and what is
}

// Error implements error.
func (e *SetBackError) Error() string {
	return "the catalog was set back to an earlier time: " + e.Detail() + ". Archives that no version names may be the only copies, and none is removed; run `crateyard check`"
}

// Detail is what is known of it.
func (e *SetBackError) Detail() string {
	has := "it has no changes at all"
	if e.Has != (catalog.Position{}) {
		has = "its newest is " + e.Has.String()
	}
	return fmt.Sprintf("the storage knows of %s, which the catalog does not have; %s", e.Had, has)
}

// note gives what the storage says of this catalog; nil: nothing.
func (b *Backends) note(ctx context.Context) (*position, error) {
	id, err := b.Catalog.RegistryID(ctx)
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	text, err := storage.CatalogNote(ctx, b.Store)
	if err != nil {
		return nil, fmt.Errorf("storage: ask how far the catalog was: %w", err)
	}
	var p position
	if json.Unmarshal([]byte(text), &p) == nil && p.Registry == id {
		return &p, nil
	}
	return nil, nil // none, or damaged, or of the registry that had the storage before
}

// SetBack is a *SetBackError when the catalog is of an earlier time than the storage, and another error when that cannot be told.
func (b *Backends) SetBack(ctx context.Context) error {
	p, err := b.note(ctx)
	if err != nil || p == nil {
		return err
	}
	return b.lacks(ctx, p)
}

func (b *Backends) lacks(ctx context.Context, p *position) error {
	has, err := b.Catalog.Has(ctx, p.Position)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	if has {
		return nil
	}
	newest, err := b.Catalog.Position(ctx)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	return &SetBackError{Had: p.Position, Has: newest}
}

// MaySweep is Verify and SetBack: whoever removes archives that no version names asks first.
func (b *Backends) MaySweep(ctx context.Context) error {
	if err := b.Verify(ctx); err != nil {
		return err
	}
	return b.SetBack(ctx)
}

// lookAtNote is after what time the note is read again though nothing changed: it may be gone, or another server's may be ahead of this one's catalog.
const lookAtNote = 5 * time.Minute

// noteTries bounds how often the position is noted again because there was a change meanwhile; what comes later is the next look's.
const noteTries = 3

// NotePosition tells the storage how far the catalog is, unless that was set back. Of several servers that do so at once, one may write an earlier change
// behind a later one. So each looks again when it has written: what another had noted by then, it sees in the catalog.
func (b *Backends) NotePosition(ctx context.Context) error {
	b.noting.Lock() // an earlier one that is slow must not write behind a later one
	defer b.noting.Unlock()
	for range noteTries {
		newest, err := b.Catalog.Position(ctx)
		if err != nil {
			return fmt.Errorf("catalog: %w", err)
		}
		if b.position == newest && time.Since(b.noted) < lookAtNote {
			return nil
		}
		p, err := b.note(ctx)
		if err != nil {
			return err
		}
		if p != nil {
			if err := b.lacks(ctx, p); err != nil {
				return err
			}
			if p.Change > newest.Change { // another server made and noted a change since
				return nil
			}
		}
		if p == nil || p.Position != newest {
			if err := b.setPosition(ctx, newest); err != nil {
				return err
			}
		}
		b.position, b.noted = newest, time.Now()
	}
	return nil
}

// AcceptCatalog makes the catalog as it is the storage's, whatever was noted before.
func (b *Backends) AcceptCatalog(ctx context.Context) error {
	newest, err := b.Catalog.Position(ctx)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	return b.setPosition(ctx, newest)
}

func (b *Backends) setPosition(ctx context.Context, newest catalog.Position) error {
	id, err := b.Catalog.RegistryID(ctx)
	if err != nil {
		return fmt.Errorf("catalog: %w", err)
	}
	text, err := json.Marshal(position{id, newest})
	if err != nil {
		return err
	}
	if err := storage.SetCatalogNote(ctx, b.Store, string(text)); err != nil {
		return fmt.Errorf("storage: note how far the catalog is: %w", err)
	}
	return nil
}

// notePosition is NotePosition, and tells when the catalog is found to be set back, and when it is no more.
func (s *Server) notePosition(ctx context.Context, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := s.backends.NotePosition(ctx)
	back, isBack := errors.AsType[*SetBackError](err)
	switch {
	case isBack:
		text := back.Error()
		if s.setBack.Swap(&text) == nil {
			s.log.Error("The catalog is older than the storage", "error", text)
		}
	case err != nil:
		s.log.Debug("Cannot note in the storage how far the catalog is", "error", upkeep.Clean(err)) // what is away is said elsewhere
	case s.setBack.Swap(nil) != nil:
		s.log.Info("The catalog is no longer older than the storage, or was accepted as it is")
	}
}
