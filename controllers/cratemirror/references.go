package cratemirror

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
)

// Keys that Secrets and ConfigMaps have by custom.
const (
	tokenKey    = "token"
	caKey       = "ca.crt"
	lockfileKey = "Cargo.lock"
)

// references are what Secrets and ConfigMaps hold that the spec's upstream names.
type references struct {
	token string
	ca    string // PEM
}

// finding is what is wrong with an entry of the spec; empty: nothing.
type finding struct{ reason, message string }

// ReferencedSecrets names the Secrets that a CrateMirror depends on, for an index.
func ReferencedSecrets(m *v1alpha1.CrateMirror) []string {
	var names []string
	for _, ref := range []*v1alpha1.SecretKeyReference{m.Spec.Upstream.TokenSecretRef, m.Spec.Upstream.CASecretRef} {
		if ref != nil {
			names = append(names, string(ref.Name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ReferencedConfigMaps names the ConfigMaps that a CrateMirror depends on, for an index.
func ReferencedConfigMaps(m *v1alpha1.CrateMirror) []string {
	var names []string
	if ref := m.Spec.Upstream.CAConfigMapRef; ref != nil {
		names = append(names, ref.Name)
	}
	for _, l := range m.Spec.Lockfiles {
		names = append(names, l.ConfigMapKeyRef.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// readReferences reads what the spec's upstream names. What is missing is noted, and does not end the reconcile: the mirror may be there
// already, with what was in the Secret before.
func (s *scope) readReferences(ctx context.Context) error {
	up := s.mirror.Spec.Upstream
	for _, r := range []struct {
		secret    *v1alpha1.SecretKeyReference
		configMap *v1alpha1.ConfigMapKeyReference
		custom    string
		field     string
		to        *string
	}{
		{secret: up.TokenSecretRef, custom: tokenKey, field: "tokenSecretRef", to: &s.refs.token},
		{secret: up.CASecretRef, custom: caKey, field: "caSecretRef", to: &s.refs.ca},
		{configMap: up.CAConfigMapRef, custom: caKey, field: "caConfigMapRef", to: &s.refs.ca},
	} {
		var data []byte
		var found finding
		var err error
		switch field := "spec.upstream." + r.field; {
		case r.secret != nil:
			data, found, err = s.secretKey(ctx, *r.secret, r.custom, field)
		case r.configMap != nil:
			data, found, err = s.configMapKey(ctx, *r.configMap, r.custom, field)
		}
		if err != nil {
			return err
		}
		*r.to += strings.TrimSpace(string(data)) // one of the two that are for certificates is nil
		if s.facts.missing.reason == "" {
			s.facts.missing = found
		}
	}
	s.facts.secret = s.refs.token
	return nil
}

func (s *scope) secretKey(ctx context.Context, ref v1alpha1.SecretKeyReference, custom, field string) ([]byte, finding, error) {
	secret, key := &corev1.Secret{}, ref.Key
	if key == "" {
		key = custom
	}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.mirror.Namespace, Name: string(ref.Name)}, secret)
	if apierrors.IsNotFound(err) {
		return nil, finding{v1alpha1.ReasonSecretMissing, fmt.Sprintf("there is no Secret %s; make it, or name another in %s", ref.Name, field)}, nil
	}
	if err != nil {
		return nil, finding{}, fmt.Errorf("reading Secret %s: %w", ref.Name, err)
	}
	data := secret.Data[key]
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, finding{v1alpha1.ReasonSecretKeyMissing, fmt.Sprintf("Secret %s has nothing under the key %s, which %s needs; put it there, or name another Secret or key", ref.Name, key, field)}, nil
	}
	return data, finding{}, nil
}

func (s *scope) configMapKey(ctx context.Context, ref v1alpha1.ConfigMapKeyReference, custom, field string) ([]byte, finding, error) {
	cm, key := &corev1.ConfigMap{}, ref.Key
	if key == "" {
		key = custom
	}
	err := s.Live.Get(ctx, client.ObjectKey{Namespace: s.mirror.Namespace, Name: ref.Name}, cm)
	if apierrors.IsNotFound(err) {
		return nil, finding{v1alpha1.ReasonConfigMapMissing, fmt.Sprintf("there is no ConfigMap %s; make it, or name another in %s", ref.Name, field)}, nil
	}
	if err != nil {
		return nil, finding{}, fmt.Errorf("reading ConfigMap %s: %w", ref.Name, err)
	}
	data := []byte(cm.Data[key])
	if len(data) == 0 {
		data = cm.BinaryData[key]
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, finding{v1alpha1.ReasonConfigMapKeyMissing, fmt.Sprintf("ConfigMap %s has nothing under the key %s, which %s needs; put it there, or name another ConfigMap or key", ref.Name, key, field)}, nil
	}
	return data, finding{}, nil
}
