package storage

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// Create begins a blob. Its bytes wait on this machine (see spool), for S3 wants to know the key first and cannot rename.
func (s *S3) Create(context.Context) (Writer, error) {
	return &s3Writer{store: s, spool: s.spools.open()}, nil
}

type s3Writer struct {
	store *S3
	spool *spool
	done  bool
}

// Write implements io.Writer.
func (w *s3Writer) Write(p []byte) (int, error) { return w.spool.Write(p) }

// Commit sends the blob, and returns when S3 has said that it has all of it: durable has nothing left to wait for. S3 may be slow, and the
// caller's transaction, which has begun by the time that it asks durable, would hold its locks for so long. The end of ctx ends
// the sending.
func (w *s3Writer) Commit(ctx context.Context, key string) (durable func() error, err error) {
	object, err := w.store.object(key)
	if err != nil {
		return nil, errors.Join(err, w.Cancel())
	}
	w.done = true
	defer func() { err = errors.Join(err, w.spool.close()) }()
	ctx, cancel := context.WithTimeoutCause(ctx, sendTime, errSlow)
	defer cancel()
	err = w.store.send(ctx, object, w.spool)
	w.store.probe.noteWrite(err)
	if err != nil {
		operation := "PutObject"
		if oe, ok := errors.AsType[*smithy.OperationError](err); ok { // or what it asked before, and may not
			operation = oe.Operation()
		}
		return nil, w.store.failed(ctx, operation, key, err)
	}
	return func() error { return nil }, nil
}

// Cancel implements Writer.
func (w *s3Writer) Cancel() error {
	if w.done {
		return nil
	}
	w.done = true
	return w.spool.close()
}

// send puts the spool's bytes under a key. An object that is there already stays when it has the same bytes, so that a bucket with
// versions or locks sees each blob once; else it is a remnant of something that went wrong, and is replaced.
//
// A server may refuse a condition and hang up before it has read the body: the client then sees a broken connection and no answer. So
// large blobs are asked for first, and after such an end all are.
func (s *S3) send(ctx context.Context, object *string, sp *spool) error {
	if sp.file != nil {
		if there, same, err := s.has(ctx, object, sp); err != nil || same {
			return err
		} else if there {
			return s.put(ctx, object, sp, false)
		}
	}
	for try := range attempts {
		if s.plainPuts.Load() || try == attempts-1 {
			break
		}
		err := s.put(ctx, object, sp, true)
		switch code := statusOf(err); {
		case err == nil:
			return nil
		case code == http.StatusPreconditionFailed, code == 0 && ctx.Err() == nil:
			there, same, errHas := s.has(ctx, object, sp)
			if errHas != nil || same {
				return errHas
			}
			if there {
				return s.put(ctx, object, sp, false)
			}
			if code == 0 {
				return err
			}
		case code == http.StatusConflict && apiCode(err) == "ConditionalRequestConflict":
			// Another one sends the same key, or deletes it, in this moment.
		case knowsNoConditions(err):
			s.plainPuts.Store(true)
		default:
			return err
		}
	}
	return s.put(ctx, object, sp, false)
}

// knowsNoConditions says that a server refuses If-None-Match as such.
func knowsNoConditions(err error) bool {
	return statusOf(err) == http.StatusNotImplemented || statusOf(err) == http.StatusBadRequest && apiCode(err) == "NotImplemented"
}

// put is one PutObject, with what lets the server check that it got the right bytes: their length and their SHA-256, which the
// spool knows already, so that the SDK need not read them once more.
func (s *S3) put(ctx context.Context, object *string, sp *spool, ifAbsent bool) error {
	sum := sp.hash.Sum(nil)
	in := &sdk.PutObjectInput{Bucket: &s.options.Bucket, Key: object, Body: sp.reader(), ContentLength: &sp.size,
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum))}
	if ifAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	if e := s.options.Encryption; e != "" {
		in.ServerSideEncryption = types.ServerSideEncryption(e)
	}
	if k := s.options.KMSKeyID; k != "" {
		in.SSEKMSKeyId = &k
	}
	out, err := s.client.PutObject(ctx, in, func(o *sdk.Options) {
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("KnownPayloadHash",
				func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
					return next.HandleInitialize(v4.SetPayloadHash(ctx, hex.EncodeToString(sum)), in)
				}), middleware.Before)
		})
	})
	if err == nil && aws.ToString(out.ETag) == "" {
		err = errAlien // each S3 server names the object that it took; a web page is no promise to keep anything
	}
	return err
}

// has asks whether there is an object under a key, and whether it has the spool's bytes: by length, and by SHA-256 where the server
// keeps it.
func (s *S3) has(ctx context.Context, object *string, sp *spool) (there, same bool, err error) {
	head, err := s.client.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: &s.options.Bucket, Key: object, ChecksumMode: types.ChecksumModeEnabled})
	if statusOf(err) == http.StatusNotFound {
		return false, false, nil // or there is no bucket, which the PUT that follows finds out
	}
	if err != nil {
		return false, false, err
	}
	if aws.ToInt64(head.ContentLength) != sp.size {
		return true, false, nil
	}
	if sum := aws.ToString(head.ChecksumSHA256); sum != "" {
		return true, sum == base64.StdEncoding.EncodeToString(sp.hash.Sum(nil)), nil
	}
	same, err = s.hasBytes(ctx, object, sp)
	return true, same, err
}

// hasBytes compares the bytes themselves, for servers that keep no checksum. It is asked only when a key is sent a second time.
func (s *S3) hasBytes(ctx context.Context, object *string, sp *spool) (bool, error) {
	got, err := s.client.GetObject(ctx, &sdk.GetObjectInput{Bucket: &s.options.Bucket, Key: object})
	if err != nil {
		return false, err
	}
	defer func() { _ = got.Body.Close() }() // it was read only
	same, err := sameBytes(got.Body, sp.reader())
	if err != nil {
		return false, fmt.Errorf("compare with what is there: %w", err)
	}
	return same, nil
}

// sameBytes compares two streams.
func sameBytes(a, b io.Reader) (bool, error) {
	bufA, bufB := make([]byte, 32<<10), make([]byte, 32<<10)
	for {
		n, errA := io.ReadFull(a, bufA)
		m, errB := io.ReadFull(b, bufB)
		if string(bufA[:n]) != string(bufB[:m]) {
			return false, nil
		}
		endA, endB := errA == io.EOF || errA == io.ErrUnexpectedEOF, errB == io.EOF || errB == io.ErrUnexpectedEOF
		switch {
		case errA != nil && !endA:
			return false, errA
		case errB != nil && !endB:
			return false, errB
		case endA || endB:
			return endA == endB, nil
		}
	}
}
