package registry

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// Keys of Secrets that others make.
const (
	uriKey          = "uri" // CloudNativePG's
	caKey           = "ca.crt"
	accessKeyID     = "AWS_ACCESS_KEY_ID"
	secretAccessKey = "AWS_SECRET_ACCESS_KEY"
	sessionToken    = "AWS_SESSION_TOKEN"
)

// secretRef is a Secret that somebody else makes, and the pod mounts.
type secretRef struct {
	name      string   // of the Secret
	keys      []string // that must hold something
	more      []string // keys that may hold something
	field     string   // of the spec, which names the Secret
	volume    string   // of the pod; its folder is secretDir(volume)
	file      string   // name of the file of the one key that is mounted; empty: all keys, each a file of its name
	condition string   // that tells what is missing
	optional  bool     // the pod can start without
}

// The volumes of a pod that hold Secrets of others. A CA has a volume of its own.
const (
	postgresVolume = "postgres"
	storageVolume  = "s3"
	backupVolume   = "backup"
	restoreVolume  = "restore"
	caSuffix       = "-ca"
)

// secretDir is where a pod finds a volume with a Secret.
func secretDir(volume string) string { return "/etc/crateyard/" + volume }

// secretRefs lists all that a Registry's pod mounts of others. Whoever asks what a Secret is for, or whether one matters, asks
// here.
func secretRefs(r *v1alpha1.Registry) []secretRef {
	var refs []secretRef
	add := func(ref secretRef) { refs = append(refs, ref) }
	if pg := r.Spec.Catalog.Postgres; pg != nil {
		base := secretRef{condition: v1alpha1.CatalogReadyCondition}
		add(base.oneKey(pg.URISecretRef, uriKey, "spec.catalog.postgres.uriSecretRef", postgresVolume))
		if pg.CASecretRef != nil {
			add(base.oneKey(*pg.CASecretRef, caKey, "spec.catalog.postgres.caSecretRef", postgresVolume+caSuffix))
		}
	}
	bucket := func(s3 v1alpha1.S3Location, field, volume string, base secretRef) {
		if s3.CredentialsSecretRef != nil {
			ref := base
			ref.name, ref.field, ref.volume = string(s3.CredentialsSecretRef.Name), field+".credentialsSecretRef", volume
			ref.keys, ref.more = []string{accessKeyID, secretAccessKey}, []string{sessionToken}
			add(ref)
		}
		if s3.CASecretRef != nil {
			add(base.oneKey(*s3.CASecretRef, caKey, field+".caSecretRef", volume+caSuffix))
		}
	}
	if s := r.Spec.Storage.S3; s != nil {
		bucket(s.S3Location, "spec.storage.s3", storageVolume, secretRef{condition: v1alpha1.StorageReadyCondition})
	}
	if b := r.Spec.Backup; b != nil { // a registry without backup is better than none
		bucket(b.S3, "spec.backup.s3", backupVolume, secretRef{condition: v1alpha1.BackupReadyCondition, optional: true})
	}
	if restoring(r) {
		bucket(r.Spec.RestoreFrom.S3, "spec.restoreFrom.s3", restoreVolume, secretRef{condition: v1alpha1.StorageReadyCondition})
	}
	return refs
}

// oneKey gives a reference to one key, whose file has the name that the key has by custom.
func (ref secretRef) oneKey(to v1alpha1.SecretKeyReference, custom, field, volume string) secretRef {
	key := to.Key
	if key == "" {
		key = custom
	}
	ref.name, ref.keys, ref.field, ref.volume, ref.file = string(to.Name), []string{key}, field, volume, custom
	return ref
}

// ReferencedSecrets names the Secrets of others that a Registry depends on, for an index.
func ReferencedSecrets(r *v1alpha1.Registry) []string {
	var names []string
	for _, ref := range secretRefs(r) {
		names = append(names, ref.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// observeSecrets reads the Secrets of others: what is missing, and a digest by which a change is noticed.
func (s *scope) observeSecrets(ctx context.Context) error {
	refs := secretRefs(s.registry)
	if len(refs) == 0 {
		return nil
	}
	var all bytes.Buffer
	for _, ref := range refs {
		secret := &corev1.Secret{}
		// The cache holds what the operator made; a metadata-only one tells when these change.
		err := s.Live.Get(ctx, s.key(ref.name), secret)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("reading Secret %s: %w", ref.name, err)
		}
		if found := ref.missing(secret, err == nil); found.reason != "" {
			if s.facts.missing == nil {
				s.facts.missing = map[string]finding{}
			}
			if s.facts.missing[ref.condition].reason == "" {
				s.facts.missing[ref.condition] = found
			}
			s.facts.blocked = s.facts.blocked || !ref.optional
		}
		ref.write(&all, secret)
	}
	sum := sha256.Sum256(all.Bytes())
	s.facts.secrets = sum[:]
	return nil
}

// missing says what a Secret lacks.
func (ref secretRef) missing(secret *corev1.Secret, there bool) finding {
	if !there {
		return finding{v1alpha1.ReasonSecretMissing, fmt.Sprintf("there is no Secret %s; make it, or name another in %s", ref.name, ref.field), ""}
	}
	for _, key := range ref.keys {
		if len(bytes.TrimSpace(secret.Data[key])) == 0 {
			return finding{v1alpha1.ReasonSecretKeyMissing, fmt.Sprintf("Secret %s has nothing under the key %s, which %s needs; put it there, or name another Secret", ref.name, key, ref.field), ""}
		}
	}
	return finding{}
}

// write adds what matters of a Secret to that which replaces the pods when it changes. Credentials that expire are left out:
// they are replaced every hour or so, and the server reads the files anew by itself.
func (ref secretRef) write(all *bytes.Buffer, secret *corev1.Secret) {
	if len(secret.Data[sessionToken]) > 0 && slices.Contains(ref.more, sessionToken) {
		fmt.Fprintf(all, "%s temporary\n", ref.volume)
		return
	}
	for _, key := range slices.Concat(ref.keys, ref.more) {
		fmt.Fprintf(all, "%s %q %q\n", ref.volume, key, secret.Data[key])
	}
}
