package backup_test

import (
	"testing"

	"github.com/crateyard/crateyard/registry/backup"
	"github.com/crateyard/crateyard/registry/upkeep/upkeeptest"
)

// A backup that comes by itself prunes after that, but where it is to keep all: old ones may have what the catalog does not know any more.
func TestTaskPrunes(t *testing.T) {
	y := upkeeptest.Small(t)
	y.Publish("demo", "1.0.0")
	target, _ := upkeeptest.Folder(t)
	for i, keep := range []int{1, 0, 0, 1} {
		if _, err := backup.Task(*creator(y, target), nil, keep).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, _, err := backup.List(t.Context(), target)
		if want := []int{1, 2, 3, 1}[i]; err != nil || len(list) != want {
			t.Errorf("run %d: %d backups, want %d; %v", i, len(list), want, err)
		}
	}
}
