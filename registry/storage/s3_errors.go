package storage

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/crateyard/crateyard/registry/fault"
)

// ErrNoWrites tells that a store can be read but takes nothing: errors.Is(err, ErrNoWrites) of what Check and writes give. A server
// may go on serving what it has.
var ErrNoWrites = errors.New("the storage takes no writes")

// errAlien tells of an answer that S3 would not have given.
var errAlien = errors.New("the answer lacks what each S3 server says")

// damagedOnTheWay are S3's words for a blob that arrived other than it was sent: it is sent again.
var damagedOnTheWay = map[string]struct{}{"BadDigest": {}, "XAmzContentSHA256Mismatch": {}, "IncompleteBody": {}, "InvalidDigest": {}}

// brokenOff has an answer asked for again whose text could not be read to its end.
func brokenOff(err error) aws.Ternary {
	if _, ok := errors.AsType[*smithy.DeserializationError](err); ok {
		return aws.TrueTernary
	}
	return aws.UnknownTernary
}

// inStorage is the setting that the words name.
const inStorage = "storage.s3"

// trouble is what is wrong with a bucket, in words for whoever looks after the registry. They name settings and no values: clients
// read them, too.
type trouble struct {
	text     string
	noWrites bool
}

var (
	badKeys     = trouble{text: "the storage does not accept this server's keys; check the keys in storage.s3.credentialsDir, or those of the server's environment"}
	noKeys      = trouble{text: "there are no keys for the bucket; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or storage.s3.credentialsDir"}
	expiredKeys = trouble{text: "this server's keys for its storage have expired; put new ones into storage.s3.credentialsDir"}
	noBucket    = trouble{text: "the bucket of this registry does not exist; check storage.s3.bucket and storage.s3.endpoint"}
	elsewhere   = trouble{text: "the bucket of this registry is in another region; check storage.s3.region and storage.s3.endpoint"}
	noRead      = trouble{text: "this server's keys may not read its bucket; let them list, get, put and delete objects there"}
	noWrite     = trouble{text: "this server's keys may not write to its bucket, or the bucket is read-only; let them put and delete objects there", noWrites: true}
	full        = trouble{text: "the storage is full, or the bucket has reached its quota; make room there", noWrites: true}
	skewed      = trouble{text: "the clocks of this server and its storage differ too much; set them"}
	slowDown    = trouble{text: "the storage asks for fewer requests; try again later"}
	broken      = trouble{text: "the storage has an error of its own; look at its state and log"}
	refused     = trouble{text: "the storage does not understand or allow what this server asks; the server's log says what, and storage.s3 says how it is asked"}
	noServer    = trouble{text: "the storage cannot be reached; check storage.s3.endpoint, the network and whether the storage runs"}
	noTrust     = trouble{text: "the storage's TLS certificate is not trusted; check storage.s3.endpoint and storage.s3.caFile"}
	slow        = trouble{text: "the storage is too slow, or stands still; look at its load and the network"}
	cutOff      = trouble{text: "the storage broke off in the middle of an answer; try again, and look at the network if it stays"}
	changed     = trouble{text: "a stored file was changed while it was read; somebody else writes to the bucket of this registry"}
	alien       = trouble{text: "what answers under the storage's address is no S3 server; check storage.s3.endpoint"}
)

// troubles are S3's error codes, Amazon's and those of other servers.
var troubles = map[string]trouble{
	"InvalidAccessKeyId": badKeys, "SignatureDoesNotMatch": badKeys, "XAdminUserNotFound": badKeys, "AuthorizationHeaderMalformed": badKeys,
	"InvalidToken": badKeys, "InvalidClientTokenId": badKeys, "UnrecognizedClientException": badKeys,
	"ExpiredToken": expiredKeys, "ExpiredTokenException": expiredKeys, "TokenRefreshRequired": expiredKeys,
	"NoSuchBucket": noBucket, "InvalidBucketName": noBucket,
	"PermanentRedirect": elsewhere, "TemporaryRedirect": elsewhere, "IllegalLocationConstraintException": elsewhere,
	"RequestTimeTooSkewed": skewed,
	"QuotaExceeded":        full, "InsufficientStorage": full, "XMinioStorageFull": full, "XMinioAdminBucketQuotaExceeded": full, "EntityTooLarge": full,
	"SlowDown": slowDown, "TooManyRequests": slowDown, "RequestLimitExceeded": slowDown, "Throttling": slowDown,
	"MethodNotAllowed": noWrite, "ObjectLocked": noWrite,
	"RequestTimeout": slow, "PreconditionFailed": changed,
}

// failed puts what went wrong into words: the client's in a fault, with its cause for the log. A missing blob is fs.ErrNotExist, and the
// end of the caller's own context stays what it is.
func (s *S3) failed(ctx context.Context, operation, key string, err error) error {
	if apiCode(err) == "NoSuchKey" {
		return &fs.PathError{Op: operation, Path: key, Err: fs.ErrNotExist}
	}
	cause := fmt.Errorf("s3 %s of %q in bucket %s: %w", operation, key, s.options.Bucket, err)
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return errors.Join(context.Canceled, cause)
	}
	t := diagnose(operation, err)
	if errors.Is(context.Cause(ctx), errSlow) {
		t = slow
	}
	if t.noWrites {
		cause = fmt.Errorf("%w: %w", ErrNoWrites, cause)
	}
	return fault.Wrap(fault.Unavailable, cause, "%s", strings.ReplaceAll(t.text, inStorage, cmp.Or(s.options.Setting, inStorage)))
}

// diagnose finds out what an error means.
func diagnose(operation string, err error) trouble {
	if t, ok := troubles[apiCode(err)]; ok {
		return t
	}
	writes := operation == "PutObject" || operation == "DeleteObject"
	switch code := statusOf(err); {
	case errors.Is(err, errNoKeys):
		return noKeys
	case errors.Is(err, errAlien):
		return alien
	case code == http.StatusUnauthorized:
		return badKeys
	case code == http.StatusForbidden && writes:
		return noWrite
	case code == http.StatusForbidden:
		return noRead
	case code >= 300 && code < 400:
		return elsewhere
	case code == http.StatusNotFound:
		return alien // neither a key nor a bucket, by its code
	case code == http.StatusMethodNotAllowed:
		return noWrite
	case code == http.StatusRequestTimeout:
		return slow
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable:
		return slowDown
	case code == http.StatusInsufficientStorage:
		return full
	case code >= 500:
		return broken
	case code >= 400:
		return refused
	case code >= 200 && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errStalled):
		return alien
	}
	return diagnoseNetwork(err)
}

// diagnoseNetwork is for requests that got no answer, or half of one.
func diagnoseNetwork(err error) trouble {
	var (
		timeout     net.Error
		dial        *net.OpError
		dns         *net.DNSError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &certificate):
		return noTrust
	case errors.As(err, &dns), errors.As(err, &dial) && dial.Op == "dial":
		return noServer
	case errors.Is(err, errStalled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return slow
	}
	return cutOff
}

// statusOf is the HTTP status of the answer that an error tells of, or 0.
func statusOf(err error) int {
	if re, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		return re.HTTPStatusCode()
	}
	return 0
}

// apiCode is S3's own word for an error, or empty.
func apiCode(err error) string {
	if ae, ok := errors.AsType[smithy.APIError](err); ok {
		return ae.ErrorCode()
	}
	return ""
}

// randomName is a name that nobody else uses.
func randomName() string { return strings.ToLower(rand.Text()) }
