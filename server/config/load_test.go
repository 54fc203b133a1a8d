package config

import (
	"errors"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// load runs Load with the given file text (none when empty), environment and arguments.
func load(t *testing.T, file string, environ []string, args ...string) (Config, error) {
	t.Helper()
	if file != "" {
		args = append([]string{"--config", writeFile(t, file)}, args...)
	}
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	RegisterFlags(fs)
	if err := fs.Parse(args); err != nil {
		return Config{}, err
	}
	c, _, err := Load(fs, environ)
	return c, err
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mb.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, file string, environ []string, args ...string) Config {
	t.Helper()
	c, err := load(t, file, environ, args...)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

func TestDefaultsAreTheContracts(t *testing.T) {
	c, origins, err := Load(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(origins) != 0 {
		t.Errorf("nobody has set %v", origins)
	}
	want := Config{
		Ports:   Ports{WS: 3000, WSS: 8000, TCP: 3001, TLS: 8001},
		Host:    "localhost",
		Logging: Logging{Level: slog.LevelInfo, Format: "auto"},
		Auth: Auth{
			Required: "auto", Timeout: 5 * time.Second, LockoutThreshold: 5,
			LockoutDuration: time.Minute, Certificate: Certificate{Identity: "subject"},
			JWT: JWT{Leeway: 30 * time.Second, IdentityClaim: "sub", RolesClaim: "roles"},
		},
		RateLimit: RateLimit{TopicPerService: map[string]int{}},
		Request:   Request{TimeoutDefault: 5 * time.Second, TimeoutMax: time.Hour},
		Max:       Max{OutstandingRequests: 10000, QueuedPerTopic: 1000},
		Message:   Message{PayloadMaxLength: 16384},
		WS:        WS{Deflate: Deflate{MinBytes: 256, MaxBytes: 65536}},
		System:    System{PayloadMaxLength: 65536},
		Memory:    Memory{Limit: defaultMemoryLimit()},
		Admin:     Admin{Address: "127.0.0.1:3002"},
		Cluster: Cluster{
			Name: "mb", Heartbeat: 200 * time.Millisecond, OutboundBytes: 16 << 20,
			RepairBytes: 8 << 20, AckTimeout: 250 * time.Millisecond, InterestMax: 200_000,
		},
		Monitoring: Monitoring{Interval: time.Minute},
		Shutdown: Shutdown{
			Timeout: 25 * time.Second, Delay: Auto, Spread: 5 * time.Second, Rate: 1000,
			Grace: 5 * time.Second,
		},
		Proxy: Proxy{Protocol: ProxyProtocol{
			WS: "required", WSS: "required", TCP: "required", TLS: "required",
		}},
		Connection: Connection{
			MaxConcurrent: 100000, MaxSubscriptions: 10000,
			HeartbeatRetryTimeout:      30 * time.Second,
			HeartbeatDeregisterTimeout: time.Minute, HandshakeTimeout: 10 * time.Second,
			StallTimeout:  10 * time.Second,
			OutboundBytes: 4 << 20, OutboundMessages: 65536,
			OutboundOverflow: "drop", Backpressure: "off", BackpressureMax: 2 * time.Second,
		},
	}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	if !reflect.DeepEqual(Default(), want) {
		t.Error("Default differs from Load without sources")
	}
}

func TestReferenceNestedFile(t *testing.T) {
	c := mustLoad(t, `
ports: {ws: 4000, wss: 0, tcp: 4001, tls: 0}
host: 127.0.0.1
allowUnsecure: true
ssl: {key: , cert: }
logging: {level: DEBUG, format: text, file: /var/log/mb/node.log}
auth: {failure: {lockout: {threshold: 3, duration: 90}}}
rate:
  limit:
    global: {per: {service: 100, topic: 200}, total: 300}
    topic:
      per:
        service:
          "Orders.#": 5
          "+.created": 7
connection:
  max: {concurrent: 100}
  heartbeatRetryTimeout: 1000
  heartbeatDeregisterTimeout: 2s
request: {response: {timeout: {default: 250, max: 60000}}}
max: {outstanding: {requests: 11, perService: 12}}
message: {payload: {maxLength: 64KiB}}
memory: {limit: 1GB}
monitoring:
`, nil)
	want := Default()
	want.Ports = Ports{WS: 4000, TCP: 4001}
	want.Host, want.AllowUnsecure = "127.0.0.1", true
	want.Logging = Logging{
		Level: slog.LevelDebug, Format: "text", File: "/var/log/mb/node.log",
	}
	want.Auth.LockoutThreshold, want.Auth.LockoutDuration = 3, 90*time.Second
	want.RateLimit = RateLimit{
		PerService: 100, PerTopic: 200, Total: 300,
		TopicPerService: map[string]int{"orders.#": 5, "+.created": 7},
	}
	want.Connection.MaxConcurrent = 100
	want.Connection.HeartbeatRetryTimeout = time.Second
	want.Connection.HeartbeatDeregisterTimeout = 2 * time.Second
	want.Request = Request{TimeoutDefault: 250 * time.Millisecond, TimeoutMax: time.Minute}
	want.Max.OutstandingRequests, want.Max.OutstandingPerService = 11, 12
	want.Message.PayloadMaxLength = 65536
	want.Memory.Limit = 1_000_000_000
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestDottedKeysEqualNested(t *testing.T) {
	nested := mustLoad(t, "rate: {limit: {global: {total: 5}, "+
		"topic: {per: {service: {'a.b.#': 9}}}}}\nloops: 3\n", nil)
	dotted := mustLoad(t, "rate.limit.global.total: 5\n"+
		"rate.limit.topic.per.service: {'A.b.#': 9}\nloops: 3\n", nil)
	mixed := mustLoad(t, "rate: {limit.global.total: 5, "+
		"limit: {topic.per.service: {'a.b.#': 9}}}\nloops: 3\n", nil)
	if !reflect.DeepEqual(nested, dotted) || !reflect.DeepEqual(nested, mixed) {
		t.Errorf("nested %+v\ndotted %+v\nmixed %+v", nested, dotted, mixed)
	}
	if nested.RateLimit.Total != 5 || nested.RateLimit.TopicPerService["a.b.#"] != 9 {
		t.Errorf("not taken: %+v", nested.RateLimit)
	}
}

func TestOrderOfSources(t *testing.T) {
	file := "ports: {ws: 1001, wss: 1002, tcp: 1003, tls: 1004}\n" +
		"rate.limit.topic.per.service: {a: 1, b: 2}\n"
	env := []string{"WSS_PORT=2002", "TCP_PORT=1", "TCP_PORT=2003", "TLS_PORT=2004", "LOOPS="}
	c := mustLoad(t, file, env,
		"--set", "ports.tcp=3003", "--set=ports.tls=3004", "--tls-port=4004",
		"--set", "rate.limit.topic.per.service.B=20",
		"--set", "rate.limit.topic.per.service.c.#=30",
		"--set", `rate.limit.topic.per.service={"d":40}`)
	if want := (Ports{1001, 2002, 3003, 4004}); c.Ports != want {
		t.Errorf("ports %+v, want %+v", c.Ports, want)
	}
	rates := map[string]int{"a": 1, "b": 20, "c.#": 30, "d": 40}
	if !maps.Equal(c.RateLimit.TopicPerService, rates) {
		t.Errorf("rates %v, want %v", c.RateLimit.TopicPerService, rates)
	}
}

func TestConfigPath(t *testing.T) {
	one, two := writeFile(t, "loops: 1"), writeFile(t, "loops: 2")
	if c := mustLoad(t, "", []string{"CONFIG_PATH=" + one}); c.Loops != 1 {
		t.Errorf("CONFIG_PATH: loops %d", c.Loops)
	}
	if c := mustLoad(t, "", []string{"CONFIG_PATH=" + one}, "--config", two); c.Loops != 2 {
		t.Errorf("--config over CONFIG_PATH: loops %d", c.Loops)
	}
	if c := mustLoad(t, "# nothing\n", nil); !reflect.DeepEqual(c, Default()) {
		t.Error("an empty file changes something")
	}
	missing := filepath.Join(t.TempDir(), "none.yaml")
	_, err := load(t, "", []string{"CONFIG_PATH=" + missing})
	if err == nil || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing file: %v", err)
	}
}

func TestEveryKeyFromEverySource(t *testing.T) {
	for _, k := range Keys() {
		text, yamlText := sample(&k)
		want := Default()
		v, err := k.parseText(text)
		if err != nil {
			t.Fatalf("%s: sample %q: %v", k.Name, text, err)
		}
		k.assign(&want, v)
		if reflect.DeepEqual(want, Default()) {
			t.Fatalf("%s: the sample is the default", k.Name)
		}
		check := func(source, origin string, l *layer) {
			t.Helper()
			if len(l.faults) > 0 {
				t.Errorf("%s from %s: %v", k.Name, source, l.faults)
			}
			got, origins := l.config()
			if !strings.HasPrefix(origins[k.Name].Source, origin) || len(origins) != 1 {
				t.Errorf("%s from %s: said to be from %v", k.Name, source, origins)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s from %s: not taken", k.Name, source)
			}
		}
		check("file", "file ", fileLayer(writeFile(t, k.Name+": "+yamlText+"\n")))
		if k.Env != "" {
			check("environment", "environment "+k.Env, envLayer(map[string]string{k.Env: text}))
		}
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		RegisterFlags(fs)
		if err := fs.Parse([]string{"--set", k.Name + "=" + text}); err != nil {
			t.Fatal(err)
		}
		check("--set", "flag --set", setLayer(fs))
		if k.Flag != "" {
			if err := fs.Set(k.Flag, text); err != nil {
				t.Fatal(err)
			}
			check("flag", "flag --"+k.Flag, flagLayer(fs))
		}
	}
}

// sample returns a legal value other than the default, as text and as YAML.
func sample(k *Key) (text, yamlText string) {
	switch k.kind {
	case kindBool:
		return "true", "true"
	case kindString:
		return "example:1", `"example:1"`
	case kindEnum, kindLevel:
		for _, word := range k.values {
			if word != k.Default {
				return word, word
			}
		}
	case kindRates:
		return `{"x.#":1}`, `{"x.#":1}`
	case kindList:
		text = map[string]string{
			"ws.origins": "https://a.example", "ws.hosts": "a.example", "admin.hosts": "a.example",
			"proxy.trusted": "10.0.0.0/8", "cluster.urls": "nats://a.example:4222",
		}[k.Name]
		return text, "[" + quote(text) + "]"
	case kindEach:
		return `{"tcp":"off"}`, "{tcp: off}"
	case kindBytes:
		if k.max < 17<<20 {
			return "17KiB", "17KiB"
		}
		return "17MiB", "17MiB"
	case kindTree:
		text = map[string]string{
			"auth.tokens":            `[{"identity":"a","sha256":"00","roles":["r"]}]`,
			"auth.jwt.keys":          `[{"kid":"k","alg":"RS256","file":"key.pem"}]`,
			"permissions.roles":      `{"r":{"publish":{"allow":["a.#"]},"system":["log"]}}`,
			"permissions.identities": `{"CN=a":["r"]}`,
			"rate.limit.role":        `{"r":7}`,
			"permissions.default":    `["r"]`, "permissions.anonymous": `["r"]`,
		}[k.Name]
		return text, text
	}
	if k.kind == kindInt && k.max > 0 && k.max < 777 {
		return "17", "17"
	}
	return "777", "777"
}

func TestErrorsAreTyped(t *testing.T) {
	_, err := load(t, "ports: {wsx: 1, tcp: 99999}\n", []string{"LOOPS=many"})
	for _, want := range []string{"ports.wsx", "ports.tcp", "loops"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	var one *Error
	if !errors.As(err, &one) || one.Key == "" || one.Source == "" {
		t.Errorf("no *Error in %#v", err)
	}
}

func TestYAMLRoundTrip(t *testing.T) {
	c := mustLoad(t, "", []string{"LOG_LEVEL=warn", "SHUTDOWN_TIMEOUT=1500ms", "ADMIN_ADDRESS="},
		"--set", "rate.limit.topic.per.service.a.+.#=3",
		"--set", "rate.limit.topic.per.service.#=4",
		"--set", "auth.failure.lockout.duration=1500ms")
	text := string(c.YAML(Origins{"loops": {Source: "file \n: #"}}))
	back := mustLoad(t, text, nil)
	if !reflect.DeepEqual(c, back) {
		t.Errorf("printed\n%s\nread back as %+v\nwas %+v", text, back, c)
	}
	if c.Auth.LockoutDuration != 1500*time.Millisecond || c.Admin.Address != "" {
		t.Errorf("not taken: %+v", c)
	}
}
