package registry

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/crateyard/crateyard/api/v1alpha1"
	"github.com/crateyard/crateyard/controllers/internal/names"
)

// Where the pod has what, and where it listens.
const (
	configKey = "config.yaml"
	configDir = "/etc/crateyard/config"
	adminDir  = "/etc/crateyard/admin"
	dataDir   = "/data"
	tokenKey  = "token"

	publicPort = 8080
	opsPort    = 9090
)

// serverConfig is the file of `crateyard serve --config`. The server refuses keys that it does not know, so both sides
// fail loudly when they part.
type serverConfig struct {
	Name           string       `json:"name"`
	URL            string       `json:"url"`
	Aliases        []string     `json:"aliases,omitempty"`
	Listen         string       `json:"listen"`
	OpsListen      string       `json:"opsListen"`
	Data           string       `json:"data"`
	AdminTokenFile string       `json:"adminTokenFile"`
	Access         serverAccess `json:"access"`

	// What follows is left out when the spec says nothing: the server's own defaults hold then. The server's keys and values
	// are those of the spec.
	Publishing     *v1alpha1.PublishingSpec `json:"publishing,omitempty"`
	RateLimits     *v1alpha1.RateLimitsSpec `json:"rateLimits,omitempty"`
	GitIndex       string                   `json:"gitIndex,omitempty"`
	TrustedProxies []v1alpha1.CIDR          `json:"trustedProxies,omitempty"`
	Storage        *serverStorage           `json:"storage,omitempty"`
	Catalog        *serverCatalog           `json:"catalog,omitempty"`
	Backup         *serverBackup            `json:"backup,omitempty"`
	RestoreFrom    *serverRestore           `json:"restoreFrom,omitempty"` // of `crateyard restore`; serve passes over it
	Sweep          *v1alpha1.SweepSpec      `json:"sweep,omitempty"`
	Scrub          *serverScrub             `json:"scrub,omitempty"`
	Audit          *v1alpha1.AuditSpec      `json:"audit,omitempty"`

	// Instance is whose data this is, so that two Registries cannot share a database or a bucket by mistake.
	Instance string `json:"instance"`
	TakeOver bool   `json:"takeOver,omitempty"`

	Limits     serverLimits `json:"limits"`
	Log        serverLog    `json:"log"`
	DrainDelay string       `json:"drainDelay"`
}

type serverAccess struct {
	AnonymousRead string `json:"anonymousRead"`
	// AllowedRegistries that are empty, and not left out, allow none.
	AllowedRegistries []v1alpha1.RegistryLocation `json:"allowedRegistries,omitzero"`
}

type serverLimits struct {
	CrateSize int64 `json:"crateSize"`
}

type serverLog struct {
	Format string `json:"format"`
	Level  string `json:"level"`
}

// config renders the server's configuration file.
func (p Params) config() string {
	read := p.Registry.Spec.Access.AnonymousRead
	if read == "" {
		read = v1alpha1.Enabled
	}
	c := serverConfig{
		Name: p.name(), URL: DesiredURL(p.Registry), Aliases: aliases(p.Registry),
		Listen: "0.0.0.0:8080", OpsListen: "0.0.0.0:9090",
		Data: dataDir, AdminTokenFile: adminDir + "/" + tokenKey,
		Access: serverAccess{AnonymousRead: string(read), AllowedRegistries: p.Registry.Spec.Access.AllowedRegistries},
		Limits: serverLimits{CrateSize: p.crateSize()},
		Log:    serverLog{Format: "json", Level: "info"},
		// A Service takes a moment to forget a pod that stops; until then it still sends requests there.
		DrainDelay:     "5s",
		Publishing:     p.Registry.Spec.Publishing,
		RateLimits:     p.Registry.Spec.RateLimits,
		TrustedProxies: p.Registry.Spec.TrustedProxies,
	}
	if p.Registry.Spec.GitIndex == v1alpha1.Disabled {
		c.GitIndex = string(v1alpha1.Disabled)
	}
	p.backends(&c)
	b, _ := yaml.Marshal(c) // cannot fail: strings and numbers only
	return string(b)
}

func (p Params) configMap() *corev1ac.ConfigMapApplyConfiguration {
	return corev1ac.ConfigMap(names.Config(p.name()), p.Registry.Namespace).
		WithLabels(p.labels()).WithOwnerReferences(p.owner()).
		WithData(map[string]string{configKey: p.config()})
}

// configDigest changes when the pod has to start anew, since the server reads its files once. The admin token goes in as a
// digest of its own, mixed with the configuration, so that the annotation is no help in guessing a token; nor is it in guessing
// what the Secrets of others hold, since a guess would have to know the token, too.
func (p Params) configDigest() string {
	token := sha256.Sum256([]byte(p.AdminToken))
	sum := sha256.Sum256(slices.Concat([]byte(p.config()), token[:], p.Secrets))
	return hex.EncodeToString(sum[:16])
}
