package backup

import (
	"strings"
	"testing"
)

func TestParseTarget(t *testing.T) {
	for _, tt := range []struct{ text, bucket, prefix, says string }{
		{"s3://b", "b", "", ""},
		{"s3://backups/acme/", "backups", "acme", ""},
		{"s3://backups/acme/x?endpoint=https://s3.example.com&region=eu-1", "backups", "acme/x", ""},
		{"s3://backups?region=eu-1", "backups", "", ""},
		{"/mnt/backups", "", "", ""},
		{"backups", "", "", ""},
		{"../s3/x", "", "", ""},
		{"./a:b", "", "", ""},
		{"/mnt/12:00", "", "", ""},
		{"s3://", "", "", "name a bucket: s3://BUCKET/PREFIX"},
		{"s3:///prefix", "", "", "name a bucket"},
		{"s3://?endpoint=https://s3.example.com", "", "", "name a bucket"},
		{"s3:/bucket/x", "", "", "or a bucket as s3://BUCKET/PREFIX; a folder that is called so is ./s3:/bucket/x"},
		{"s3:bucket", "", "", "or a bucket as s3://"},
		{"S3://bucket/x", "", "", "or a bucket as s3://"},
		{"s3//bucket", "", "", "or a bucket as s3://"},
		{"gs://bucket/x", "", "", "or a bucket as s3://"},
		{"file:///mnt/backups", "", "", "say the path of a folder"},
		{"host:/mnt", "", "", "say the path of a folder"},
	} {
		bucket, prefix, isBucket, err := ParseTarget(tt.text)
		if bucket != tt.bucket || prefix != tt.prefix || isBucket != strings.HasPrefix(tt.text, "s3://") {
			t.Errorf("%s: %q %q %v", tt.text, bucket, prefix, isBucket)
		}
		if (err == nil) != (tt.says == "") || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.text, err, tt.says)
		}
	}
}
