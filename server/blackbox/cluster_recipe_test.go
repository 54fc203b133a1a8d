package blackbox

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

// startRecipe starts nats-server as docs/deploy/cluster has it.
func startRecipe(t *testing.T) *natsServer {
	t.Helper()
	bus := &natsServer{t: t, port: freePorts(t, 1)[0]}
	bus.file = written(t, "nats.conf",
		recipe(t, "cluster/nats.conf", "10.0.0.3:4222", bus.address()))
	bus.start()
	t.Cleanup(bus.kill)
	return bus
}

// recipeNodes are the recipe's, by the last number of their addresses there.
var recipeNodes = []string{5: "one", 6: "two", 7: "three"}

// launchMember starts one of the recipe's nodes; more are pairs for swap.
func launchMember(t *testing.T, bus *natsServer, name string, more ...string) *node {
	t.Helper()
	text := recipe(t, "cluster/node-"+name+".yaml", "10.0.0.3:4222", bus.address(),
		"10.0.0.2", "127.0.0.1")
	for i, is := range recipeNodes {
		if is == name {
			text = swap(t, text, fmt.Sprintf("10.0.0.%d", i), "127.0.0.1")
		}
	}
	more = append(more, "/etc/mb-server/nats-password",
		written(t, "password", "change-me-"+name+"\n"))
	text = swap(t, text, more...)
	return launchNode(t, launch{plain: true, config: written(t, "node.yaml", text)})
}

// The whole recipe: clients come over TCP and HTTPS and are at whatever node, and publishes reach
// them at all. When a node has died whoever comes finds another; nodes without NATS are sent
// nobody.
func TestS12_Recipe(t *testing.T) {
	t.Parallel()
	bus := startRecipe(t)
	nodes := []*node{launchMember(t, bus, "one", "minPeers: 1", "minPeers: 0")}
	for _, name := range recipeNodes[6:] {
		nodes = append(nodes, launchMember(t, bus, name))
	}
	overTCP, overHTTP := freeAddress(t), freeAddress(t)
	text := recipe(t, "cluster/haproxy.cfg", "bind :3001", "bind "+overTCP,
		"bind :443", "bind "+overHTTP, "/etc/haproxy/mb.pem", certificates(t),
		"inter 500ms", "inter 50ms", "timeout check   1s", "timeout check 10s")
	for i, n := range nodes {
		n.awaitPeers(2)
		_, admin, _ := net.SplitHostPort(n.admin)
		host := fmt.Sprintf("10.0.0.%d", 5+i)
		text = swap(t, text, host+":3001 port 3002", n.tcp+" port "+admin,
			host+":3000 port 3002", n.ws+" port "+admin)
	}
	control := startHAProxy(t, text, overTCP, overHTTP)
	ways := []func() (peer, error){
		func() (peer, error) { return dialTCP(overTCP) }, page(overHTTP),
	}
	places := make(map[string]bool)
	var readers []*client
	for _, way := range ways {
		for range 2 * len(nodes) {
			c := welcomed(t, way)
			c.subscribe("publish", "x.#")
			places[c.nodeID()] = true
			readers = append(readers, c)
		}
	}
	if len(places) != len(nodes) {
		t.Errorf("clients are at %d nodes", len(places))
	}
	for i, from := range []*client{readers[0], readers[len(readers)-1]} {
		from.send("publish:x.y:1.0.0", fmt.Sprint(i))
		for _, c := range readers {
			c.expectPayload("publish:x.y:1.0.0:*", fmt.Sprint(i))
		}
	}
	stay := slices.DeleteFunc(readers, nodes[0].has)
	nodes[0].kill()
	for _, way := range ways {
		for range 2 * len(nodes) {
			if c := welcomed(t, way); nodes[0].has(c) {
				t.Error("a newcomer is at the node that has died")
			}
		}
	}
	bus.kill()
	for _, name := range recipeNodes[6:] {
		eventually(t, "nobody is sent to an isolated node", func() bool {
			return strings.HasPrefix(haproxyStat(t, control, "mb-tcp", name), "DOWN")
		})
	}
	bus.start()
	for _, name := range recipeNodes[6:] {
		eventually(t, "the node is used again", func() bool {
			return strings.HasPrefix(haproxyStat(t, control, "mb-http", name), "UP")
		})
	}
	for _, c := range stay { // nobody was cut
		c.settle()
	}
}

// natsCall is a connection to nats-server as its protocol has it, on which a line for each request
// comes back.
type natsCall struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

func (c *natsCall) line() string {
	c.t.Helper()
	line, err := c.in.ReadString('\n')
	if err != nil {
		c.t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

func (c *natsCall) ask(text string) string {
	c.t.Helper()
	if _, err := c.conn.Write([]byte(text + "\r\n")); err != nil {
		c.t.Fatal(err)
	}
	return c.line()
}

func callNATS(t *testing.T, bus *natsServer, options string) (c *natsCall, answer string) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", bus.address(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	c = &natsCall{t, conn, bufio.NewReader(conn)}
	if info := c.line(); !strings.HasPrefix(info, "INFO ") {
		t.Fatalf("it begins with %q", info)
	}
	return c, c.ask(`CONNECT {"verbose":true,"echo":false` + options + `}`)
}

// The recipe's users may speak as themselves and hear what is for them, and nobody else.
func TestS12_RecipePermissions(t *testing.T) {
	t.Parallel()
	bus := startRecipe(t)
	for i, name := range recipeNodes[5:] {
		c, answer := callNATS(t, bus, `,"user":"`+name+`","pass":"change-me-`+name+`"`)
		if answer != "+OK" {
			t.Fatalf("%s: %s", name, answer)
		}
		other := recipeNodes[5+(i+1)%3]
		for ask, good := range map[string]bool{
			"PUB mb.v1.mb." + name + ".7.all.ctl 0\r\n":         true,
			"PUB mb.v1.mb." + name + ".7." + other + ".0 0\r\n": true,
			"PUB mb.v1.mb." + other + ".7.all.ctl 0\r\n":        false,
			"PUB mb.v1.mb." + other + ".7." + name + ".0 0\r\n": false,
			"PUB mb.v1.other." + name + ".7.all.ctl 0\r\n":      false,
			"PUB x 0\r\n":                        false,
			"SUB mb.v1.mb.*.*." + name + ".> 1":  true,
			"SUB mb.v1.mb.*.*.all.> 2":           true,
			"SUB mb.v1.mb.*.*." + other + ".> 3": false,
			"SUB mb.v1.mb.> 4":                   false,
			"SUB > 5":                            false,
		} {
			answer := c.ask(ask)
			if good != (answer == "+OK") ||
				!good && !strings.Contains(answer, "Permissions Violation") {
				t.Errorf("%s, %q: %s", name, ask, answer)
			}
		}
	}
	for _, options := range []string{
		"", `,"user":"one"`, `,"user":"one","pass":"change-me-two"`, `,"user":"four","pass":"x"`,
	} {
		_, answer := callNATS(t, bus, options)
		if !strings.HasPrefix(answer, "-ERR 'Authorization") {
			t.Errorf("%s: %s", options, answer)
		}
	}
}

// A node that has another's user is heard by nobody.
func TestS12_RecipeLiar(t *testing.T) {
	t.Parallel()
	bus := startRecipe(t)
	one := launchMember(t, bus, "one", "minPeers: 1", "minPeers: 0")
	liar := launchMember(t, bus, "two", "minPeers: 1", "minPeers: 0", "node: two", "node: three")
	eventually(t, "it is an island", func() bool { return liar.cluster().Island })
	two := launchMember(t, bus, "two")
	two.awaitPeers(1)
	if p := one.cluster(); len(p.Peers) != 1 || p.Peers[0].Name != "two" {
		t.Errorf("who speaks as another is known: %+v", p)
	}
}
