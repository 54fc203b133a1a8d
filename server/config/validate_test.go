package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"pgregory.net/rapid"
)

var refused = []struct {
	name, file string
	env, args  []string
	want       []string // all in the message
}{
	{name: "unknown nested", file: "ports: {wsx: 1}",
		want: []string{"ports.wsx", "= 1", "did you mean ports.ws"}},
	{name: "unknown dotted", file: "message.payload.maxlength: 5",
		want: []string{"did you mean message.payload.maxLength"}},
	{name: "unknown far off", file: "colour: blue",
		want: []string{"colour", `"blue"`, "unknown key"}},
	{name: "unknown group", file: "limits: {a: 1}", want: []string{"limits", "unknown key"}},
	{name: "env name in file", file: "MEMORY_LIMIT: 5",
		want: []string{"did you mean memory.limit"}},
	{name: "group is a number", file: "\nports: 3000",
		want: []string{"line 2: ports = 3000", "the beginning of ports.ws"}},
	{name: "group by flag", args: []string{"--set", "ports=3000"},
		want: []string{"flag --set: ports = ", "the beginning of ports.ws"}},
	{name: "group misspelt", file: "port: {ws: 1}", want: []string{"did you mean ports?"}},
	{name: "group misspelt, a number", file: "port: 1", want: []string{"did you mean ports?"}},
	{name: "last part", file: "level: debug", want: []string{"did you mean logging.level?"}},
	{name: "not a map", file: "- 1", want: []string{"line 1: must be a map of keys", "a list"}},
	{name: "text", file: "# x\nports", want: []string{"line 2: must be a map of keys"}},
	{name: "twice", file: "ports: {ws: 1}\nports.ws: 2",
		want: []string{"line 2: ports.ws = 2", "given twice, also in", "line 1"}},
	{name: "fraction", file: "loops: 1.5", want: []string{"loops = 1.5", "whole number"}},
	{name: "boolean number", file: "loops: true",
		want: []string{"loops = true", "must be a whole number"}},
	{name: "hexadecimal", file: "loops: 0x10", want: []string{"loops = 0x10", "whole number"}},
	{name: "hexadecimal, environment", env: []string{"LOOPS=0x10"}, want: []string{"whole number"}},
	{name: "underscores", file: "loops: 1_0", want: []string{"loops = 1_0", "whole number"}},
	{name: "no number", file: "loops: .inf", want: []string{"whole number"}},
	{name: "list", file: "loops: [1]", want: []string{"line 1: loops", "a whole number", "a list"}},
	{name: "map", file: "host: {a: b}", want: []string{"line 1: host", "must be text", "a map"}},
	{name: "text boolean", file: `allowUnsecure: "yes"`,
		want: []string{"allowUnsecure", "true or false"}},
	{name: "number as text", file: "host: 7", want: []string{"host = 7", "must be text"}},
	{name: "switch as text", file: "host: true", want: []string{"host = true", "must be text"}},
	{name: "merge key", file: "ports: &p {ws: 1}\nrate: {<<: *p}",
		want: []string{"line 2: rate", "written out"}},
	{name: "port too large", file: "ports.tcp: 65536",
		want: []string{"ports.tcp = 65536", "0 to 65535"}},
	{name: "any port from outside", file: "ports.tcp: -1", want: []string{"ports.tcp = -1"}},
	{name: "level", env: []string{"LOG_LEVEL=trace"},
		want: []string{"environment LOG_LEVEL", `"trace"`, "debug, info, warn, error"}},
	{name: "env number", env: []string{"WS_PORT=abc"},
		want: []string{"environment WS_PORT", "ports.ws", `"abc"`}},
	{name: "overflow", file: "connection.outbound.overflow: newest",
		want: []string{"connection.outbound.overflow", "drop-oldest"}},
	{name: "duration unit", file: "shutdown.timeout: 5 parsecs",
		want: []string{"shutdown.timeout", "parsecs", "duration"}},
	{name: "duration too fine", file: "shutdown.timeout: 5us",
		want: []string{"finer than a millisecond"}},
	{name: "duration negative", file: "shutdown.timeout: -1",
		want: []string{"shutdown.timeout = -1"}},
	{name: "duration overflow", file: "shutdown.timeout: 9223372036854775807",
		want: []string{"shutdown.timeout"}},
	{name: "bytes unit", file: "memory.limit: 5 apples",
		want: []string{"memory.limit", "not a number of bytes"}},
	{name: "bytes overflow", file: "memory.limit: 9223372036854775807GiB",
		want: []string{"memory.limit", "too large"}},
	{name: "memory small", file: "memory.limit: 1MiB",
		want: []string{"memory.limit", "at least 16777216"}},
	{name: "rates no map", file: "rate.limit.topic.per.service: 5",
		want: []string{"rate.limit.topic.per.service = 5", "must be a map"}},
	{name: "rates text", env: []string{"LOOPS=2"},
		args: []string{"--set", `rate.limit.topic.per.service={"a":1}{`},
		want: []string{"JSON object"}},
	{name: "rates pattern", file: "rate.limit.topic.per.service: {'a.#.b': 5}",
		want: []string{"rate.limit.topic.per.service", "a.#.b", "last level"}},
	{name: "rates value", file: "rate.limit.topic.per.service: {a.b: many}",
		want: []string{"a.b", "many", "must be a whole number"}},
	{name: "rates nested", file: "rate.limit.topic.per.service: {a: {b: 1}}",
		want: []string{`pattern "a"`, "a map", "must be a whole number"}},
	{name: "rates same", file: "rate.limit.topic.per.service: {a: 1, A: 2}",
		want: []string{"twice"}},
	{name: "set pattern", args: []string{"--set", "rate.limit.topic.per.service.1=5"},
		want: []string{"rate.limit.topic.per.service.1", "letter"}},
	{name: "set value", args: []string{"--set", "rate.limit.topic.per.service.a=x"},
		want: []string{"whole number"}},
	{name: "set JSON", args: []string{"--set", "rate.limit.topic.per.service=x"},
		want: []string{"JSON object"}},
	{name: "set unknown", args: []string{"--set", "loop=4"},
		want: []string{"loop", "did you mean loops"}},
	{name: "set no value", args: []string{"--set", "loops"}, want: []string{"loops", "key=value"}},
	{name: "flag", args: []string{"--ws-port", "x"},
		want: []string{"--ws-port", "x", "whole number"}},
	{name: "all off", args: []string{"--ws-port=0", "--tcp-port=0"},
		want: []string{"every listener is off"}},
	{name: "same port", args: []string{"--ws-port=3001"},
		want: []string{"ports.tcp = 3001", "ports.ws has the same"}},
	{name: "plaintext in the open", args: []string{"--host=0.0.0.0"},
		want: []string{"ports.ws = 3000", "ports.tcp = 3001", "0.0.0.0", "allowUnsecure"}},
	{name: "plaintext on all", env: []string{"HOST="}, want: []string{"ports.ws", "allowUnsecure"}},
	{name: "plaintext, tcp off", args: []string{"--host=broker.example", "--tcp-port=0"},
		want: []string{"ports.ws", "allowUnsecure"}},
	{name: "host", args: []string{"--host=a b"}, want: []string{"host", "a b"}},
	{name: "host misspelt", args: []string{"--host=127.0.0.256", "--allow-unsecure"},
		want: []string{"host", "127.0.0.256"}},
	{name: "admin", file: "admin.address: '3002'", want: []string{"admin.address", "host:port"}},
	{name: "admin port", file: "admin.address: ':99999'", want: []string{"admin.address", "99999"}},
	{name: "agent", file: "admin.agent: '3003'", want: []string{"admin.agent", "host:port"}},
	{name: "agent port", file: "admin.agent: ':x'", want: []string{"admin.agent", "port"}},
	{name: "agent is admin", file: "admin.agent: '127.0.0.1:3002'",
		want: []string{"admin.agent", "the same"}},
	{name: "admission", file: "admission.rate: -1", want: []string{"admission.rate", "-1"}},
	{name: "admin host", file: "admin.address: 'a b:1'", want: []string{"admin.address", "a b"}},
	{name: "heartbeats", file: "connection.heartbeatDeregisterTimeout: 30000",
		want: []string{"heartbeatDeregisterTimeout", "longer"}},
	{name: "timeouts", file: "request.response.timeout.max: 100",
		want: []string{"timeout.default", "timeout.max"}},
	{name: "ring", file: "message.payload.maxLength: 4MiB",
		want: []string{"connection.outbound.bytes = 4194304", "twice the largest frame"}},
	{name: "memory and ring", file: "memory.limit: 16MiB\nconnection.outbound.bytes: 9MiB",
		want: []string{"memory.limit = 16777216", "outbound"}},
	{name: "key alone", args: []string{"--ssl-key=x"}, want: []string{"ssl.cert", "together"}},
	{name: "origin with a path", file: "ws.origins: [https://app.example/]",
		want: []string{"ws.origins", "app.example/", "no path"}},
	{name: "origin without a scheme", args: []string{"--set", "ws.origins=app.example"},
		want: []string{"ws.origins", "no origin", "https://app.example"}},
	{name: "origin with a pattern", env: []string{"WS_ORIGINS=https://*.example"},
		want: []string{"environment WS_ORIGINS", "each origin"}},
	{name: "host with a port", file: "ws.hosts: [mb.example:3000]",
		want: []string{"ws.hosts", "mb.example:3000", "no port"}},
	{name: "host with a space", file: "ws.hosts: ['a b']", want: []string{"ws.hosts", "a b"}},
	{name: "list of maps", file: "ws.hosts: [{a: b}]", want: []string{"ws.hosts", "a map"}},
	{name: "map for a list", file: "ws.hosts: {a: b}",
		want: []string{"ws.hosts", "must be a list", "a map"}},
	{name: "network", file: "proxy.trusted: [10.0.0.0/8, 10.0.0/8]",
		want: []string{"proxy.trusted", "10.0.0/8", "no network"}},
	{name: "network too long", args: []string{"--set", "proxy.trusted=10.0.0.0/33"},
		want: []string{"proxy.trusted", "10.0.0.0/33"}},
	{name: "network by name", args: []string{"--set", "proxy.trusted=localhost"},
		want: []string{"proxy.trusted", "localhost"}},
	{name: "a long list",
		args: []string{"--set", "ws.hosts=" + strings.Repeat("a,", maxList+1)},
		want: []string{"ws.hosts", "more than 256"}},
	{name: "proxy word", file: "proxy.protocol: on",
		want: []string{"proxy.protocol", "required, optional, off"}},
	{name: "proxy listener", file: "proxy.protocol: {http: off}",
		want: []string{"proxy.protocol", `"http"`, "ws, wss, tcp, tls"}},
	{name: "proxy word of a listener", args: []string{"--set", `proxy.protocol={"ws":"no"}`},
		want: []string{"proxy.protocol", "ws", "required, optional, off"}},
	{name: "proxy list", file: "proxy.protocol: [off]",
		want: []string{"proxy.protocol", "a list"}},
	{name: "addresses", file: "connection.max.perAddress: -1",
		want: []string{"connection.max.perAddress = -1"}},
	{name: "missing files", args: []string{"--ssl-key=/none/k", "--ssl-cert=/none/c"},
		want: []string{"ssl.key", "/none/k", "ssl.cert", "/none/c"}},
}

func TestRefused(t *testing.T) {
	for _, tt := range refused {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.file, tt.env, tt.args...)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

func TestAccepted(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		args       []string
		check      func(Config) bool
	}{
		{"other loopback address", "", []string{"--host=127.8.9.10"},
			func(c Config) bool { return c.Host == "127.8.9.10" }},
		{"IPv6 loopback", "", []string{"--host=::1"},
			func(c Config) bool { return c.Host == "::1" }},
		{"allowed in the open", "", []string{"--host=0.0.0.0", "--allow-unsecure"},
			func(c Config) bool { return c.AllowUnsecure }},
		{"flag says false", "allowUnsecure: true", []string{"--allow-unsecure=false"},
			func(c Config) bool { return !c.AllowUnsecure }},
		{"bare off", "connection.backpressure: off", nil,
			func(c Config) bool { return c.Connection.Backpressure == "off" }},
		{"JSON", `{"ports":{"ws":5000},"loops":2}`, nil,
			func(c Config) bool { return c.Ports.WS == 5000 && c.Loops == 2 }},
		{"lockout in seconds", "auth.failure.lockout.duration: 5", nil,
			func(c Config) bool { return c.Auth.LockoutDuration == 5*time.Second }},
		{"lockout as duration", "auth.failure.lockout.duration: 5m", nil,
			func(c Config) bool { return c.Auth.LockoutDuration == 5*time.Minute }},
		{"units of either case", "memory.limit: 64 mIb", nil,
			func(c Config) bool { return c.Memory.Limit == 64<<20 }},
		{"exact ring", "message.payload.maxLength: 1000\nconnection.outbound.bytes: 3024", nil,
			func(c Config) bool { return c.Connection.OutboundBytes == 2*c.MaxFrame() }},
		{"float that is whole", "loops: 2.0", nil, func(c Config) bool { return c.Loops == 2 }},
		{"float that is whole, a flag", "", []string{"--set=loops=2e1"},
			func(c Config) bool { return c.Loops == 20 }},
		{"quoted number", `ports: {ws: "4000", tcp: '04001'}`, nil,
			func(c Config) bool { return c.Ports.WS == 4000 && c.Ports.TCP == 4001 }},
		{"quoted bytes", `message.payload.maxLength: "3000"`, nil,
			func(c Config) bool { return c.Message.PayloadMaxLength == 3000 }},
		{"quoted time", `shutdown.timeout: "3000"`, nil,
			func(c Config) bool { return c.Shutdown.Timeout == 3*time.Second }},
		{"quoted switch", `allowUnsecure: "true"`, nil,
			func(c Config) bool { return c.AllowUnsecure }},
		{"quoted rate", `rate.limit.topic.per.service: {"a": "07"}`, nil,
			func(c Config) bool { return c.RateLimit.TopicPerService["a"] == 7 }},
		{"alias", "ports: {ws: &n 4000}\nconnection.max.concurrent: *n", nil,
			func(c Config) bool { return c.Connection.MaxConcurrent == 4000 }},
		{"marked document", "---\nloops: 3\n...\n", nil,
			func(c Config) bool { return c.Loops == 3 }},
		{"byte order mark", "\ufeffloops: 3\r\n", nil,
			func(c Config) bool { return c.Loops == 3 }},
		{"equals sign in a value", "",
			[]string{"--set", "ssl.key=", "--set", "admin.address=localhost:0"},
			func(c Config) bool { return c.Admin.Address == "localhost:0" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if c := mustLoad(t, tt.file, nil, tt.args...); !tt.check(c) {
				t.Errorf("not taken: %+v", c)
			}
		})
	}
}

func TestValidateOfAProgramsOwnConfig(t *testing.T) {
	c := Default()
	c.Ports.WS, c.Ports.TCP = AnyPort, AnyPort
	if err := c.Validate(); err != nil {
		t.Errorf("AnyPort: %v", err)
	}
	c.Loops, c.Logging.Level, c.Connection.OutboundOverflow = -1, 3, "shrug"
	c.RateLimit.TopicPerService = map[string]int{"A.b": 1}
	c.Shutdown.Timeout = -time.Second
	err := c.Validate()
	for _, want := range []string{
		"loops = -1", "logging.level", "connection.outbound.overflow", "A.b", "shutdown.timeout",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestCertificate(t *testing.T) {
	dir := t.TempDir()
	key, cert := filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	keyPEM := writePair(t, key, cert)
	c := mustLoad(t, "", nil, "--ssl-key", key, "--ssl-cert", cert)
	if !c.TLS() || len(c.Warnings()) != 0 {
		t.Errorf("TLS %v, warnings %q", c.TLS(), c.Warnings())
	}
	if len(Default().Warnings()) != 0 {
		t.Error("the default configuration warns")
	}
	_, err := load(t, "", nil, "--ssl-key", cert, "--ssl-cert", key)
	if err == nil || !strings.Contains(err.Error(), "no certificate in it") {
		t.Errorf("swapped files: %v", err)
	}
	_, err = load(t, "", nil, "--ssl-key", keyPEM, "--ssl-cert", cert)
	if err == nil || !strings.Contains(err.Error(), "not its content") ||
		strings.Contains(err.Error(), keyPEM[40:80]) {
		t.Errorf("key as text: %v", err)
	}
	c.SSL.Key = keyPEM
	if strings.Contains(string(c.YAML(nil)), keyPEM[40:80]) {
		t.Error("the key is printed")
	}
}

// Who trusts everybody is warned, in whatever form it is written; who trusts a network is not.
func TestTrustingEverybodyWarns(t *testing.T) {
	for trusted, warns := range map[string]int{
		"0.0.0.0/0": 1, "::/0": 1, "::ffff:0.0.0.0/96": 1, "10.1.2.3/0": 1, "0.0.0.0/0,::/0": 2,
		"10.0.0.0/8": 0, "0.0.0.0": 0, "::": 0, "::/1": 0, "": 0,
	} {
		ws := mustLoad(t, "", nil, "--set", "proxy.trusted="+trusted).Warnings()
		if len(ws) != warns || warns > 0 && !strings.Contains(ws[0], "proxy.trusted") {
			t.Errorf("%q: %q", trusted, ws)
		}
	}
}

// What does not fit into the time of a shutdown is said, and nothing of what does.
func TestShutdownArithmeticWarns(t *testing.T) {
	for _, row := range []struct {
		settings string
		want     []string // each in one warning; none: there is none
		delay    time.Duration
	}{
		{"", nil, 3 * time.Second},
		{"delay=0", nil, 0},
		{"timeout=13s", nil, 3 * time.Second},
		{"timeout=12999", []string{"= 13s is more than shutdown.timeout = 12.999s"},
			3 * time.Second},
		{"grace=18s", []string{"shutdown.grace = 26s"}, 3 * time.Second},
		{"timeout=5s", []string{"told to go at once"}, 2500 * time.Millisecond},
		{"timeout=5s spread=0 delay=0 grace=0", nil, 0},
		{"timeout=0", nil, 0},
		{"delay=24s", []string{"only 20s is waited", "shutdown.delay + "}, 20 * time.Second},
	} {
		var args []string
		for _, s := range strings.Fields(row.settings) {
			args = append(args, "--set", "shutdown."+s)
		}
		c := mustLoad(t, "", nil, args...)
		ws := c.Warnings()
		for i, want := range row.want {
			if len(ws) != len(row.want) || !strings.Contains(ws[i], want) {
				t.Errorf("%q: %q, want %q", row.settings, ws, row.want)
				break
			}
		}
		if row.want == nil && len(ws) > 0 {
			t.Errorf("%q: %q", row.settings, ws)
		}
		if got := c.Shutdown.DelayAfter(true); got != row.delay {
			t.Errorf("%q: a delay of %v, want %v", row.settings, got, row.delay)
		}
	}
	c := mustLoad(t, "", nil)
	if got := c.Shutdown.DelayAfter(false); got != 0 {
		t.Errorf("a delay of %v without SIGTERM", got)
	}
	c = mustLoad(t, "", nil, "--set", "shutdown.delay=700")
	if got := c.Shutdown.DelayAfter(false); got != 700*time.Millisecond {
		t.Errorf("a delay of %v that was configured", got)
	}
	if text := string(Default().YAML(nil)); !strings.Contains(text, `shutdown.delay: "auto" #`) {
		t.Errorf("printed as %s", text)
	}
}

func TestPendingKeysWarn(t *testing.T) {
	for _, k := range Keys() {
		text, _ := sample(&k)
		v, err := k.parseText(text)
		if err != nil {
			t.Fatal(err)
		}
		c := Default()
		k.assign(&c, v)
		said := strings.Contains(strings.Join(c.Warnings(), "\n"),
			k.Name+" = "+k.yaml(&c)+" has no effect")
		if said != k.Pending {
			t.Errorf("%s: pending %v, warned %v", k.Name, k.Pending, said)
		}
	}
}

// writePair makes a self-signed pair and returns the key's PEM text.
func writePair(t *testing.T, keyPath, certPath string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"},
		NotAfter: time.Now().Add(time.Hour),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	keyPEM := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
	for path, text := range map[string][]byte{keyPath: keyPEM, certPath: certPEM} {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return string(keyPEM)
}

func TestAvailableMemory(t *testing.T) {
	const physical = 8 << 30
	file := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	for _, tt := range []struct {
		name string
		root fstest.MapFS
		want uint64
	}{
		{"nothing to read", fstest.MapFS{}, physical},
		{"v2", fstest.MapFS{
			"proc/self/cgroup":             file("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": file("1000\n"),
		}, 1000},
		{"v2 parent binds", fstest.MapFS{
			"proc/self/cgroup":             file("0::/a/b\n"),
			"sys/fs/cgroup/a/b/memory.max": file("max\n"),
			"sys/fs/cgroup/a/memory.max":   file("2000\n"),
		}, 2000},
		{"v2 in a container", fstest.MapFS{
			"proc/self/cgroup":         file("0::/gone\n"),
			"sys/fs/cgroup/memory.max": file("3000\n"),
		}, 3000},
		{"v2 without limit", fstest.MapFS{
			"proc/self/cgroup":         file("0::/\n"),
			"sys/fs/cgroup/memory.max": file("max\n"),
		}, physical},
		{"v1", fstest.MapFS{
			"proc/self/cgroup": file("7:cpu:/x\n4:hugetlb,memory:/x\n0::/\n"),
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": file("4000\n"),
		}, 4000},
		{"v1 without limit", fstest.MapFS{
			"proc/self/cgroup":                           file("4:memory:/\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("9223372036854771712\n"),
		}, physical},
		{"other controller", fstest.MapFS{
			"proc/self/cgroup":                           file("4:memory2:/\nbroken\n"),
			"sys/fs/cgroup/memory/memory.limit_in_bytes": file("5\n"),
		}, physical},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := availableMemory(tt.root, physical); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
	if l := defaultMemoryLimit(); l < 16<<20 {
		t.Errorf("this machine's default is %d", l)
	}
}

func TestPatterns(t *testing.T) {
	for in, want := range map[string]string{
		"a": "a", "A.B1.c": "a.b1.c", "#": "#", "+": "+", "a.#": "a.#", "+.+.+.+.#": "+.+.+.+.#",
		"system.log": "system.log", strings.Repeat("a", 255): strings.Repeat("a", 255),
		"": "", "a.": "", ".a": "", "a..b": "", "1a": "", "a.#.b": "", "a.b#": "", "a+": "",
		"a.b.c.d.e.f": "", "ä": "", "a b": "", "a_b": "", strings.Repeat("a", 256): "",
	} {
		got, err := canonicalPattern(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: got %.20q, %v", in, got, err)
		}
	}
}

func TestDistanceIsAMetric(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[a-c.]{0,8}`)
		a, b, c := word.Draw(t, "a"), word.Draw(t, "b"), word.Draw(t, "c")
		ab, ba, bc, ac := distance(a, b), distance(b, a), distance(b, c), distance(a, c)
		if ab != ba || (ab == 0) != (a == b) || ac > ab+bc || ab > max(len(a), len(b)) {
			t.Fatalf("ab %d ba %d bc %d ac %d", ab, ba, bc, ac)
		}
	})
}

// FuzzFile: no text of a file makes Load panic, and what it accepts prints to something it accepts
// again.
func FuzzFile(f *testing.F) {
	f.Add("ports: {ws: 1}\nrate.limit.topic.per.service: {'a.#': 5}")
	f.Add("memory.limit: 1GB\nshutdown.timeout: 1m30s")
	f.Add("ssl: {key: }\n? [a]: b")
	f.Fuzz(func(t *testing.T, text string) {
		l := readFile("f", []byte(text))
		c, origins := l.config()
		if len(l.faults) > 0 || len(c.checkRanges()) > 0 {
			return
		}
		printed := c.YAML(origins)
		if again := readFile("f", printed); len(again.faults) > 0 {
			t.Fatalf("%v\n%s", again.faults, printed)
		}
	})
}
