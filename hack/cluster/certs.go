package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// identity is a certificate that the cluster's authority signs. Kubernetes
// reads the common name as the user and the organizations as its groups.
type identity struct {
	name   string // of the files in pki/
	user   string
	groups []string
	hosts  []string // a serving certificate, when there are any
}

func (c *Cluster) identities() []identity {
	return []identity{
		{name: "apiserver", user: "kube-apiserver", hosts: []string{
			"localhost", "127.0.0.1", nodeIP, apiIP,
			"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
		}},
		{name: "kubelet-server", user: "system:node:" + c.Name, groups: []string{"system:nodes"}, hosts: []string{c.Name, nodeIP, "127.0.0.1"}},
		{name: "admin", user: "admin", groups: []string{"system:masters"}},
		{name: "apiserver-kubelet", user: "apiserver-kubelet", groups: []string{"system:masters"}},
		{name: "front-proxy", user: "front-proxy-client"},
		{name: "kube-controller-manager", user: "system:kube-controller-manager"},
		{name: "kube-scheduler", user: "system:kube-scheduler"},
		{name: "kube-proxy", user: "system:kube-proxy"},
		{name: "kubelet", user: "system:node:" + c.Name, groups: []string{"system:nodes"}},
	}
}

func (c *Cluster) cert(name string) string { return c.Path("pki", name+".crt") }
func (c *Cluster) key(name string) string  { return c.Path("pki", name+".key") }

// ensureCerts makes what is missing. A cluster that is started again keeps its
// authority, so that kubeconfigs handed out before stay valid.
func (c *Cluster) ensureCerts() error {
	ca, caKey, err := c.ensureCA()
	if err != nil {
		return err
	}
	for _, id := range c.identities() {
		if exists(c.cert(id.name)) && exists(c.key(id.name)) {
			continue
		}
		template, err := id.template()
		if err != nil {
			return err
		}
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		der, err := x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey)
		if err != nil {
			return fmt.Errorf("certificate %s: %w", id.name, err)
		}
		if err := writeKey(c.key(id.name), key); err != nil {
			return err
		}
		if err := writePEM(c.cert(id.name), "CERTIFICATE", der, 0o644); err != nil {
			return err
		}
	}
	// The key with which tokens of service accounts are signed.
	if exists(c.key("service-account")) {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return writeKey(c.key("service-account"), key)
}

func (c *Cluster) ensureCA() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	certPEM, err := os.ReadFile(c.cert("ca"))
	if errors.Is(err, fs.ErrNotExist) {
		return c.createCA()
	}
	if err != nil {
		return nil, nil, err
	}
	keyPEM, err := os.ReadFile(c.key("ca"))
	if err != nil {
		return nil, nil, err
	}
	certBlock, _ := pem.Decode(certPEM)
	keyBlock, _ := pem.Decode(keyPEM)
	if certBlock == nil || keyBlock == nil {
		return nil, nil, fmt.Errorf("the cluster's authority in %s is damaged: run down, then up", c.Path("pki"))
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, nil, err
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	return cert, key, err
}

func (c *Cluster) createCA() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template, err := identity{user: "crateyard-" + c.Name}.template()
	if err != nil {
		return nil, nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = nil
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, nil, err
	}
	// The certificate comes last: where it is, the key is too.
	if err := writeKey(c.key("ca"), key); err != nil {
		return nil, nil, err
	}
	if err := writePEM(c.cert("ca"), "CERTIFICATE", der, 0o644); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return cert, key, err
}

func (id identity) template() (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: id.user, Organization: id.groups},
		NotBefore:    time.Now().Add(-time.Hour), // clocks of virtual machines step back
		NotAfter:     time.Now().AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, h := range id.hosts {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	return t, nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "EC PRIVATE KEY", der, 0o600)
}

func writePEM(path, kind string, der []byte, mode fs.FileMode) error {
	return writeFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
