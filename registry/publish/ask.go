package publish

import (
	"context"
	"errors"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/crate"
	"github.com/crateyard/crateyard/registry/fault"
)

// smallArchive is up to how many bytes an archive is received before the catalog is asked.
const smallArchive = 128 << 10

// answer is what the catalog says of a publish before it is made.
type answer struct {
	isNew    bool         // the crate is
	taken    *fault.Error // the name or the version is
	shadowed []string     // warnings
}

// ask asks the catalog and the mirrors, and notes in broken what is wrong.
func (p *Publisher) ask(ctx context.Context, who Uploader, pub catalog.Publication, allow func(catalog.Standing) error, broken *violations) (a answer, err error) {
	if crate.CheckName(pub.Name) == nil {
		err := p.Catalog.CheckPublish(ctx, pub, func(s catalog.Standing) error {
			a.isNew = !s.Exists
			return allow(s)
		})
		// An import is told at once: it asks again for what came with the last one, and has its archives checked.
		if fault.KindOf(err) == fault.Conflict && who.Imported == nil {
			a.taken, _ = errors.AsType[*fault.Error](err)
		} else if err != nil {
			return answer{}, err
		}
	}
	if who.Imported != nil {
		return a, nil
	}
	if a.isNew && a.taken == nil {
		if a.shadowed, err = p.shadow(ctx, pub.Name); err != nil && !broken.note(err) {
			return answer{}, err
		}
	}
	missing, err := p.Catalog.MissingDependencies(ctx, pub)
	*broken = append(*broken, missing...)
	return a, err
}

// errNew ends a transaction that finds a new crate: limits of its own hold for it, and mirrors are asked about its name, which takes time.
var errNew = errors.New("the crate is new")

// allowKnown is allow for a crate that is there, for which admit is asked once.
func allowKnown(allow func(catalog.Standing) error, admit func() error) func(catalog.Standing) error {
	admitted := false
	return func(s catalog.Standing) error {
		if err := allow(s); err != nil {
			return err
		}
		switch {
		case !s.Exists:
			return errNew
		case admitted: // the transaction is tried again
			return nil
		}
		err := admit()
		admitted = err == nil
		return err
	}
}
