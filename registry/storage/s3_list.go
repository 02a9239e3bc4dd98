package storage

import (
	"context"
	"io/fs"
	"iter"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// Stat tells of a blob.
func (s *S3) Stat(ctx context.Context, key string) (Info, error) {
	object, err := s.object(key)
	if err != nil {
		return Info{}, err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	head, err := s.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &s.options.Bucket, Key: object})
	if statusOf(err) == http.StatusNotFound {
		// The answer to a HEAD has no body that could say whether the blob is missing, or the bucket, or the user of the keys.
		if err := s.reach(ctx); err != nil {
			return Info{}, err
		}
		return Info{}, &fs.PathError{Op: "stat", Path: key, Err: fs.ErrNotExist}
	}
	s.probe.noteRead(err)
	if err == nil && head.LastModified == nil {
		err = errAlien
	}
	if err != nil {
		return Info{}, s.failed(ctx, "HeadObject", key, err)
	}
	return Info{Key: key, Size: aws.ToInt64(head.ContentLength), Modified: aws.ToTime(head.LastModified)}, nil
}

// List asks for a thousand keys at a time.
func (s *S3) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		in := &sdk.ListObjectsV2Input{Bucket: &s.options.Bucket, Prefix: aws.String(s.prefix + prefix)}
		if after != "" {
			in.StartAfter = aws.String(s.prefix + after)
		}
		for {
			page, err := s.page(ctx, in)
			if err != nil {
				yield(Info{}, err)
				return
			}
			for _, o := range page.Contents {
				key := strings.TrimPrefix(aws.ToString(o.Key), s.prefix)
				// Folders that a console made end with a slash. Servers without StartAfter send all.
				if key <= after || strings.HasSuffix(key, "/") || strings.HasPrefix(key, metaDir) || strings.HasPrefix(key, checkPrefix) {
					continue
				}
				if !yield(Info{Key: key, Size: aws.ToInt64(o.Size), Modified: aws.ToTime(o.LastModified)}, nil) {
					return
				}
			}
			if !aws.ToBool(page.IsTruncated) || aws.ToString(page.NextContinuationToken) == "" {
				return
			}
			in.ContinuationToken = page.NextContinuationToken
		}
	}
}

func (s *S3) page(ctx context.Context, in *sdk.ListObjectsV2Input) (*sdk.ListObjectsV2Output, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	page, err := s.client.ListObjectsV2(ctx, in)
	if err != nil {
		return nil, s.failed(ctx, "ListObjectsV2", aws.ToString(in.Prefix), err)
	}
	return page, nil
}

// Delete removes a blob.
func (s *S3) Delete(ctx context.Context, key string) error {
	object, err := s.object(key)
	if err != nil {
		return err
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	_, err = s.client.DeleteObject(ctx, &sdk.DeleteObjectInput{Bucket: &s.options.Bucket, Key: object})
	if err == nil || apiCode(err) == "NoSuchKey" {
		return nil
	}
	return s.failed(ctx, "DeleteObject", key, err)
}
