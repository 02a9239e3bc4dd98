package plan

import (
	"container/list"
	"sync"
)

// kept holds records, those used last, up to a number of bytes. A cache that looks at how often something is used, as otter does, is of
// no use here: crates come in waves, each some times in a short while and then perhaps never again.
type kept struct {
	mu      sync.Mutex
	most    uint32
	size    uint32
	byName  map[string]*list.Element
	lastUse *list.List // of *record, the last used first
}

func newKept(most uint32) *kept {
	return &kept{most: most, byName: map[string]*list.Element{}, lastUse: list.New()}
}

func (k *kept) get(name string) *record {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.byName[name]
	if e == nil {
		return nil
	}
	k.lastUse.MoveToFront(e)
	return e.Value.(*record)
}

// put adds a record that is not there.
func (k *kept) put(r *record) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.byName[r.name] != nil {
		return
	}
	k.byName[r.name] = k.lastUse.PushFront(r)
	k.size += r.size
	for k.size > k.most && k.lastUse.Len() > 1 {
		oldest := k.lastUse.Remove(k.lastUse.Back()).(*record)
		delete(k.byName, oldest.name)
		k.size -= oldest.size
	}
}
