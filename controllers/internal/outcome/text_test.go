package outcome

import "testing"

// What S3 says of one failure is the same text each time, and has no room taken by numbers that help nobody.
func TestMessageWithoutRequest(t *testing.T) {
	for _, id := range []string{"1JW8UCHCKPS4ES8Z", "tx0001"} {
		said := "operation error S3: GetObject, https response error StatusCode: 404, RequestID: " + id + ", HostID: Vu5g/" + id + "=, api error NoSuchBucket: The specified bucket does not exist."
		want := "operation error S3: GetObject, https response error StatusCode: 404, api error NoSuchBucket: The specified bucket does not exist."
		if got := Message(said); got != want {
			t.Errorf("it says %q, want %q", got, want)
		}
	}
}
