package backup

import (
	"fmt"
	"regexp"
	"strings"
)

// scheme is how an address begins; no path of a folder that anybody means does. Of "s3//bucket" the colon is missing.
var scheme = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*:|[sS]3//)`)

// ParseTarget tells how a target is named: s3://BUCKET/PREFIX, perhaps with a query behind it, or else the path of a folder. An error is a bucket without
// a name, or an address of another kind: as a folder it would be made in whatever folder the command runs, and be no backup.
func ParseTarget(text string) (bucket, keyPrefix string, isBucket bool, err error) {
	rest, isBucket := strings.CutPrefix(text, "s3://")
	if isBucket {
		rest, _, _ = strings.Cut(rest, "?")
		bucket, keyPrefix, _ = strings.Cut(rest, "/")
		if bucket == "" {
			return "", "", true, fmt.Errorf("%s: name a bucket: s3://BUCKET/PREFIX", text)
		}
		return bucket, strings.Trim(keyPrefix, "/"), true, nil
	}
	return "", "", false, CheckFolder(text)
}

// CheckFolder reports why a text is not believed to be the path of a folder.
func CheckFolder(text string) error {
	if scheme.MatchString(text) {
		return fmt.Errorf("%s: say the path of a folder, or a bucket as s3://BUCKET/PREFIX; a folder that is called so is ./%s", text, text)
	}
	return nil
}
