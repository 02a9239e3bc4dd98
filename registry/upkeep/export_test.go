package upkeep

import "time"

// SetReplayBytes sets how much a replay may hold, and gives what it was.
func SetReplayBytes(n int) (was int) {
	was, replayBytes = replayBytes, n
	return was
}

// SetSegment sets how many versions are read in one go, and gives what it was.
func SetSegment(n int) (was int) {
	was, segment = segment, n
	return was
}

// SetLongest sets how long a task sleeps at once, and gives what it was.
func SetLongest(d time.Duration) (was time.Duration) {
	was, longest = longest, d
	return was
}
