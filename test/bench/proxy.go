package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"golang.org/x/sync/errgroup"

	"github.com/crateyard/crateyard/registry/storage"
	"github.com/crateyard/crateyard/test/s3"
	"github.com/crateyard/crateyard/test/upload"
)

// noCache has a server keep no copies of what is in S3: a line of the configuration, below storage.
const noCache = "  cache: {size: 0}\n"

// download is a crate that was published, and the two addresses at which it can be had.
type download struct {
	ours, direct string
	size         int64
}

// publishLarge publishes so many crates of so many bytes.
func (r *replicas) publishLarge(ctx context.Context, name string, n, size int) ([]download, error) {
	var all []download
	noise := make([]byte, size)
	for i := range n {
		if _, err := rand.Read(noise); err != nil {
			return nil, err
		}
		v := upload.New(name, fmt.Sprintf("1.%d.0", i), noise)
		if status, text, err := r.clients[0].Do(http.MethodPut, "/api/v1/crates/new", v.Frame); err != nil || status != http.StatusOK {
			return nil, fmt.Errorf("publish: %d %s %w", status, text, err)
		}
		direct, err := directAddress(ctx, r.bucket, v)
		if err != nil {
			return nil, err
		}
		all = append(all, download{r.servers[0].URL + "/crates/" + v.Name + "/" + v.Version + "/download", direct, int64(len(v.Archive))})
	}
	return all, nil
}

// largeCrate is a little less than what may be published where nothing else is said, 10 MiB.
const largeCrate = 10<<20 - 10_000

// measureProxyWarm downloads a crate that the server has in its cache, in turns with getting the object from S3 itself.
func measureProxyWarm(ctx context.Context, b *bench) (result, error) {
	return withReplicas(b, 1, true, "", func(r *replicas) (result, error) {
		all, err := r.publishLarge(ctx, "bench-warm", 1, largeCrate)
		if err != nil {
			return result{}, err
		}
		one, ratio, err := proxy(ctx, b, all, "download of 10 MiB that was downloaded before, over S3", "0.80")
		one.missed = atLeast("the ratio", ratio, 0.8)
		return one, err
	})
}

// measureProxyCold downloads crates for the first time, each from S3 and into the cache.
func measureProxyCold(ctx context.Context, b *bench) (result, error) {
	return withReplicas(b, 1, true, "", func(r *replicas) (result, error) {
		const first = 8 // in one round
		all, err := r.publishLarge(ctx, "bench-cold", first*b.rounds, largeCrate)
		if err != nil {
			return result{}, err
		}
		var ours, theirs, ratios []float64
		for round := range slices.Chunk(all, first) {
			var o, t time.Duration
			for _, d := range round { // in turns: none can be read twice
				begin := time.Now()
				if err := readAll(ctx, d.direct, d.size, io.Discard); err != nil {
					return result{}, err
				}
				t += time.Since(begin)
				begin = time.Now()
				if err := readAll(ctx, d.ours, d.size, io.Discard); err != nil {
					return result{}, err
				}
				o += time.Since(begin)
			}
			ours, theirs, ratios = append(ours, first/o.Seconds()), append(theirs, first/t.Seconds()), append(ratios, t.Seconds()/o.Seconds())
		}
		return result{"first download of 10 MiB, over S3", perSec(median(ours)), "from S3 itself: " + perSec(median(theirs)),
			fmt.Sprintf("%.2f", median(ratios)), "", nil}, nil
	})
}

// measureProxyUncached is measureProxyWarm for a server without a cache.
func measureProxyUncached(ctx context.Context, b *bench) (result, error) {
	return withReplicas(b, 1, true, noCache, func(r *replicas) (result, error) {
		all, err := r.publishLarge(ctx, "bench-uncached", 1, largeCrate)
		if err != nil {
			return result{}, err
		}
		one, _, err := proxy(ctx, b, all, "download of 10 MiB, over S3, without a cache", "")
		return one, err
	})
}

func proxy(ctx context.Context, b *bench, all []download, work, least string) (_ result, ratio float64, err error) {
	if err := readAll(ctx, all[0].ours, all[0].size, io.Discard); err != nil { // the first download
		return result{}, 0, err
	}
	var ours, theirs, ratios []float64
	for range b.rounds {
		o, err := readFor(ctx, b.length, all[0].ours, all[0].size)
		if err != nil {
			return result{}, 0, err
		}
		t, err := readFor(ctx, b.length, all[0].direct, all[0].size)
		if err != nil {
			return result{}, 0, err
		}
		ours, theirs, ratios = append(ours, o), append(theirs, t), append(ratios, o/t)
	}
	ratio = median(ratios)
	return result{work, perSec(median(ours)), "from S3 itself: " + perSec(median(theirs)), fmt.Sprintf("%.2f", ratio), least, nil}, ratio, nil
}

// measureProxyMemory has a hundred clients take a large crate for the first time, all at the same time and for two seconds, and compares the
// server's memory meanwhile with that when they take a small one in the same way; on a server with a cache, and on one without.
func measureProxyMemory(ctx context.Context, b *bench) (result, error) {
	var figures, grown [2]string
	var missed [2][]string
	for i, config := range []string{"", noCache} {
		if _, err := withReplicas(b, 1, true, config, func(r *replicas) (result, error) {
			large, err := r.publishLarge(ctx, "bench-large", b.rounds+1, largeCrate)
			if err != nil {
				return result{}, err
			}
			small, err := r.publishLarge(ctx, "bench-small", b.rounds+1, 1<<20)
			if err != nil {
				return result{}, err
			}
			var most, more []float64
			for round := range large {
				before, err := r.memoryOf(ctx, small[round])
				if err != nil {
					return result{}, err
				}
				with, err := r.memoryOf(ctx, large[round])
				if err != nil {
					return result{}, err
				}
				if round > 0 { // the first is to warm up
					most, more = append(most, with), append(more, with-before)
				}
			}
			figures[i], grown[i] = fmt.Sprintf("%.0f MiB", median(most)), fmt.Sprintf("%+.1f MiB", median(more))
			missed[i] = atMost("the growth in MiB", math.Abs(median(more)), 5)
			return result{}, nil
		}); err != nil {
			return result{}, err
		}
	}
	return result{"resident memory, 100 downloads of 10 MiB over S3 at once; without a cache", figures[0] + "; " + figures[1],
		"beside 100 of 1 MiB", grown[0] + "; " + grown[1], "at most ±5 MiB", misses(missed[:]...)}, nil
}

// memoryOf is the most memory that the server takes while a hundred clients take a crate in two seconds.
func (r *replicas) memoryOf(ctx context.Context, d download) (float64, error) {
	var work errgroup.Group
	for range s3Readers {
		work.Go(func() error { return readAll(ctx, d.ours, d.size, slowly(d.size)) })
	}
	return mostOf(strconv.Itoa(r.servers[0].Pid), work.Wait)
}

// readFor gets an address again and again and gives how often it did in a second.
func readFor(ctx context.Context, length time.Duration, address string, size int64) (float64, error) {
	begin, n := time.Now(), 0
	for ; time.Since(begin) < length; n++ {
		if err := readAll(ctx, address, size, io.Discard); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(begin).Seconds(), nil
}

var plainClient = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 200, ReadBufferSize: 64 << 10}}

func readAll(ctx context.Context, address string, size int64, to io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	resp, err := plainClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	n, err := io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{resp.Body}, make([]byte, 64<<10))
	if err == nil && (n != size || resp.StatusCode != http.StatusOK) {
		err = fmt.Errorf("%s: %s, %d bytes", strings.SplitN(address, "?", 2)[0], resp.Status, n)
	}
	return err
}

// directAddress is where S3 itself gives the archive to anybody.
func directAddress(ctx context.Context, bucket *s3.Server, v upload.Crate) (string, error) {
	client := sdk.NewPresignClient(bucket.Client())
	name, err := onlyBucket(ctx, bucket)
	if err != nil {
		return "", err
	}
	key := storage.CrateKey(v.Name, v.Version, v.SHA256)
	signed, err := client.PresignGetObject(ctx, &sdk.GetObjectInput{Bucket: &name, Key: &key}, sdk.WithPresignExpires(time.Hour))
	if err != nil {
		return "", err
	}
	return signed.URL, nil
}

// onlyBucket is the bucket that the servers use: there is no other.
func onlyBucket(ctx context.Context, server *s3.Server) (string, error) {
	list, err := server.Client().ListBuckets(ctx, &sdk.ListBucketsInput{})
	if err != nil || len(list.Buckets) != 1 {
		return "", fmt.Errorf("buckets: %v %w", list, err)
	}
	return *list.Buckets[0].Name, nil
}
