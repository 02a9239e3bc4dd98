package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"
)

// provisionerName is what a StorageClass names to get its volumes from here.
// Kubernetes' own host-path provisioner makes directories that only root can
// write to, so that no pod with the restricted settings could use them.
const provisionerName = "local.crateyard.dev"

const (
	claimsPath    = "/api/v1/persistentvolumeclaims"
	volumesPath   = "/api/v1/persistentvolumes"
	classesPath   = "/apis/storage.k8s.io/v1/storageclasses"
	provisionedBy = "pv.kubernetes.io/provisioned-by"
)

// provisioner makes and removes volumes. It looks at everything whenever
// anything has changed, so it needs no memory and can be restarted at any time.
type provisioner struct {
	api *API
	dir string // holds a directory for each volume
}

// Run works until the context ends.
func (p *provisioner) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	changed := func() {
		select {
		case wake <- struct{}{}:
		default: // it is awake already
		}
	}
	for _, path := range []string{claimsPath, volumesPath} {
		go func() {
			for ctx.Err() == nil {
				if err := p.api.Watch(ctx, path, changed); err != nil && ctx.Err() == nil {
					time.Sleep(time.Second) // the API server is away, or has ended the watch as it does from time to time
				}
			}
		}()
	}
	// The ticker is for what the watches missed, and for what failed before.
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		if err := p.reconcile(ctx); err != nil && ctx.Err() == nil {
			log.Print(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-ticker.C:
		}
	}
}

func (p *provisioner) reconcile(ctx context.Context) error {
	var classes list[storageClass]
	var claims list[volumeClaim]
	var volumes list[volume]
	for path, to := range map[string]any{classesPath: &classes, claimsPath: &claims, volumesPath: &volumes} {
		if err := p.api.Get(ctx, path, to); err != nil {
			return err
		}
	}
	ours := map[string]storageClass{}
	for _, c := range classes.Items {
		if c.Provisioner == provisionerName {
			ours[c.Metadata.Name] = c
		}
	}
	byName := map[string]volume{}
	for _, v := range volumes.Items {
		byName[v.Metadata.Name] = v
	}
	for _, c := range claims.Items {
		if c.Spec.StorageClassName == nil || c.Metadata.DeletionTimestamp != nil {
			continue
		}
		class, ok := ours[*c.Spec.StorageClassName]
		if !ok {
			continue
		}
		if err := p.handleClaim(ctx, c, class, byName); err != nil {
			log.Printf("claim %s/%s: %v", c.Metadata.Namespace, c.Metadata.Name, err)
		}
	}
	for _, v := range volumes.Items {
		if err := p.handleVolume(ctx, v); err != nil {
			log.Printf("volume %s: %v", v.Metadata.Name, err)
		}
	}
	return nil
}

// handleClaim makes the volume of a new claim, or lets it grow.
func (p *provisioner) handleClaim(ctx context.Context, c volumeClaim, class storageClass, volumes map[string]volume) error {
	name := "pvc-" + c.Metadata.UID
	v, made := volumes[name]
	switch {
	case c.Status.Phase == "Bound" && made:
		return p.grow(ctx, c, v)
	case c.Status.Phase == "Pending" && !made && c.Spec.VolumeName == "":
		return p.provision(ctx, name, c, class)
	}
	return nil
}

func (p *provisioner) provision(ctx context.Context, name string, c volumeClaim, class storageClass) error {
	if c.Spec.VolumeMode != nil && *c.Spec.VolumeMode == "Block" {
		return fmt.Errorf("volumeMode Block cannot be served: the volumes are directories")
	}
	if c.Spec.Selector != nil {
		return nil // it asks for a certain volume, that somebody else makes
	}
	dir := filepath.Join(p.dir, name)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	// hostPath knows no fsGroup, so the directory is open to any user. chmod,
	// since the mode of mkdir is subject to the umask.
	if err := os.Chmod(dir, 0o777); err != nil {
		return err
	}
	v := volume{
		APIVersion: "v1", Kind: "PersistentVolume",
		Metadata: meta{Name: name, Annotations: map[string]string{provisionedBy: provisionerName}},
		Spec: volumeSpec{
			Capacity:                      map[string]string{"storage": c.Spec.Resources.Requests["storage"]},
			AccessModes:                   c.Spec.AccessModes,
			PersistentVolumeReclaimPolicy: class.ReclaimPolicy,
			StorageClassName:              class.Metadata.Name,
			ClaimRef: &claimRef{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: c.Metadata.Namespace, Name: c.Metadata.Name, UID: c.Metadata.UID,
			},
			HostPath: &hostPath{Path: dir, Type: "Directory"},
		},
	}
	if err := p.api.Create(ctx, volumesPath, v); err != nil && !isStatus(err, 409) {
		return err
	}
	log.Printf("made %s for the claim %s/%s", dir, c.Metadata.Namespace, c.Metadata.Name)
	return nil
}

// grow says that a larger request has been met: a directory has no size. The
// API server admits only requests that are larger than before.
func (p *provisioner) grow(ctx context.Context, c volumeClaim, v volume) error {
	want := c.Spec.Resources.Requests["storage"]
	size := map[string]any{"capacity": map[string]string{"storage": want}}
	if v.Spec.Capacity["storage"] != want {
		if err := p.api.Patch(ctx, volumesPath+"/"+v.Metadata.Name, map[string]any{"spec": size}); err != nil {
			return err
		}
	}
	if c.Status.Capacity["storage"] == want {
		return nil
	}
	path := "/api/v1/namespaces/" + c.Metadata.Namespace + "/persistentvolumeclaims/" + c.Metadata.Name + "/status"
	return p.api.Patch(ctx, path, map[string]any{"status": size})
}

// handleVolume deletes what its claim has left behind, data first. With
// reclaim policy Retain, the volume and its data stay for somebody to decide on.
func (p *provisioner) handleVolume(ctx context.Context, v volume) error {
	if v.Metadata.Annotations[provisionedBy] != provisionerName ||
		v.Status.Phase != "Released" || v.Spec.PersistentVolumeReclaimPolicy != "Delete" ||
		v.Spec.HostPath == nil {
		return nil
	}
	// Anyone who may edit volumes could change the path; only our own folder is ever emptied.
	dir := filepath.Join(p.dir, v.Metadata.Name)
	if v.Spec.HostPath.Path != dir {
		return fmt.Errorf("will not remove %s: it is not one of ours", v.Spec.HostPath.Path)
	}
	if err := removeTree(dir); err != nil {
		return err
	}
	if err := p.api.Delete(ctx, volumesPath+"/"+v.Metadata.Name, nil); err != nil {
		return err
	}
	log.Printf("removed %s", dir)
	return nil
}
