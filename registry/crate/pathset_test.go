package crate

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// A pathSet tells what a map would.
func TestPathSetIsAMap(t *testing.T) {
	s := newPathSet(func(int) error { return nil })
	model := map[string]kind{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 100_000 {
		path := fmt.Sprint("demo-1.0.0/", r.IntN(30_000))
		was, hash := s.at(path)
		if was != model[path] {
			t.Fatalf("%s: %d, want %d", path, was, model[path])
		}
		k := kind(1 + r.IntN(3))
		if err := s.set(hash, k); err != nil {
			t.Fatal(err)
		}
		model[path] = k
	}
	if s.used != len(model) {
		t.Errorf("%d paths, want %d", s.used, len(model))
	}
	if len(s.slots) > slotsFor(len(model)) {
		t.Errorf("%d slots for %d paths", len(s.slots), len(model))
	}
}

// Room is asked for once, and for all that an archive may take from then on: for a long manifest or for many paths, whichever comes first.
func TestCheckArchiveHolds(t *testing.T) {
	little := block("a-1.0.0/Cargo.toml", '0', sampleManifest)
	large := block("a-1.0.0/Cargo.toml", '0', sampleManifest+"#"+strings.Repeat("x", littleManifest))
	files := func(n int) string { // each in a folder of its own
		var b strings.Builder
		for i := range n {
			b.WriteString(block(fmt.Sprintf("a-1.0.0/%d/f", i), '0', ""))
		}
		return b.String()
	}
	few, many := files(fewSlots*3/8-10), files(fewSlots*3/8+10)
	const paths = 3 << 18 // 20,000 entries and as many folders: 2¹⁶ slots, and half of that while they are made
	size := int64(len(sampleManifest) + 1 + littleManifest)
	for name, tc := range map[string]struct {
		stream string
		want   [][2]int64
	}{
		"little":                       {little + few, nil},
		"large manifest":               {large + few, [][2]int64{{size, paths}}},
		"large manifest, then paths":   {large + many, [][2]int64{{size, paths}}},
		"many paths":                   {little + many, [][2]int64{{0, paths}}},
		"many paths, then a manifest":  {many + little, [][2]int64{{maxManifest, paths}}},
		"many paths, then a large one": {many + large, [][2]int64{{maxManifest, paths}}},
	} {
		limits := DefaultLimits
		var asked [][2]int64
		limits.Hold = func(manifest, paths int64) error {
			asked = append(asked, [2]int64{manifest, paths})
			return nil
		}
		stream := zip(tc.stream + strings.Repeat("\x00", 2*tarBlock))
		_, err := CheckArchive(bytes.NewReader(stream), "a", "1.0.0", limits)
		if err != nil || fmt.Sprint(asked) != fmt.Sprint(tc.want) {
			t.Errorf("%s: %v, %v; want %v", name, asked, err, tc.want)
		}
		full := errors.New("no room")
		limits.Hold = func(int64, int64) error { return full }
		if _, err := CheckArchive(bytes.NewReader(stream), "a", "1.0.0", limits); tc.want != nil != errors.Is(err, full) {
			t.Errorf("%s without room: %v", name, err)
		}
	}
}

// What is kept of an archive's files does not grow with them: folders above them, and names of programs.
func TestCheckArchiveBoundsWhatItKeeps(t *testing.T) {
	toml, end := block("a-1.0.0/Cargo.toml", '0', sampleManifest), strings.Repeat("\x00", 2*tarBlock)
	long := func(path string) string { return block("././@LongLink", 'L', path+"\x00") + block("x", '0', "") }
	var folders, bins strings.Builder
	for i := range 10 {
		folders.WriteString(long(fmt.Sprintf("a-1.0.0/%d/%sf", i, strings.Repeat("d/", 400))))
	}
	for i := range 900 {
		bins.WriteString(long(fmt.Sprintf("a-1.0.0/src/bin/%s%d.rs", strings.Repeat("b", 900), i)))
	}
	limits := DefaultLimits
	limits.Entries = 1000
	_, err := CheckArchive(bytes.NewReader(zip(toml+folders.String()+end)), "a", "1.0.0", limits)
	checkError(t, "folders", err, "more than 2000 files and folders")
	a, err := CheckArchive(bytes.NewReader(zip(toml+bins.String()+end)), "a", "1.0.0", limits)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Join(a.Bins, "")); n == 0 || n > maxBinBytes {
		t.Errorf("%d bytes of the names of programs", n)
	}
}
