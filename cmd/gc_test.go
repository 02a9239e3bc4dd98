package cmd

import (
	"runtime"
	"testing"
	"time"
)

func TestGrowth(t *testing.T) {
	for live, want := range map[uint64]int{0: 300, 8 << 20: 300, 14 << 20: 200, 28 << 20: 100, 56 << 20: 50, 10 << 30: 20} {
		if got := growth(live); got != want {
			t.Errorf("%d MiB live: %d percent, want %d", live>>20, got, want)
		}
	}
}

func TestAfterEachGC(t *testing.T) {
	ran := make(chan bool, 10)
	afterEachGC(func() {
		select {
		case ran <- true:
		default:
		}
	})
	for range 2 { // it goes on
		runtime.GC()
		select {
		case <-ran:
		case <-time.After(time.Minute):
			t.Fatal("nothing ran after a collection")
		}
	}
}
