package cmd

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// What lives is small beside the rubbish of requests: Go's default of collecting when the heap has doubled would collect thirty times a second under
// load. So the heap may grow to four times of what lives, as long as that is no more than some rubbish.
const (
	mostGrowth = 300      // percent of what lives
	mostWaste  = 28 << 20 // bytes
)

// tuneGC has the collector run so, unless GOGC says how it is to.
func tuneGC() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(mostGrowth)
	afterEachGC(func() {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		debug.SetGCPercent(growth(sample[0].Value.Uint64()))
	})
}

// growth is the percentage for so many bytes that live.
func growth(live uint64) int {
	return int(min(mostGrowth, max(20, mostWaste*100/max(live, 1))))
}

// afterEachGC runs f after each collection: what nothing refers to is cleaned up by it, and makes the next.
func afterEachGC(f func()) {
	type marker struct{ _ [16]byte }
	runtime.AddCleanup(&marker{}, func(struct{}) {
		f()
		afterEachGC(f)
	}, struct{}{})
}
