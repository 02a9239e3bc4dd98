package registry

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/departed"
	"github.com/crateyard/crateyard/controllers/internal/names"
	"github.com/crateyard/crateyard/controllers/internal/outcome"
)

// validate stands behind the schema, for objects that were stored under an older one.
func (s *scope) validate(context.Context) error {
	if n := replicas(s.registry); n > 1 && !scalable(s.registry) {
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "spec.replicas is %d: replicas above 1 need spec.catalog.postgres, and spec.storage.s3 or a volume with spec.storage.filesystem.accessMode ReadWriteMany; set them, or set replicas to 1", n)
	}
	if s.image() == "" {
		return outcome.Stall(v1alpha1.ReasonInvalidSpec, "the operator was started without --image, and spec.image is empty; set one of them")
	}
	if given := s.registry.Spec.Resources; given != nil {
		for _, name := range slices.Sorted(maps.Keys(given.Requests)) {
			request := given.Requests[name]
			if limit, ok := given.Limits[name]; ok && request.Cmp(limit) > 0 {
				return outcome.Stall(v1alpha1.ReasonInvalidSpec, "spec.resources.requests asks for %s %s, and spec.resources.limits allows %s: no pod can have less than it asks for; lower the request, or raise the limit", &request, name, &limit)
			}
		}
	}
	return nil
}

// observeVolume finds the volume of this Registry, or of an earlier one of its name.
func (s *scope) observeVolume(ctx context.Context) error {
	if !needsVolume(s.registry) {
		return nil
	}
	pvc := &corev1.PersistentVolumeClaim{}
	err := s.Client.Get(ctx, s.key(names.Data(s.registry.Name)), pvc)
	if apierrors.IsNotFound(err) {
		err = s.Live.Get(ctx, s.key(names.Data(s.registry.Name)), pvc)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the volume: %w", err)
	}
	s.facts.volume = pvc
	if class := otherClass(s.registry, pvc); class != "" {
		return outcome.WaitFor(pollUnbound, v1alpha1.ReasonStorageClassMissing, "PersistentVolumeClaim %s of an earlier Registry never got a volume, and asks for one of StorageClass %s, which cannot be changed; "+
			"delete it, for it holds nothing", pvc.Name, class)
	}
	if pvc.DeletionTimestamp != nil && doomed(s.registry, pvc) != "" {
		return outcome.WaitFor(pollUnbound, v1alpha1.ReasonVolumeDeleted, "%s", doomed(s.registry, pvc))
	}
	if was := pvc.Annotations[names.RegistryUIDAnnotation]; was != "" && was != string(s.registry.UID) && pvc.DeletionTimestamp == nil {
		s.facts.adopting = true
	}
	return nil
}

// doomed says of a volume that is being deleted what becomes of its data; empty where that is an earlier Registry's, which asked for its deletion.
func doomed(r *v1alpha1.Registry, pvc *corev1.PersistentVolumeClaim) string {
	if by := metav1.GetControllerOf(pvc); by != nil && by.UID != r.UID {
		return ""
	}
	return fmt.Sprintf("somebody deleted PersistentVolumeClaim %s: its data goes when the pod stops, and an empty volume takes its place. "+
		"Nothing can call that back: make a backup before (docs/operations.md), or have PersistentVolume %s kept with persistentVolumeReclaimPolicy Retain", pvc.Name, pvc.Spec.VolumeName)
}

// pollUnbound is when to look again at a claim that somebody has to delete.
const pollUnbound = 15 * time.Second

// otherClass gives the storage class of a claim that was never bound, where the spec names another one: the API server would refuse the spec's.
func otherClass(r *v1alpha1.Registry, pvc *corev1.PersistentVolumeClaim) string {
	class := ptr.Deref(pvc.Spec.StorageClassName, "")
	want := r.Spec.Storage.Filesystem.StorageClassName
	if pvc.Spec.VolumeName != "" || pvc.Status.Phase == corev1.ClaimBound || pvc.DeletionTimestamp != nil || want == "" || class == want {
		return ""
	}
	return class
}

// ensureAdminToken makes the admin Secret once, with a random token, and reads it ever after.
func (s *scope) ensureAdminToken(ctx context.Context) error {
	secret := &corev1.Secret{}
	key := s.key(names.AdminSecret(s.registry.Name))
	err := s.Client.Get(ctx, key, secret)
	if apierrors.IsNotFound(err) {
		err = s.Live.Get(ctx, key, secret)
	}
	if apierrors.IsNotFound(err) {
		return s.createAdminToken(ctx)
	}
	if err != nil {
		return fmt.Errorf("reading Secret %s: %w", key.Name, err)
	}
	if err := s.owner.Check(secret, "Secret "+key.Name); err != nil {
		return err
	}
	s.facts.adminToken = strings.TrimSpace(string(secret.Data[tokenKey]))
	s.facts.departed = len(departed.Users(secret)) > 0
	if why := weakness(s.facts.adminToken); why != "" {
		return outcome.Stall(v1alpha1.ReasonAdminTokenInvalid, "Secret %s: %s; put a better one under the key %q, or delete the Secret to get a new token", key.Name, why, tokenKey)
	}
	return nil
}

func (s *scope) createAdminToken(ctx context.Context) error {
	token := newAdminToken()
	secret := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Name: names.AdminSecret(s.registry.Name), Namespace: s.registry.Namespace,
			Labels: names.ForRegistry(s.registry), Annotations: map[string]string{names.RegistryUIDAnnotation: string(s.registry.UID)},
		},
		Type: corev1.SecretTypeOpaque,
		Data: map[string][]byte{tokenKey: []byte(token)},
	}
	if s.registry.Spec.DeletionPolicy == v1alpha1.DeletionDelete { // as it is applied later: one event tells of it
		secret.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(s.registry, v1alpha1.GroupVersion.WithKind("Registry"))}
	}
	if err := s.Client.Create(ctx, secret, client.FieldOwner(names.FieldOwner+"-token")); err != nil {
		return outcome.FromAPI(err, "creating Secret %s", secret.Name)
	}
	s.apply.Say(s.registry, "Created", "Created Secret %s with a new admin token", secret.Name)
	s.facts.adminToken = token
	return nil
}

// applyChildren builds all children and applies them in order.
func (s *scope) applyChildren(ctx context.Context) error {
	p := Params{Registry: s.registry, Image: s.Image, AdminToken: s.facts.adminToken, Secrets: s.facts.secrets, ServiceMonitors: s.knowsServiceMonitors()}
	if s.facts.volume != nil {
		size := s.facts.volume.Spec.Resources.Requests[corev1.ResourceStorage]
		p.DataSize = &size
		if want := p.wantedSize(); size.Cmp(want) > 0 {
			s.facts.larger = &want
		}
	}
	s.facts.serviceMonitorMissing = p.wantsServiceMonitor() && !p.ServiceMonitors
	if p.ServiceMonitors {
		if err := s.monitors.ensure(); err != nil {
			return fmt.Errorf("watching ServiceMonitors: %w", err)
		}
	}
	children, err := Build(p)
	if err != nil {
		return fmt.Errorf("building children: %w", err)
	}
	for _, child := range children {
		if s.held(child.GetKind()) {
			continue
		}
		fresh, err := s.apply.Apply(ctx, s.owner, child)
		if err != nil && child.GetKind() == "PersistentVolumeClaim" && p.grows() && !transient(err) {
			// The rest of the spec holds all the same.
			s.facts.growth = err.Error()
			fresh, err = s.applyVolumeAsItIs(ctx, p)
		}
		if err != nil {
			return err
		}
		if child.GetKind() == "Deployment" {
			s.deployed = s.Client
			if !fresh {
				s.deployed = s.Live // the cache would show the old pods as ready
			}
		}
	}
	s.facts.applied = true
	if s.facts.adopting {
		s.apply.Say(s.registry, "AdoptedData", "Adopted existing data: PersistentVolumeClaim %s of an earlier Registry of this name", names.Data(s.registry.Name))
	}
	return nil
}

// transient reports whether trying again may help.
func transient(err error) bool {
	wait, waits := outcome.IsWait(err)
	return !isStalled(err) && (!waits || wait.Reason != v1alpha1.ReasonForbidden && wait.Reason != v1alpha1.ReasonQuotaExceeded)
}

// applyVolumeAsItIs applies the volume in the size that it has.
func (s *scope) applyVolumeAsItIs(ctx context.Context, p Params) (fresh bool, err error) {
	p.Ungrown = true
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(p.volumeClaim())
	if err != nil {
		return false, err
	}
	return s.apply.Apply(ctx, s.owner, &unstructured.Unstructured{Object: content})
}

// held reports whether a child is left as it is, because a Secret that pods cannot start without is missing: those that run go on
// with what they have, and new ones would hang.
func (s *scope) held(kind string) bool {
	return s.facts.blocked && podCount(s.registry) > 0 && (kind == "ConfigMap" || kind == "Deployment")
}

// prune removes children that an earlier spec asked for.
func (s *scope) prune(ctx context.Context) error {
	for _, kind := range s.optional() {
		if kind.wanted {
			continue
		}
		err := kind.reader.Get(ctx, s.key(s.registry.Name), kind.obj)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("reading %s %s: %w", kind.name, s.registry.Name, err)
		}
		if !metav1.IsControlledBy(kind.obj, s.registry) || kind.obj.GetDeletionTimestamp() != nil {
			continue
		}
		if err := s.apply.Delete(ctx, s.owner, kind.obj, kind.name+" "+s.registry.Name); err != nil {
			return err
		}
	}
	return nil
}

// observeWorkload reads how the Deployment, its pods and its volume are.
func (s *scope) observeWorkload(ctx context.Context) error {
	d := &appsv1.Deployment{}
	if err := s.deployed.Get(ctx, s.key(s.registry.Name), d); err != nil {
		return client.IgnoreNotFound(err) // the cache lags behind its creation; its watch asks for another look
	}
	s.facts.deployment = d
	pods := &corev1.PodList{}
	err := s.Client.List(ctx, pods, client.InNamespace(s.registry.Namespace), client.MatchingLabels{names.RegistryLabel: s.registry.Name})
	if err != nil {
		return fmt.Errorf("listing pods: %w", err)
	}
	s.facts.pods = pods.Items
	if d.Status.ReadyReplicas < podCount(s.registry) {
		s.facts.podTrouble = s.findPodTrouble(ctx)
	}
	if needsVolume(s.registry) && (s.facts.volume == nil || s.facts.volume.Status.Phase == corev1.ClaimPending) {
		s.facts.storageClass, s.facts.classUnread = s.checkStorageClass(ctx)
		s.facts.volumeTrouble = s.findVolumeTrouble(ctx)
	}
	return nil
}

// askServer asks the server itself, once its pod is ready.
func (s *scope) askServer(ctx context.Context) error {
	if s.facts.deployment == nil || s.facts.deployment.Status.ReadyReplicas == 0 {
		return nil
	}
	st, err := s.client().Status(ctx)
	if err != nil {
		s.facts.serverErr = err
		return nil //nolint:nilerr // a fact for the status, not a failure of the reconcile
	}
	s.facts.server = &st
	return nil
}

func (s *scope) key(name string) client.ObjectKey {
	return client.ObjectKey{Namespace: s.registry.Namespace, Name: name}
}

func (s *scope) image() string {
	return Params{Registry: s.registry, Image: s.Image}.image()
}

// newAdminToken makes a token of 256 random bits.
func newAdminToken() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails: the runtime ends the program instead
	return "cy_" + base64.RawURLEncoding.EncodeToString(b[:])
}

// weakness says why the server would refuse an admin token; empty when it would not.
func weakness(token string) string {
	if len(token) < 32 {
		return fmt.Sprintf("the admin token has %d characters and needs at least 32", len(token))
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "the admin token has characters outside printable ASCII"
	}
	return ""
}
