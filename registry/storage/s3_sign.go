package storage

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signer is the SDK's signer for one pair of keys at a time. That one remembers what it derives from a secret by the id alone, so a
// secret that changes under the same id, as it may on servers that are not Amazon's, would not take hold until the next day.
type signer struct {
	mu     sync.Mutex
	secret string
	v4     *v4.Signer
	clock  serverClock
}

func (s *signer) of(keys aws.Credentials) *v4.Signer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.v4 == nil || keys.SecretAccessKey != s.secret {
		s.v4 = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }) // S3 signs paths as they are
		s.secret = keys.SecretAccessKey
	}
	return s.v4
}

// SignHTTP signs a request.
func (s *signer) SignHTTP(ctx context.Context, keys aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, o ...func(*v4.SignerOptions)) error {
	return s.of(keys).SignHTTP(ctx, keys, r, payloadHash, service, region, at, o...)
}

// PresignHTTP signs an address, as of the time that it is for the server.
func (s *signer) PresignHTTP(ctx context.Context, keys aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, o ...func(*v4.SignerOptions)) (string, http.Header, error) {
	return s.of(keys).PresignHTTP(ctx, keys, r, payloadHash, service, region, s.clock.of(at), o...)
}
