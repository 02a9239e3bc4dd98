package crate

import "hash/maphash"

// kind is what a path is.
type kind byte

const (
	isFile kind = iota + 1
	isFolder
	isImplied // a folder that has no entry of its own, or not yet

	kindBits = 3 // of a slot
)

// pathSet holds paths with their kinds, 8 bytes each: 62 bits of a hash, with a seed of its own so that nobody can make two paths look alike,
// and the kind. It is a table with open addressing, of a power of two of slots, of which a quarter stays free.
type pathSet struct {
	seed  maphash.Seed
	slots []uint64 // 0: free
	used  int
	// grow is asked before the table gets so many slots; an error keeps it as it is.
	grow func(slots int) error
}

const (
	// fewSlots is a table that every archive may have: 32 KiB, for some 3,000 paths.
	fewSlots  = 4 << 10
	leastSlot = 64
	slotBytes = 8
)

func newPathSet(grow func(slots int) error) *pathSet {
	return &pathSet{seed: maphash.MakeSeed(), grow: grow}
}

// slotsFor is how many slots a table has that holds so many paths.
func slotsFor(paths int) int {
	n := leastSlot
	for n*3/4 <= paths {
		n *= 2
	}
	return n
}

// at gives the kind of a path, 0 where it is not there, and how to set it.
func (s *pathSet) at(path string) (was kind, hash uint64) {
	hash = maphash.String(s.seed, path) &^ kindBits
	if len(s.slots) == 0 {
		return 0, hash
	}
	return kind(s.slots[s.find(hash)] & kindBits), hash
}

// set gives the path of a hash another kind, or adds it.
func (s *pathSet) set(hash uint64, k kind) error {
	if s.used >= len(s.slots)*3/4 {
		if err := s.larger(); err != nil {
			return err
		}
	}
	i := s.find(hash)
	if s.slots[i] == 0 {
		s.used++
	}
	s.slots[i] = hash | uint64(k)
	return nil
}

// find gives the slot of a hash, or the free one where it would be. A taken slot is never 0, since no kind is.
func (s *pathSet) find(hash uint64) int {
	mask := len(s.slots) - 1
	for i := int(hash>>2) & mask; ; i = (i + 1) & mask {
		if slot := s.slots[i]; slot == 0 || slot&^kindBits == hash {
			return i
		}
	}
}

func (s *pathSet) larger() error {
	old, n := s.slots, max(leastSlot, 2*len(s.slots))
	if err := s.grow(n); err != nil {
		return err
	}
	s.slots = make([]uint64, n)
	for _, slot := range old {
		if slot != 0 {
			s.slots[s.find(slot&^kindBits)] = slot
		}
	}
	return nil
}
