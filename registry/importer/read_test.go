package importer

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

func version(size int) *Version {
	return &Version{Open: func(context.Context) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(make([]byte, size))), nil
	}}
}

// One large archive is in memory at a time; the others do not wait for it.
func TestOneLargeArchiveAtATime(t *testing.T) {
	var l large
	first, firstDone, err := version(fewBytes+5).read(t.Context(), maxSize, &l)
	if err != nil || len(first) != fewBytes+5 {
		t.Fatal(len(first), err)
	}
	for _, size := range []int{0, 1, fewBytes} {
		data, done, err := version(size).read(t.Context(), maxSize, &l)
		if err != nil || len(data) != size {
			t.Fatal(size, len(data), err)
		}
		done()
	}
	second := make(chan int)
	go func() {
		data, done, err := version(fewBytes+6).read(t.Context(), maxSize, &l)
		if err == nil {
			done()
		}
		second <- len(data)
	}()
	select {
	case <-second:
		t.Fatal("two large archives are in memory")
	case <-time.After(50 * time.Millisecond):
	}
	firstDone()
	if n := <-second; n != fewBytes+6 {
		t.Error(n)
	}
	for _, limit := range []int64{10, fewBytes + 1} { // a failure leaves the way free
		if _, _, err := version(fewBytes+2).read(t.Context(), limit, &l); err == nil || !strings.Contains(err.Error(), "more than") {
			t.Errorf("limit %d: %v", limit, err)
		}
	}
	if data, done, err := version(fewBytes+2).read(t.Context(), fewBytes+2, &l); err != nil || len(data) != fewBytes+2 {
		t.Error(len(data), err)
	} else {
		done()
	}
}
