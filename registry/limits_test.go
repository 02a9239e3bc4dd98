package registry_test

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/crateyard/crateyard/registry"
	"github.com/crateyard/crateyard/registry/client"
	"github.com/crateyard/crateyard/registry/wire"
)

// A user who did something too often is told when to come back; others, and admins, are not held up.
func TestRateLimits(t *testing.T) {
	y := open(t, func(c *registry.Config) {
		c.RateLimits.Mode = "Enabled"
		c.RateLimits.PublishNew = registry.Rate{Burst: 2, Every: registry.Duration(time.Hour)}
		c.RateLimits.PublishUpdate = registry.Rate{Burst: 3, Every: registry.Duration(time.Hour)}
		c.RateLimits.Yank = registry.Rate{Burst: 1, Every: registry.Duration(time.Hour)}
		c.RateLimits.FailedAuth = registry.Rate{Burst: 2, Every: registry.Duration(time.Hour)}
	})
	limited := func(a answer, what string) {
		t.Helper()
		wait, err := strconv.Atoi(a.header.Get("Retry-After"))
		if a.status != 429 || err != nil || wait < 3500 || wait > 3600 || !strings.Contains(a.detail(t), what) {
			t.Errorf("%d, Retry-After %q: %s", a.status, a.header.Get("Retry-After"), a.body)
		}
	}
	allowed := func(a answer) {
		t.Helper()
		if a.status != 200 {
			t.Errorf("%d: %s", a.status, a.body)
		}
	}
	allowed(y.publish(good(t, "one", "1.0.0")))
	allowed(y.publish(good(t, "two", "1.0.0")))
	limited(y.publish(good(t, "three", "1.0.0")), "too many new crates")
	for i := 1; i <= 3; i++ { // another bucket
		allowed(y.publish(good(t, "one", fmt.Sprintf("1.%d.0", i))))
	}
	limited(y.publish(good(t, "one", "1.4.0")), "too many versions")
	allowed(y.do("DELETE", "/api/v1/crates/one/1.0.0/yank", y.alice, nil))
	limited(y.do("PUT", "/api/v1/crates/one/1.0.0/unyank", y.alice, nil), "yanked or unyanked")
	allowed(y.do("PUT", "/api/v1/crates/new", y.admin, bytes.NewReader(good(t, "three", "1.0.0"))))
	if _, err := client.New(y.url, y.admin).CreateUser(t.Context(), wire.CreateUser{Name: "bob", Role: "publisher"}); err != nil {
		t.Fatal(err)
	}
	allowed(y.do("PUT", "/api/v1/crates/new", y.token("bob", nil), bytes.NewReader(good(t, "four", "1.0.0"))))

	for range 2 {
		if a := y.do("GET", "/api/v1/me", "cy_wrong", nil); a.status != 401 {
			t.Errorf("%d", a.status)
		}
	}
	limited(y.do("GET", "/api/v1/me", "cy_wrong", nil), "tokens that do not work")
	allowed(y.do("GET", "/api/v1/me", y.alice, nil)) // who has a token that works is not held up by them
}

// Without a word about limits a private registry holds nobody up: the release of a workspace is one publish a crate.
func TestNoRateLimitsByDefault(t *testing.T) {
	y := open(t, nil)
	for i := range 8 {
		if a := y.publish(good(t, fmt.Sprintf("crate-%d", i), "1.0.0")); a.status != 200 {
			t.Fatalf("%d: %s", a.status, a.body)
		}
	}
	strict := open(t, func(c *registry.Config) { c.Publishing.Profile = registry.ProfileCratesIO })
	for i := range 6 {
		name := fmt.Sprintf("crate-%d", i)
		a := strict.publish(strict.upload(release{name: name, version: "1.0.0", more: map[string]any{"description": "one of six", "license": "MIT"}}))
		if i < 5 && a.status != 200 {
			t.Fatalf("%d: %s", a.status, a.body)
		}
		if i == 5 && a.status != 429 {
			t.Errorf("%d: %s", a.status, a.body)
		}
	}
}

// The address in X-Forwarded-For counts when it comes from a proxy of ours, and only then.
func TestTrustedProxies(t *testing.T) {
	for _, tc := range []struct {
		trusted []string
		header  string
		want    string
	}{
		{nil, "203.0.113.9", "127.0.0.1"},
		{[]string{"10.0.0.0/8"}, "203.0.113.9", "127.0.0.1"},
		{[]string{"127.0.0.0/8"}, "203.0.113.9", "203.0.113.9"},
		{[]string{"127.0.0.0/8"}, "6.6.6.6, 203.0.113.9", "203.0.113.9"}, // the first is the client's own word
		{[]string{"127.0.0.0/8", "10.0.0.0/8"}, "6.6.6.6, 203.0.113.9, 10.1.2.3", "203.0.113.9"},
		{[]string{"127.0.0.0/8"}, "nonsense", "127.0.0.1"},
		{[]string{"127.0.0.0/8"}, "2001:db8::1", "2001:db8::1"},
	} {
		y := open(t, func(c *registry.Config) { c.TrustedProxies = tc.trusted })
		if a := y.do("PUT", "/api/v1/crates/new", y.alice, bytes.NewReader(good(t, "demo", "1.0.0")), "X-Forwarded-For", tc.header); a.status != 200 {
			t.Fatal(a)
		}
		a := y.do("GET", "/api/v1/audit?crate=demo", y.admin, nil)
		if !strings.Contains(a.body, fmt.Sprintf(`"address":%q`, tc.want)) {
			t.Errorf("%v, %q: want %s in %s", tc.trusted, tc.header, tc.want, a.body)
		}
	}
}

// A crate that was asked for in vain is there as soon as its publish has an answer.
func TestNotFoundIsForgottenByThePublish(t *testing.T) {
	y := open(t, nil)
	for i := range 20 {
		name := fmt.Sprintf("demo-%02d", i)
		path := "/index/de/mo/" + name
		stop := make(chan struct{})
		asked := make(chan struct{})
		go func() {
			defer close(asked)
			for {
				select {
				case <-stop:
					return
				default:
					y.do("GET", path, "", nil)
				}
			}
		}()
		a := y.publish(good(t, name, "1.0.0"))
		found := y.do("GET", path, "", nil)
		close(stop)
		<-asked
		if a.status != 200 || found.status != 200 {
			t.Fatalf("published: %d, then found: %d", a.status, found.status)
		}
	}
}

// A token for one job cannot revoke its owner's others, only itself.
func TestNarrowedTokenRevokesOnlyItself(t *testing.T) {
	y := open(t, nil)
	narrow := y.token("alice", []string{"read"})
	tokens, err := client.New(y.url, y.admin).Tokens(t.Context(), "alice")
	if err != nil || len(tokens) != 2 {
		t.Fatalf("%+v %v", tokens, err)
	}
	own := fmt.Sprintf("/api/v1/me/tokens/%d", tokens[1].ID)
	if a := y.do("DELETE", fmt.Sprintf("/api/v1/me/tokens/%d", tokens[0].ID), narrow, nil); a.status != 403 {
		t.Errorf("another: %d %s", a.status, a.body)
	}
	if a := y.do("DELETE", own, narrow, nil); a.status != 200 {
		t.Errorf("itself: %d %s", a.status, a.body)
	}
	if a := y.do("GET", "/api/v1/me", narrow, nil); a.status != 401 {
		t.Errorf("after that: %d", a.status)
	}
	if a := y.do("GET", "/api/v1/me", y.alice, nil); a.status != 200 {
		t.Errorf("the other: %d", a.status)
	}
}

// Whoever lost its rights while a request was on its way loses them in that request, too; and a token takes with it those that its
// holder made with it.
func TestRightsLostOnTheWay(t *testing.T) {
	y := open(t, nil)
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	c := client.New(y.url, y.admin)
	slow := func(method, path, token, body string) (finish func() answer) {
		r, w := io.Pipe()
		result := make(chan answer, 1)
		go func() { result <- y.do(method, path, token, r) }()
		if _, err := io.WriteString(w, body[:1]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // for the server to have looked at the token
		return func() answer {
			if _, err := io.WriteString(w, body[1:]); err != nil {
				t.Fatal(err)
			}
			_ = w.Close() // of a pipe: cannot fail
			return <-result
		}
	}
	made := y.do("PUT", "/api/v1/me/tokens", y.alice, strings.NewReader(`{"api_token":{"name":"child"}}`))
	_, child, _ := strings.Cut(made.body, `"token":"`)
	child, _, _ = strings.Cut(child, `"`)
	if a := y.do("GET", "/api/v1/me", child, nil); a.status != 200 {
		t.Fatalf("%s: %d %s", made.body, a.status, a.body)
	}
	finish := slow("PUT", "/api/v1/me/tokens", y.alice, `{"api_token":{"name":"late"}}`)
	tokens, err := c.Tokens(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DeleteToken(t.Context(), tokens[0].ID); err != nil {
		t.Fatal(err)
	}
	if a := finish(); a.status != 401 {
		t.Errorf("a token made by one that was revoked: %d %s", a.status, a.body)
	}
	if a := y.do("GET", "/api/v1/me", child, nil); a.status != 401 {
		t.Errorf("a token whose maker was revoked: %d %s", a.status, a.body)
	}
	fresh := y.token("alice", nil)
	finish = slow("PUT", "/api/v1/crates/demo/owners", fresh, `{"users":["admin"]}`)
	yes := true
	if _, err := c.UpdateUser(t.Context(), "alice", wire.UpdateUser{Suspended: &yes}); err != nil {
		t.Fatal(err)
	}
	if a := finish(); a.status != 403 {
		t.Errorf("owners, by who was suspended: %d %s", a.status, a.body)
	}
}

// A deleted crate cannot be found under the name that its row has now, nor a hidden one by its spelling.
func TestNoWayToWhatIsGoneOrHidden(t *testing.T) {
	y := open(t, func(c *registry.Config) { c.Publishing.NewCrates = "Restricted" })
	if a := y.publish(good(t, "sec-Ret", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	if _, err := client.New(y.url, y.admin).CreateUser(t.Context(), wire.CreateUser{Name: "bob", Role: "publisher"}); err != nil {
		t.Fatal(err)
	}
	bob := y.token("bob", nil)
	for _, name := range []string{"sec-Ret", "sec_ret"} {
		a := y.do("PUT", "/api/v1/crates/new", bob, bytes.NewReader(good(t, name, "2.0.0")))
		if a.status != 403 || strings.Contains(strings.ReplaceAll(a.body, name, ""), "sec-Ret") {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
	for _, version := range []string{"1.0.0", "9.9.9"} {
		if a := y.do("PATCH", "/api/v1/crates/sec-Ret/"+version, bob, strings.NewReader(`{"version":{"yank_message":"x"}}`)); a.status != 404 {
			t.Errorf("%s: %d %s", version, a.status, a.body)
		}
	}
	if a := y.do("DELETE", "/api/v1/crates/sec-Ret", y.admin, nil); a.status != 204 {
		t.Fatal(a)
	}
	for _, path := range []string{"", "/versions", "/owners", "/1.0.0"} {
		if a := y.do("GET", "/api/v1/crates/sec_ret%231"+path, y.admin, nil); a.status != 404 {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}

// What is refused does not count, before the archive is read or after: who mends a Cargo.toml may publish it.
func TestRefusalsCostNothing(t *testing.T) {
	y := open(t, func(c *registry.Config) {
		c.RateLimits.Mode, c.RateLimits.PublishNew = "Enabled", registry.Rate{Burst: 1, Every: registry.Duration(time.Hour)}
		c.Publishing.RequiredFields = []string{"description"}
	})
	for range 3 {
		if a := y.publish(good(t, "demo", "1.0.0")); a.status != 400 {
			t.Fatalf("%d: %s", a.status, a.body)
		}
		if a := y.publish(frame(metadata("demo", "1.0.0"), []byte("no archive"))); a.status != 400 {
			t.Fatalf("%d: %s", a.status, a.body)
		}
	}
	if a := y.publish(y.upload(release{name: "demo", version: "1.0.0", more: map[string]any{"description": "mended"}})); a.status != 200 {
		t.Errorf("%d: %s", a.status, a.body)
	}
	if a := y.publish(y.upload(release{name: "other", version: "1.0.0", more: map[string]any{"description": "x"}})); a.status != 429 {
		t.Errorf("what was given back was more than what was taken: %d: %s", a.status, a.body)
	}
}

// A publish of which nothing came counts as little where its archive was too large, or another was faster.
func TestPublishesInVainCostNothing(t *testing.T) {
	y := open(t, func(c *registry.Config) {
		c.RateLimits.Mode, c.RateLimits.PublishNew = "Enabled", registry.Rate{Burst: 1, Every: registry.Duration(time.Hour)}
		c.RateLimits.PublishUpdate = registry.Rate{Burst: 8, Every: registry.Duration(time.Hour)}
		c.Limits.CrateSize = 64 << 10
	})
	for range 3 {
		if a := y.publish(frame(metadata("demo", "1.0.0"), make([]byte, 65<<10))); a.status != 413 {
			t.Fatalf("%d: %s", a.status, a.body)
		}
	}
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatalf("%d: %s", a.status, a.body)
	}
	body := good(t, "demo", "1.1.0")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { y.publish(body) })
	}
	wg.Wait() // one of them was first, and is all that counts
	for i := range 7 {
		if a := y.publish(good(t, "demo", fmt.Sprintf("1.2.%d", i))); a.status != 200 {
			t.Errorf("%d: %d: %s", i, a.status, a.body)
		}
	}
	if a := y.publish(good(t, "demo", "1.3.0")); a.status != 429 {
		t.Errorf("what was given back was more than what was taken: %d: %s", a.status, a.body)
	}
}

// A yank that is refused, or that changes nothing, does not count.
func TestYanksInVainCostNothing(t *testing.T) {
	y := open(t, func(c *registry.Config) {
		c.RateLimits.Mode, c.RateLimits.Yank = "Enabled", registry.Rate{Burst: 2, Every: registry.Duration(time.Hour)}
	})
	if a := y.publish(good(t, "demo", "1.0.0")); a.status != 200 {
		t.Fatal(a)
	}
	bob := y.user(wire.CreateUser{Name: "bob", Role: "publisher"})
	const yank, unyank, version = "/api/v1/crates/demo/1.0.0/yank", "/api/v1/crates/demo/1.0.0/unyank", "/api/v1/crates/demo/1.0.0"
	for _, do := range []struct {
		method, path, token, body string
		want                      int
	}{
		{"PUT", unyank, y.alice, "", 200}, // as it is
		{"PUT", unyank, y.alice, "", 200},
		{"DELETE", "/api/v1/crates/demo/9.9.9/yank", y.alice, "", 404},
		{"DELETE", "/api/v1/crates/demo/9.9.9/yank", y.alice, "", 404},
		{"PATCH", version, y.alice, `{"version":{"yank_message":"why"}}`, 400},
		{"PATCH", version, y.alice, `{"version":{"yank_message":"why"}}`, 400},
		{"DELETE", yank, bob, "", 403},
		{"DELETE", yank, bob, "", 403},
		{"DELETE", yank, bob, "", 403},
		{"DELETE", yank, y.alice, "", 200}, // the first that counts
		{"DELETE", yank, y.alice, "", 200},
		{"PATCH", version, y.alice, `{"version":{"yank_message":"why"}}`, 200}, // the second
		{"PUT", unyank, y.alice, "", 429},
		{"DELETE", yank, y.alice, "", 429}, // one is turned away before anybody looks
	} {
		if a := y.do(do.method, do.path, do.token, strings.NewReader(do.body)); a.status != do.want {
			t.Errorf("%s %s %s: %d, want %d: %s", do.method, do.path, do.body, a.status, do.want, a.body)
		}
	}
}

// cargo asks a private registry without a token first, to be told that it needs one: that is no token that failed.
func TestProbesAreNoFailedLogins(t *testing.T) {
	y := open(t, func(c *registry.Config) {
		c.Access.AnonymousRead = "Disabled"
		c.RateLimits.FailedAuth = registry.Rate{Burst: 2, Every: registry.Duration(time.Hour)}
	})
	for range 10 {
		for _, path := range []string{"/index/config.json", "/api/v1/crates?q=x", "/api/v1/me", "/git/index/info/refs?service=git-upload-pack"} {
			if a := y.do("GET", path, "", nil); a.status != 401 {
				t.Fatalf("%s: %d %s", path, a.status, a.body)
			}
		}
	}
	for _, want := range []int{401, 401, 429} {
		if a := y.do("GET", "/index/config.json", "cy_wrong", nil); a.status != want {
			t.Errorf("%d, want %d: %s", a.status, want, a.body)
		}
	}
}

// Who guesses at one address holds up no other; the addresses of one IPv6 network are one.
func TestFailedLoginsCountByAddress(t *testing.T) {
	y := open(t, func(c *registry.Config) {
		c.TrustedProxies = []string{"127.0.0.0/8"}
		c.RateLimits.FailedAuth = registry.Rate{Burst: 1, Every: registry.Duration(time.Hour)}
	})
	for _, try := range []struct {
		address string
		want    int
	}{
		{"203.0.113.9", 401}, {"203.0.113.9", 429}, {"203.0.113.10", 401}, {"203.0.113.9", 429}, {"203.0.113.10", 429},
		{"2001:db8::1", 401}, {"2001:db8::2", 429}, {"2001:db8:0:1::1", 401},
	} {
		if a := y.do("GET", "/api/v1/me", "cy_wrong", nil, "X-Forwarded-For", try.address); a.status != try.want {
			t.Errorf("%s: %d, want %d: %s", try.address, a.status, try.want, a.body)
		}
	}
}

// The figures are crates.io's where nothing else is said, and an address has ten times what a user has.
func TestRateLimitsOfCratesIO(t *testing.T) {
	r := registry.DefaultConfig().RateLimits
	for name, tc := range map[string]struct{ got, want registry.Rate }{
		"publishNew":    {r.PublishNew, registry.Rate{Burst: 5, Every: registry.Duration(10 * time.Minute)}},
		"publishUpdate": {r.PublishUpdate, registry.Rate{Burst: 30, Every: registry.Duration(time.Minute)}},
		"yank":          {r.Yank, registry.Rate{Burst: 100, Every: registry.Duration(time.Minute)}},
		"failedAuth":    {r.FailedAuth, registry.Rate{Burst: 100, Every: registry.Duration(time.Second)}},
	} {
		if tc.got != tc.want {
			t.Errorf("%s: %+v, want %+v", name, tc.got, tc.want)
		}
	}
	if r.Mode != "Auto" {
		t.Errorf("mode %s", r.Mode)
	}
}

// Many users at one address have ten times what one has, and users elsewhere are not held up by them.
func TestRateLimitsByAddress(t *testing.T) {
	y := open(t, func(c *registry.Config) {
		c.TrustedProxies, c.RateLimits.Mode = []string{"127.0.0.0/8"}, "Enabled"
		c.RateLimits.PublishNew = registry.Rate{Burst: 1, Every: registry.Duration(time.Hour)}
		c.RateLimits.Yank = registry.Rate{Burst: 1, Every: registry.Duration(time.Hour)}
	})
	change := func(want int, address, method, path, token string, body []byte) {
		t.Helper()
		a := y.do(method, path, token, bytes.NewReader(body), "X-Forwarded-For", address)
		if a.status != want || want == 429 && !strings.Contains(a.detail(t), "the users at address "+address) {
			t.Errorf("%d, want %d: %s", a.status, want, a.body)
		}
	}
	for i := range 11 {
		name := fmt.Sprintf("crate-%d", i)
		token := y.user(wire.CreateUser{Name: fmt.Sprintf("user-%d", i), Role: "publisher"})
		want := 200
		if i == 10 {
			want = 429
		}
		change(want, "203.0.113.9", "PUT", "/api/v1/crates/new", token, good(t, name, "1.0.0"))
		change(200, "203.0.113.10", "PUT", "/api/v1/crates/new", y.admin, good(t, "other-"+name, "1.0.0"))
		if i == 10 { // what the address was refused is not taken from the user
			change(200, "203.0.113.10", "PUT", "/api/v1/crates/new", token, good(t, name, "1.0.0"))
		}
		change(want, "203.0.113.9", "DELETE", "/api/v1/crates/"+name+"/1.0.0/yank", token, nil)
	}
}
