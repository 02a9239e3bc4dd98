package mirror

import (
	"context"
	"encoding/json"

	"github.com/crateyard/crateyard/registry/catalog"
	"github.com/crateyard/crateyard/registry/wire"
)

// suspended notes that the last sync was of a mirror as it is now, where nothing but Suspend has changed since: a mirror that is suspended or resumed
// wants what it wanted before.
func (m *Manager) suspended(ctx context.Context, before *Mirror, row catalog.Mirror, spec wire.MirrorSpec) error {
	if before == nil || before.Row.ID != row.ID || before.Row.Generation+1 != row.Generation || before.Row.Token != row.Token || before.Spec.Suspend == spec.Suspend {
		return nil
	}
	was := before.Spec
	was.Suspend = spec.Suspend
	text, err := json.Marshal(was)
	if err != nil || string(text) != row.Spec {
		return err
	}
	s := readSync(row.Status)
	if s.Running || s.LastEnded == nil || s.Generation != before.Row.Generation {
		return nil
	}
	s.Generation = row.Generation
	if text, err = json.Marshal(s); err != nil {
		return err
	}
	return m.Catalog.SetMirrorStatus(ctx, row.ID, string(text))
}
