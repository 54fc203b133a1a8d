package broker

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"mbserver/codec"
)

// BenchmarkFanOut is one publish of 128 bytes from its bytes to the last subscriber's socket, which
// costs nothing here. Turns hold 16 publishes, as under load. ns/delivery is its share for one
// subscriber.
func BenchmarkFanOut(b *testing.B) {
	for _, tr := range []Transport{TransportTCP, TransportWS} {
		for _, count := range []int{1, 10, 100, 1000} {
			for _, loops := range []int{1, 2} { // 2: all subscribers are the other loop's
				name := fmt.Sprintf("%s/subscribers=%d/loops=%d", tr, count, loops)
				b.Run(name, func(b *testing.B) {
					n := newTestNode(b, 1, loops, nil)
					ks := n.subscribers(count, loops-1, tr, "publish", "a.b")
					p := n.connect(0, tr)
					n.settle()
					quiet(append(ks, p)...)
					publish := p.again("publish:a.b:1.0.0\n" + strings.Repeat("x", 128))
					b.ReportAllocs()
					for i := 0; b.Loop(); i++ {
						publish()
						if i%16 == 15 {
							n.settle()
						}
					}
					n.settle()
					perPublish := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
					b.ReportMetric(perPublish/float64(count), "ns/delivery")
				})
			}
		}
	}
}

// BenchmarkRequest is one request from its bytes to the socket of its target, and the answer back
// to the requester's.
func BenchmarkRequest(b *testing.B) {
	for _, loops := range []int{1, 2} {
		b.Run(fmt.Sprintf("loops=%d", loops), func(b *testing.B) {
			n := newTestNode(b, 1, loops, nil)
			s := n.subscribers(1, loops-1, TransportTCP, "request", "a.b")[0]
			c := n.connect(0, TransportTCP)
			n.settle()
			quiet(s, c)
			payload := strings.Repeat("x", 128)
			request := c.again("request:a.b:1.0.0:" + testRequestID + "\n" + payload)
			var frame []byte
			b.ReportAllocs()
			for b.Loop() {
				request()
				n.settle()
				frame = appendAnswer(frame[:0], s.openEntry())
				s.loop.begin()
				s.Conn.receive(frame, math.MaxInt, math.MaxInt)
				n.settle()
			}
		})
	}
}

// BenchmarkRequestBurst is BenchmarkRequest for what arrives together: 128 requests in one read,
// and their answers in another.
func BenchmarkRequestBurst(b *testing.B) {
	const burst = 128
	n := newTestNode(b, 1, 1, nil)
	s := n.subscribers(1, 0, TransportTCP, "request", "a.b")[0]
	c := n.connect(0, TransportTCP)
	n.settle()
	quiet(s, c)
	message := "request:a.b:1.0.0:" + testRequestID + "\n" + strings.Repeat("x", 128)
	requests := bytes.Repeat(c.frame([]byte(message), true), burst)
	in, answers := slices.Clone(requests), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		copy(in, requests)
		c.arrive(in)
		n.settle()
		answers = answers[:0]
		for e := range s.Conn.requests.All() {
			answers = appendAnswer(answers, e)
		}
		s.arrive(answers)
		n.settle()
	}
	perRequest := float64(b.Elapsed().Nanoseconds()) / float64(b.N) / burst
	b.ReportMetric(perRequest, "ns/request")
}

// appendAnswer appends the frame in which a service answers e over TCP.
func appendAnswer(frames []byte, e *entry) []byte {
	at := len(frames)
	frames = append(frames, 0, 0, 0, 0)
	frames = append(frames, "response:a.b:1.0.0:"...)
	frames = e.id.Append(frames)
	frames = append(frames, "\nanswer"...)
	codec.AppendTCPHeader(frames[:at], len(frames)-at-4)
	return frames
}
