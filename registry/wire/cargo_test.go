package wire

import "testing"

// The lines that users paste are to the letter what cargo needs: an address with its slash, which is the registry's identity, a credential
// provider, and for a mirror a registry of the same address, or cargo finds no token for it.
func TestLinesForCargo(t *testing.T) {
	const url = "https://crates.acme.dev"
	for got, want := range map[string]string{
		IndexURL(url): "sparse+https://crates.acme.dev/index/",
		CargoConfig("acme", url): `[registries.acme]
index = "sparse+https://crates.acme.dev/index/"
credential-provider = "cargo:token"
`,
		CargoCredentials("acme", "cy_x"): `[registries.acme]
token = "cy_x"
`,
		EnvName("my-acme_1"): "MY_ACME_1",
		MirrorConfig("sparse+https://crates.partner.example/index/", "deps", url): `[source.deps-upstream]
registry = "sparse+https://crates.partner.example/index/"
replace-with = "deps"

[registries.deps]
index = "sparse+https://crates.acme.dev/mirrors/deps/"
credential-provider = "cargo:token"
`,
		MirrorConfig("", "deps", url): `[source.crates-io]
replace-with = "deps"

[registries.deps]
index = "sparse+https://crates.acme.dev/mirrors/deps/"
credential-provider = "cargo:token"
`,
		MirrorConfig(CratesIOIndex, "deps", url): `[source.crates-io]
replace-with = "deps"

[registries.deps]
index = "sparse+https://crates.acme.dev/mirrors/deps/"
credential-provider = "cargo:token"
`,
	} {
		if got != want {
			t.Errorf("%s\nand not\n%s", got, want)
		}
	}
}
