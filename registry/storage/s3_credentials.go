package storage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// keysAge is for how long keys from files are used without a look at the files: a rotated Secret takes hold after it.
const keysAge = time.Second

// dirCredentials are keys in the files of a folder.
type dirCredentials struct {
	dir string

	mu   sync.Mutex
	keys aws.Credentials
	read time.Time
}

// Retrieve implements aws.CredentialsProvider.
func (d *dirCredentials) Retrieve(context.Context) (aws.Credentials, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.read) < keysAge {
		return d.keys, nil
	}
	id, err := d.file("AWS_ACCESS_KEY_ID")
	secret, err2 := d.file("AWS_SECRET_ACCESS_KEY")
	session, err3 := d.file("AWS_SESSION_TOKEN")
	if errors.Is(err3, fs.ErrNotExist) {
		err3 = nil
	}
	if err := errors.Join(err, err2, err3); err != nil {
		return aws.Credentials{}, fmt.Errorf("%w: %w", errNoKeys, err)
	}
	if id == "" || secret == "" {
		return aws.Credentials{}, fmt.Errorf("%w: AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY in %s is empty", errNoKeys, d.dir)
	}
	// They expire at once, so that whoever remembers keys asks again; age is ours to judge.
	d.keys = aws.Credentials{AccessKeyID: id, SecretAccessKey: secret, SessionToken: session, Source: "files", CanExpire: true}
	d.read = time.Now()
	d.keys.Expires = d.read.Add(keysAge)
	return d.keys, nil
}

func (d *dirCredentials) file(name string) (string, error) {
	data, err := os.ReadFile(filepath.Join(d.dir, name))
	return strings.TrimSpace(string(data)), err
}

// errNoKeys tells that there is nothing to sign requests with.
var errNoKeys = errors.New("no keys for S3")

// keyed says of the errors of what gives keys that they are about keys.
type keyed struct{ aws.CredentialsProvider }

// Retrieve implements aws.CredentialsProvider.
func (k keyed) Retrieve(ctx context.Context) (aws.Credentials, error) {
	keys, err := k.CredentialsProvider.Retrieve(ctx)
	if err != nil && !errors.Is(err, errNoKeys) {
		err = fmt.Errorf("%w: %w", errNoKeys, err)
	}
	return keys, err
}
