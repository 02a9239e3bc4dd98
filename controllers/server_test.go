package controllers_test

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
)

// startServer runs a real registry for a Registry, with the admin token that the operator made.
func (h *harness) startServer(name string) {
	h.Helper()
	h.urls[name] = startServer(h.T, name, string(get(h, name+"-admin", &corev1.Secret{}).Data["token"]))
}

// admin gives a client with the Registry's admin token.
func (h *harness) admin(name string) *client.Client {
	h.Helper()
	return client.New(h.urls[name], string(get(h, name+"-admin", &corev1.Secret{}).Data["token"]))
}

// startServer is the one place here that knows how a server starts. It gives the server's address.
func startServer(t *testing.T, name, adminToken string, changes ...func(*registry.Config)) string {
	t.Helper()
	c := registry.DefaultConfig()
	c.Name, c.Data, c.Listen, c.OpsListen, c.AdminToken = name, t.TempDir(), "127.0.0.1:0", "", adminToken
	for _, change := range changes {
		change(&c)
	}
	ctx, stop := context.WithCancel(context.Background())
	s, err := registry.Open(ctx, c, "v0.0.0-test", t.Output())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	})
	return "http://" + s.Addr()
}
