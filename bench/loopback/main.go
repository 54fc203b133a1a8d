//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	server := flag.String("server", "bin/mb-server", "path of the server's binary")
	subscribers := flag.String("subscribers", "1,10,100,1000", "numbers of TCP subscribers, separated by commas")
	payload := flag.Int("payload", 128, "payload in bytes")
	repeat := flag.Int("repeat", 3, "runs of each scenario; the median counts")
	deliveries := flag.Int("deliveries", 4_000_000, "messages delivered in one run, about")
	idle := flag.Int("idle", 5000, "idle connections for the memory figure; 0 leaves it out")
	flag.Parse()
	if err := run(*server, *subscribers, *payload, *repeat, *deliveries, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "loopback:", err)
		os.Exit(1)
	}
}

func run(server, subscribers string, payload, repeat, deliveries, idle int) error {
	var set unix.CPUSet
	set.Set(1)
	_ = unix.SchedSetaffinity(0, &set)
	fmt.Printf("%-12s %16s %14s %12s\n", "subscribers", "CPU ns/message", "messages/s", "spread")
	for _, field := range strings.Split(subscribers, ",") {
		count, err := strconv.Atoi(field)
		if err != nil {
			return err
		}
		var cost []float64
		var rate float64
		for range repeat {
			ns, perSecond, err := fanOut(server, count, payload, max(deliveries/count, 2000))
			if err != nil {
				return fmt.Errorf("%d subscribers: %w", count, err)
			}
			cost, rate = append(cost, ns), max(rate, perSecond)
		}
		slices.Sort(cost)
		fmt.Printf("%-12d %16.1f %14.0f %5.1f–%.1f\n", count, cost[len(cost)/2], rate, cost[0], cost[len(cost)-1])
	}
	if idle == 0 {
		return nil
	}
	for _, t := range []string{"tcp", "ws"} {
		perConnection, err := idleMemory(server, t, idle)
		if err != nil {
			return fmt.Errorf("%d idle %s connections: %w", idle, t, err)
		}
		fmt.Printf("resident bytes per idle subscribed %s connection (%d): %.0f\n", t, idle, perConnection)
	}
	return nil
}

// frame is one TCP message of the wire contract.
func frame(message string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(message)))
	return append(b, message...)
}

func subscribeMessage() string {
	return "request:system.topic.subscribe:1.0.0:11111111-1111-4111-8111-111111111111\n" +
		`{"action":"publish","topic":"bench.fan"}`
}

// subscribe connects a TCP client that subscribes to the benchmark's topic and has read the answer.
func subscribe(address string) (*net.TCPConn, error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(frame(subscribeMessage())); err != nil {
		return nil, err
	}
	for range 2 { // system.initialize and the answer
		if err := skipFrame(c); err != nil {
			return nil, err
		}
	}
	return c.(*net.TCPConn), nil
}

func skipFrame(c net.Conn) error {
	var head [4]byte
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	for n := 0; n < len(head); {
		m, err := c.Read(head[n:])
		if err != nil {
			return err
		}
		n += m
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	for n := 0; n < len(body); {
		m, err := c.Read(body[n:])
		if err != nil {
			return err
		}
		n += m
	}
	if bytes.Contains(body, []byte(`"error"`)) {
		return fmt.Errorf("the server answered %s", body)
	}
	return nil
}

// Publishing is paced by the slowest subscriber: at most window messages are on their way to it.
const (
	batch  = 256 // messages in one write
	window = 4 * batch
)

// fanOut measures one scenario: messages published to count subscribers.
func fanOut(binary string, count, payload, messages int) (nsPerDelivery, deliveriesPerSecond float64, err error) {
	s, err := startServer(binary)
	if err != nil {
		return 0, 0, err
	}
	defer s.stop()
	r, err := newReaders()
	if err != nil {
		return 0, 0, err
	}
	defer r.close()
	for range count {
		c, err := subscribe(s.tcp)
		if err != nil {
			return 0, 0, err
		}
		if err := r.add(c); err != nil {
			return 0, 0, err
		}
	}
	publisher, err := net.Dial("tcp", s.tcp)
	if err != nil {
		return 0, 0, err
	}
	defer publisher.Close()
	if err := skipFrame(publisher); err != nil {
		return 0, 0, err
	}
	message := "publish:bench.fan:1.0.0\n" + strings.Repeat("x", payload)
	burst := bytes.Repeat(frame(message), batch)
	delivered := 4 + len("publish:bench.fan:1.0.0:\n") + 36 + payload
	warm := messages / 10 / batch * batch
	messages = messages / batch * batch
	if err := r.pump(publisher, burst, delivered, warm); err != nil {
		return 0, 0, err
	}
	cpu, began := s.cpu(), time.Now()
	if err := r.pump(publisher, burst, delivered, warm+messages); err != nil {
		return 0, 0, err
	}
	total := float64(messages) * float64(count)
	return float64(s.cpu()-cpu) / total, total / time.Since(began).Seconds(), nil
}

// idleMemory measures resident memory per connection, each subscribed to one topic.
func idleMemory(binary, transport string, count int) (float64, error) {
	s, err := startServer(binary)
	if err != nil {
		return 0, err
	}
	defer s.stop()
	open := subscribe
	address := s.tcp
	if transport == "ws" {
		open, address = subscribeWS, s.ws
	}
	for range 200 { // warm-up: what the first connections cost is not theirs
		c, err := open(address)
		if err != nil {
			return 0, err
		}
		defer c.Close()
	}
	before := s.resident()
	for range count {
		c, err := open(address)
		if err != nil {
			return 0, err
		}
		defer c.Close()
	}
	return float64(s.resident()-before) / float64(count), nil
}
