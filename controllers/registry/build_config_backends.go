package registry

import (
	"time"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// What follows are the parts of the server's configuration that say where things lie and what looks after them.
type (
	serverStorage struct {
		Folder   string       `json:"folder,omitempty"`
		S3       *serverS3    `json:"s3,omitempty"`
		Delivery string       `json:"delivery,omitempty"`
		Cache    *serverCache `json:"cache,omitempty"`
	}

	serverCache struct {
		Size int64 `json:"size"` // 0 turns it off, and so is written
	}

	serverS3 struct {
		Bucket         string `json:"bucket"`
		Region         string `json:"region,omitempty"`
		Endpoint       string `json:"endpoint,omitempty"`
		Prefix         string `json:"prefix,omitempty"`
		ForcePathStyle bool   `json:"forcePathStyle,omitempty"`
		CredentialsDir string `json:"credentialsDir,omitempty"`
		Encryption     string `json:"encryption,omitempty"`
		KMSKeyID       string `json:"kmsKeyID,omitempty"`
		CAFile         string `json:"caFile,omitempty"`
	}

	serverCatalog struct {
		Postgres serverPostgres `json:"postgres"`
	}

	serverPostgres struct {
		URIFile        string `json:"uriFile"`
		MaxConnections int32  `json:"maxConnections,omitempty"`
	}

	serverScrub struct {
		Rate int64 `json:"rate"` // 0 turns it off, and so is written
	}

	serverBackup struct {
		Schedule string    `json:"schedule,omitempty"`
		S3       *serverS3 `json:"s3"`
		Keep     int32     `json:"keep,omitempty"`
	}

	serverRestore struct {
		S3   *serverS3 `json:"s3"`
		Name string    `json:"name,omitempty"`
	}
)

// backends fills in where things lie and what looks after them.
func (p Params) backends(c *serverConfig) {
	spec := &p.Registry.Spec
	c.Instance = p.Registry.Namespace + "/" + p.name()
	c.TakeOver = takesOver(p.Registry)
	if pg := spec.Catalog.Postgres; pg != nil {
		c.Catalog = &serverCatalog{serverPostgres{URIFile: secretDir(postgresVolume) + "/" + uriKey, MaxConnections: pg.MaxConnections}}
	}
	switch {
	case spec.Storage.S3 != nil:
		c.Storage = &serverStorage{S3: bucket(spec.Storage.S3.S3Location, storageVolume), Delivery: spec.Storage.S3.Delivery}
		if size := spec.Storage.S3.CacheSize; size != nil {
			c.Storage.Cache = &serverCache{size.Value()}
		}
	case spec.Catalog.Postgres != nil:
		c.Storage = &serverStorage{Folder: cratesFolder}
	}
	c.Sweep, c.Audit = spec.Sweep, audit(spec.Audit)
	if spec.Scrub != nil && spec.Scrub.Rate != nil {
		c.Scrub = &serverScrub{spec.Scrub.Rate.Value()}
	}
	if b := spec.Backup; b != nil {
		c.Backup = &serverBackup{Schedule: b.Schedule, S3: bucket(b.S3, backupVolume), Keep: b.Keep}
		if b.Suspend || badSchedule(p.Registry) != "" { // where backups lie is still said, for one that is made by hand
			c.Backup.Schedule = ""
		}
	}
	if restoring(p.Registry) {
		c.RestoreFrom = &serverRestore{S3: bucket(spec.RestoreFrom.S3, restoreVolume), Name: spec.RestoreFrom.Name}
	}
}

// minAuditKeep is the least that a server keeps its audit for; it does not start with less.
const minAuditKeep = 24 * time.Hour

// audit renders how long the audit is kept. What an older schema let in below the least is the least: to keep records for longer than was
// asked loses nothing, and a server that does not start serves nobody.
func audit(spec *v1alpha1.AuditSpec) *v1alpha1.AuditSpec {
	if shortAudit(spec) {
		return &v1alpha1.AuditSpec{Keep: "24h"}
	}
	return spec
}

// shortAudit reports whether the audit is to be kept for less than the least.
func shortAudit(spec *v1alpha1.AuditSpec) bool {
	if spec == nil {
		return false
	}
	keep, err := time.ParseDuration(string(spec.Keep))
	return err == nil && keep > 0 && keep < minAuditKeep
}

// bucket renders a bucket whose credentials, if there are any, are mounted under the name of a volume.
func bucket(l v1alpha1.S3Location, volume string) *serverS3 {
	s := &serverS3{Bucket: l.Bucket, Region: l.Region, Endpoint: l.Endpoint, Prefix: l.Prefix, ForcePathStyle: l.ForcePathStyle}
	if l.CredentialsSecretRef != nil {
		s.CredentialsDir = secretDir(volume)
	}
	if l.CASecretRef != nil {
		s.CAFile = secretDir(volume+caSuffix) + "/" + caKey
	}
	if l.Encryption != nil {
		s.Encryption, s.KMSKeyID = l.Encryption.Type, l.Encryption.KMSKeyID
	}
	return s
}

// takesOver reports whether a Registry may take what says that it belongs to another.
func takesOver(r *v1alpha1.Registry) bool {
	return r.Annotations[v1alpha1.TakeOverAnnotation] == "true"
}
