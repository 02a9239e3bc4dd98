package storage

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
)

// S3Options say where a bucket is and how to reach it.
type S3Options struct {
	Bucket         string
	Region         string // empty: as the environment says, else us-east-1
	Endpoint       string // empty: as the environment says, else Amazon's for the region
	Prefix         string // before all keys, without slashes at its ends; empty: the whole bucket
	ForcePathStyle bool   // the bucket in the path instead of the host's name
	// CredentialsDir holds the files AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps AWS_SESSION_TOKEN; what they hold counts
	// within a second. Empty: the AWS chain of environment, files, web identity and instance.
	CredentialsDir string
	// Setting is where all this stands in the configuration, for words about what is wrong. Empty: storage.s3.
	Setting    string
	Encryption string // AES256, aws:kms, or empty: as the bucket has it
	KMSKeyID   string // of aws:kms; empty: the bucket's own
	CAFile     string // PEM certificates to believe besides the system's
	SpoolDir   string // where uploads larger than spoolMemory wait for their end; empty: os.TempDir
	Observer   S3Observer
	Log        *slog.Logger // nil: slog.Default

	stall, headers, backoff time.Duration // tests shorten these; 0: stallTimeout, headerTimeout, mostBackoff
}

// S3Observer is told of each request that is made. It must be quick and safe for concurrent use.
type S3Observer interface {
	// Request tells that S3 began to answer, or that it did not. operation is S3's name for it, such as GetObject. code is the HTTP
	// status, or one of timeout, stalled, canceled and unreachable. retry says that the same was tried before.
	Request(operation, code string, took time.Duration, retry bool)
	// Bytes tells of bytes of bodies, as they come and go.
	Bytes(sent, received int)
}

// Bounds of one call. All but a body's transfer ends within callTime, whatever the retries; a body is cut off when it stands still.
const (
	callTime      = time.Minute
	sendTime      = 10 * time.Minute // for the whole of a Commit: the largest crate at 100 kB/s
	dialTimeout   = 5 * time.Second
	headerTimeout = 20 * time.Second // from the end of a request to the begin of its answer
	stallTimeout  = 20 * time.Second // without one byte, in either direction
	attempts      = 4
	mostBackoff   = 2 * time.Second // between attempts
)

// S3 is a Store in a bucket. See docs/adr/0006-blobs-on-s3.md.
type S3 struct {
	options S3Options
	prefix  string // empty, or with a slash at its end
	client  *sdk.Client
	presign *sdk.PresignClient
	close   func()
	spools  spoolMemories

	plainPuts atomic.Bool // the server knows no conditional writes
	probe     writeProbe
}

// OpenS3 prepares a store. It reads local files only: a bucket that is away shows in Check, so that a server can start meanwhile.
func OpenS3(ctx context.Context, o S3Options) (*S3, error) {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	var sign signer
	httpClient, closeIdle, err := s3HTTP(o, &sign.clock)
	if err != nil {
		return nil, err
	}
	load := []func(*config.LoadOptions) error{
		// Presigned addresses live no longer than what signed them: see Presign.
		config.WithCredentialsCacheOptions(func(c *aws.CredentialsCacheOptions) { c.ExpiryWindow = presignMost }),
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	} else {
		load = append(load, config.WithDefaultRegion("us-east-1"))
	}
	if o.CredentialsDir != "" {
		keys := &dirCredentials{dir: o.CredentialsDir}
		if _, err := keys.Retrieve(ctx); err != nil {
			return nil, err
		}
		load = append(load, config.WithCredentialsProvider(keys))
	}
	c, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("configuration of S3: %w", err)
	}
	s := &S3{options: o, close: closeIdle}
	if o.Prefix != "" {
		s.prefix = strings.Trim(o.Prefix, "/") + "/"
	}
	s.client = sdk.NewFromConfig(c, func(so *sdk.Options) {
		so.HTTPClient = httpClient
		so.HTTPSignerV4 = &sign
		so.Credentials = keyed{c.Credentials}
		so.UsePathStyle = o.ForcePathStyle
		so.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts, r.MaxBackoff = attempts, cmp.Or(o.backoff, mostBackoff)
			r.Retryables = append(r.Retryables, retry.RetryableErrorCode{Codes: damagedOnTheWay}, retry.IsErrorRetryableFunc(brokenOff))
		})
		// A checksum is sent with each blob (see send), and cargo checks each download: no more are asked for.
		so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		so.Logger = nil
		if o.Endpoint != "" {
			so.BaseEndpoint = aws.String(o.Endpoint)
		}
	})
	s.presign = sdk.NewPresignClient(s.client, func(po *sdk.PresignOptions) { po.Presigner = &sign })
	s.probe.init(checkPrefix + randomName())
	spoolDir := o.SpoolDir
	if spoolDir == "" {
		spoolDir = os.TempDir()
	}
	s.spools = newSpoolMemories(spoolDir)
	return s, nil
}

// Close drops idle connections; blobs that are open stay readable.
func (s *S3) Close() error {
	s.probe.stop()
	s.close()
	return nil
}

// object is the whole key of a blob.
func (s *S3) object(key string) (*string, error) {
	if !fs.ValidPath(key) || key == "." {
		return nil, fmt.Errorf("invalid key %q", key)
	}
	return aws.String(s.prefix + key), nil
}

// bounded gives a small call its time.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, callTime, errSlow)
}

// errSlow is why a call was ended that took too long altogether.
var errSlow = errors.New("no end within the time allowed")
