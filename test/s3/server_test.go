package s3

import (
	"strings"
	"testing"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// What was stored outlives an outage, and the server comes back where it was.
func TestServerStopsAndResumes(t *testing.T) {
	s := New(t)
	bucket, err := s.Bucket(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	key := "crates/demo/1.0.0+b.crate"
	if _, err := s.Client().PutObject(t.Context(), &sdk.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("bytes")}); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	head := &sdk.HeadObjectInput{Bucket: &bucket, Key: &key}
	if _, err := s.Client().HeadObject(t.Context(), head, func(o *sdk.Options) { o.RetryMaxAttempts = 1 }); err == nil {
		t.Error("a stopped server answers")
	}
	if err := s.Resume(); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Client().HeadObject(t.Context(), head); err != nil || *got.ContentLength != 5 {
		t.Errorf("%+v %v", got, err)
	}
}
