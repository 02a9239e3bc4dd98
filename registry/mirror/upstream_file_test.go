package mirror

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// The rest of a large index file is read by one at a time, and who waits for that may go away; small ones wait for nobody.
func TestLargeIndexFilesOneAtATime(t *testing.T) {
	answer := func(bytes int) *http.Response {
		return &http.Response{ContentLength: -1, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", bytes)))}
	}
	large := make(chan struct{}, 1)
	large <- struct{}{} // somebody reads one
	if file, err := readIndexFile(t.Context(), answer(smallIndexFile-1), large); err != nil || len(file) != smallIndexFile-1 {
		t.Error(len(file), err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readIndexFile(gone, answer(smallIndexFile+1), large); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-large
	if file, err := readIndexFile(t.Context(), answer(smallIndexFile+1), large); err != nil || len(file) != smallIndexFile+1 {
		t.Error(len(file), err)
	}
	if len(large) != 0 {
		t.Error("it is still held")
	}
}
